//! A record with its key, in the form that suits its size.

use bytes::Bytes;
use dashmap::SharedValue;
use data_encoding::BASE64URL_NOPAD;
use session_core::{Key, Prefix, Record, Revision, Timestamp};
use smallvec::SmallVec;

use crate::bounds::Amount;

/// The largest data that is copied, in bytes. Copying larger data costs more than the rest of a store.
pub(crate) const COPIED: usize = 512;

/// The deadline of a record that never expires. Later deadlines, from the year 292 million on, never expire either.
pub(crate) const NEVER: u64 = u64::MAX >> 1;

/// A deadline as rows and queues keep it: in milliseconds, [`NEVER`] for none.
pub(crate) fn due(deadline: Option<Timestamp>) -> u64 {
    deadline.map_or(NEVER, |deadline| deadline.as_millis().min(NEVER))
}

/// A record and its key, in one of two forms.
pub(crate) trait Row {
    fn has_key(&self, key: &Key) -> bool;

    /// The text of the key.
    fn text(&self) -> Text;

    /// The deadline in the form of [`due`].
    fn due(&self) -> u64;

    fn revision(&self) -> Revision;

    /// Moves the deadline and sets the revision.
    fn touch(&mut self, deadline: Option<Timestamp>, revision: Revision);

    fn record(&self) -> Record;

    fn data_len(&self) -> usize;

    fn deadline(&self) -> Option<Timestamp> {
        Some(self.due()).filter(|due| *due != NEVER).map(Timestamp::from_millis)
    }

    fn is_live(&self, now: Timestamp) -> bool {
        session_core::is_live(self.deadline(), now)
    }

    fn is_in(&self, prefix: &Prefix) -> bool {
        let text = self.text();
        text.strip_prefix(prefix.as_str().as_bytes()).is_some_and(|rest| rest.starts_with(b":"))
    }

    fn key(&self) -> Key {
        let key = std::str::from_utf8(&self.text()).ok().and_then(|text| Key::parse(text).ok());
        key.expect("a row holds the text of a key")
    }

    /// Its share of the bounds.
    fn amount(&self) -> Amount {
        Amount::of(self.text().len(), self.data_len())
    }
}

/// The text of a key. A session's key has 51 bytes and needs no allocation.
pub(crate) type Text = SmallVec<[u8; 56]>;

/// A row of large data, which stays in the `Bytes` that the caller passed. 112 bytes in DashMap's table: finding such
/// a row reads one place in memory.
pub(crate) type Large = (Text, SharedValue<Content>);

/// A record as a large row keeps it, with its deadline in the form of [`due`].
pub(crate) struct Content {
    data: Bytes,
    due: u64,
    revision: Revision,
}

impl Content {
    /// Leaves no data in `record`.
    pub(crate) fn take(record: &mut Record) -> Self {
        let data = std::mem::take(&mut record.data);
        Self { data, due: due(record.expires), revision: record.revision }
    }

    /// Takes the place of this record, and leaves the old data in `record`, which is freed after the lock.
    pub(crate) fn replace(&mut self, record: &mut Record) {
        std::mem::swap(&mut self.data, &mut record.data);
        (self.due, self.revision) = (due(record.expires), record.revision);
    }
}

impl Row for Large {
    fn has_key(&self, key: &Key) -> bool {
        self.0.as_slice() == key.as_bytes()
    }

    fn text(&self) -> Text {
        self.0.clone()
    }

    fn due(&self) -> u64 {
        self.1.get().due
    }

    fn revision(&self) -> Revision {
        self.1.get().revision
    }

    fn touch(&mut self, deadline: Option<Timestamp>, revision: Revision) {
        let content = self.1.get_mut();
        (content.due, content.revision) = (due(deadline), revision);
    }

    fn record(&self) -> Record {
        Record::new(self.1.get().data.clone(), self.deadline(), self.revision())
    }

    fn data_len(&self) -> usize {
        self.1.get().data.len()
    }
}

/// A row of small data, which is copied: one allocation, and 16 bytes in a table.
///
/// | offset | length | |
/// |---|---|---|
/// | 0 | 8 | deadline in the form of [`due`], and the flag [`PACKED`] |
/// | 8 | 8 | revision |
/// | 16 | 32 | packed: the 32 bytes that the key of a session encodes |
/// | 16 | 2 + n | else: the length of the key and its text |
/// | | | data |
///
/// Packing is one to one: only `session:` and the canonical base64url of 32 bytes is packed.
pub(crate) struct Small(Box<[u8]>);

/// The key is packed.
const PACKED: u64 = 1 << 63;
/// Where the key begins.
const KEY: usize = 16;
/// How many bytes the key of a session encodes, and in how many characters.
const BYTES: usize = 32;
const CHARS: usize = 43;
const SESSION: &[u8; 8] = b"session:";

impl Small {
    pub(crate) fn new(key: &Key, record: &Record) -> Self {
        let (packed, text) = (pack(key), key.as_bytes());
        let flag = if packed.is_some() { PACKED } else { 0 };
        let len = packed.map_or(2 + text.len(), |_| BYTES);
        let mut bytes = Vec::with_capacity(KEY + len + record.data.len());
        bytes.extend_from_slice(&(due(record.expires) | flag).to_le_bytes());
        bytes.extend_from_slice(&record.revision.to_bytes());
        if let Some(packed) = packed {
            bytes.extend_from_slice(&packed);
        } else {
            bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
            bytes.extend_from_slice(text);
        }
        bytes.extend_from_slice(&record.data);
        Self(bytes.into_boxed_slice())
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(*self.0[at..].first_chunk().expect("a row begins with two words"))
    }

    fn is_packed(&self) -> bool {
        self.word(0) & PACKED != 0
    }

    /// Where the data begins.
    fn data_at(&self) -> usize {
        if self.is_packed() {
            return KEY + BYTES;
        }
        KEY + 2 + usize::from(u16::from_le_bytes([self.0[KEY], self.0[KEY + 1]]))
    }
}

impl Row for Small {
    fn has_key(&self, key: &Key) -> bool {
        if self.is_packed() {
            pack(key).is_some_and(|packed| self.0[KEY..].starts_with(&packed))
        } else {
            self.0[KEY + 2..self.data_at()] == *key.as_bytes()
        }
    }

    fn text(&self) -> Text {
        if !self.is_packed() {
            return Text::from_slice(&self.0[KEY + 2..self.data_at()]);
        }
        let mut text = Text::from_slice(SESSION);
        text.resize(SESSION.len() + CHARS, 0);
        BASE64URL_NOPAD.encode_mut(&self.0[KEY..KEY + BYTES], &mut text[SESSION.len()..]);
        text
    }

    fn due(&self) -> u64 {
        self.word(0) & !PACKED
    }

    fn revision(&self) -> Revision {
        Revision::from_bytes(self.word(8).to_le_bytes())
    }

    fn touch(&mut self, deadline: Option<Timestamp>, revision: Revision) {
        let flag = self.word(0) & PACKED;
        self.0[..8].copy_from_slice(&(due(deadline) | flag).to_le_bytes());
        self.0[8..KEY].copy_from_slice(&revision.to_bytes());
    }

    fn record(&self) -> Record {
        let data = Bytes::copy_from_slice(&self.0[self.data_at()..]);
        Record::new(data, self.deadline(), self.revision())
    }

    fn data_len(&self) -> usize {
        self.0.len() - self.data_at()
    }
}

/// The bytes that the key of a session encodes; `None` for every other key.
fn pack(key: &Key) -> Option<[u8; BYTES]> {
    let text = key.as_bytes().strip_prefix(SESSION).filter(|text| text.len() == CHARS)?;
    let mut bytes = [0; BYTES];
    BASE64URL_NOPAD.decode_mut(text, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_every_key_and_record() {
        assert_eq!((size_of::<Small>(), size_of::<Large>()), (16, 112));
        // One bit of the last character is beyond the 32 bytes: decoding it would merge two keys.
        let (session, loose) =
            (format!("session:{}A", "A".repeat(42)), format!("session:{}B", "A".repeat(42)));
        let plus = format!("session:{}", "+".repeat(CHARS));
        let mut texts = vec![session, loose, plus, "a:\0".into(), "user:é☃".into(), "session::::".into()];
        for len in [1, 43, 45, 46, 47, 255] {
            let prefixes = ["user", "session", &"p".repeat(32)];
            texts.extend(prefixes.map(|prefix| format!("{prefix}:{}", "x".repeat(len))));
        }
        let keys: Vec<Key> = texts.iter().map(|text| Key::parse(text).unwrap()).collect();
        assert!(pack(&keys[0]).is_some() && pack(&keys[1]).is_none() && pack(&keys[2]).is_none());
        let [old, later] = [1, 2].map(|n| Revision::from_bytes([n; 8]));
        for (key, len) in keys.iter().flat_map(|key| [0, 1, COPIED + 1].map(|len| (key, len))) {
            let record = Record::new(vec![7; len], Some(Timestamp::from_millis(5)), old);
            let content = || SharedValue::new(Content::take(&mut record.clone()));
            let large = |key: &Key| (Text::from_slice(key.as_bytes()), content());
            for row in [&mut Small::new(key, &record) as &mut dyn Row, &mut large(key)] {
                assert_eq!((row.key(), row.record(), row.data_len()), (key.clone(), record.clone(), len));
                assert!(keys.iter().all(|other| row.has_key(other) == (key == other)));
                assert_eq!(row.is_in(&Prefix::SESSION), key.is_in(&Prefix::SESSION));
                assert_eq!(row.amount(), Amount::of(key.as_bytes().len(), len));
                row.touch(None, later);
                assert_eq!(row.record(), Record::new(record.data.clone(), None, later));
                row.touch(Some(Timestamp::from_millis(u64::MAX)), later);
                assert_eq!((row.deadline(), row.key()), (None, key.clone()));
            }
        }
    }
}

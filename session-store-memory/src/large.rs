//! A record whose data is large: a row of the table.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use bytes::Bytes;
use session_core::{Key, Prefix, Record, Revision, Timestamp};

/// A record with its key, side by side in the table, and its data in the `Bytes` that it came in.
///
/// 112 bytes, which beside data of this size is little, and what finding a record reads is in one place.
pub(crate) struct Large {
    key: Text,
    /// Milliseconds; without meaning unless `expires`.
    deadline: u64,
    revision: Revision,
    /// Where the expiry queue has this record. Written under the write lock of the shard, as all else; atomic because
    /// the queue finds records through shared references.
    position: AtomicU32,
    bucket: AtomicU8,
    expires: bool,
    session: bool,
    data: Bytes,
}

/// How long the text of a key may be to stand in the row: a session's has 51 bytes.
const INLINE: usize = 54;

enum Text {
    Here { len: u8, text: [u8; INLINE] },
    There(Box<[u8]>),
}

impl Large {
    pub(crate) fn new(key: &Key, record: Record) -> Self {
        let bytes = key.as_bytes();
        let mut text = [0; INLINE];
        let text = match text.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                Text::Here { len: bytes.len() as u8, text }
            }
            None => Text::There(bytes.into()),
        };
        Self {
            key: text,
            deadline: record.expires.map_or(0, Timestamp::as_millis),
            revision: record.revision,
            position: AtomicU32::new(0),
            bucket: AtomicU8::new(0),
            expires: record.expires.is_some(),
            session: key.is_in(&Prefix::SESSION),
            data: record.data,
        }
    }

    pub(crate) fn text(&self) -> &[u8] {
        match &self.key {
            Text::Here { len, text } => text.get(..usize::from(*len)).unwrap_or_default(),
            Text::There(text) => text,
        }
    }

    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.expires.then(|| Timestamp::from_millis(self.deadline))
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn is_session(&self) -> bool {
        self.session
    }

    pub(crate) fn data(&self) -> &Bytes {
        &self.data
    }

    pub(crate) fn data_len(&self) -> usize {
        self.data.len()
    }

    pub(crate) fn filed(&self) -> (u8, u32) {
        (self.bucket.load(Ordering::Relaxed), self.position.load(Ordering::Relaxed))
    }

    pub(crate) fn set_filed(&self, (bucket, position): (u8, u32)) {
        self.bucket.store(bucket, Ordering::Relaxed);
        self.position.store(position, Ordering::Relaxed);
    }

    /// Takes on the record of `other`, which has the same key, and leaves it its own data to be dropped.
    pub(crate) fn replace(&mut self, other: &mut Self) {
        std::mem::swap(&mut self.data, &mut other.data);
        self.touch(other.expires(), other.revision);
    }

    pub(crate) fn touch(&mut self, expires: Option<Timestamp>, revision: Revision) {
        self.deadline = expires.map_or(0, Timestamp::as_millis);
        self.expires = expires.is_some();
        self.revision = revision;
    }
}

// What DashMap asks of a key, and how the table hashes a row: by the text of the key.
impl Hash for Large {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

impl PartialEq for Large {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Large {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_112_bytes_and_keeps_every_key() {
        assert_eq!(size_of::<Large>(), 112);
        for len in [1, 49, 50, 255] {
            let key = Key::parse(&format!("user:{}", "x".repeat(len))).unwrap();
            let large = Large::new(&key, Record::new("data", None, Revision::from_bytes([1; 8])));
            assert_eq!(large.text(), key.as_bytes());
            assert!(!large.is_session() && large.expires().is_none());
        }
    }
}

//! A record with its key, in the form that suits its size.

use bytes::Bytes;
use dashmap::SharedValue;
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

/// What a change of the deadline replaces.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    /// In the form of [`due`].
    pub(crate) due: u64,
    pub(crate) revision: Revision,
}

impl Head {
    pub(crate) fn new(deadline: Option<Timestamp>, revision: Revision) -> Self {
        Self { due: due(deadline), revision }
    }

    pub(crate) fn deadline(self) -> Option<Timestamp> {
        Some(self.due).filter(|due| *due != NEVER).map(Timestamp::from_millis)
    }
}

/// A record and its key, in one of two forms.
pub(crate) trait Row {
    /// The text of the key.
    fn text(&self) -> &[u8];

    fn head(&self) -> Head;

    fn set_head(&mut self, head: Head);

    fn data(&self) -> &[u8];

    fn record(&self) -> Record;

    fn has_key(&self, key: &Key) -> bool {
        self.text() == key.as_bytes()
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.head().deadline()
    }

    fn is_live(&self, now: Timestamp) -> bool {
        session_core::is_live(self.deadline(), now)
    }

    fn is_in(&self, prefix: &Prefix) -> bool {
        let text = self.text();
        text.strip_prefix(prefix.as_str().as_bytes()).is_some_and(|rest| rest.starts_with(b":"))
    }

    fn key(&self) -> Key {
        let key = std::str::from_utf8(self.text()).ok().and_then(|text| Key::parse(text).ok());
        key.expect("a row holds the text of a key")
    }

    /// Its share of the bounds.
    fn amount(&self) -> Amount {
        Amount::of(self.text().len(), self.data().len())
    }
}

/// A row of large data, which stays in the `Bytes` that the caller passed. 120 bytes in DashMap's table: finding such
/// a row reads one place in memory.
pub(crate) type Large = (Text, SharedValue<Record>);

/// The text of a key. A session's key has 51 bytes and needs no allocation.
pub(crate) type Text = SmallVec<[u8; 56]>;

impl Row for Large {
    fn text(&self) -> &[u8] {
        &self.0
    }

    fn head(&self) -> Head {
        let record = self.1.get();
        Head::new(record.expires, record.revision)
    }

    fn set_head(&mut self, head: Head) {
        let record = self.1.get_mut();
        (record.expires, record.revision) = (head.deadline(), head.revision);
    }

    fn data(&self) -> &[u8] {
        &self.1.get().data
    }

    fn record(&self) -> Record {
        self.1.get().clone()
    }
}

/// A row of small data, which is copied: one allocation, and 16 bytes in a table. Holds the deadline in the form of
/// [`due`], the revision, the length of the key, the key, and the data.
pub(crate) struct Small(Box<[u8]>);

/// Where the revision, the length of the key, and the key begin.
const REVISION: usize = 8;
const LEN: usize = 16;
const KEY: usize = 18;

impl Small {
    pub(crate) fn new(key: &Key, record: &Record) -> Self {
        let (due, text) = (due(record.expires).to_le_bytes(), key.as_bytes());
        let len = (text.len() as u16).to_le_bytes();
        Self([&due, &record.revision.to_bytes(), &len[..], text, &record.data].concat().into())
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        *self.0[at..].first_chunk().expect("a row has all its fields")
    }

    fn data_at(&self) -> usize {
        KEY + usize::from(u16::from_le_bytes(self.bytes(LEN)))
    }
}

impl Row for Small {
    fn text(&self) -> &[u8] {
        &self.0[KEY..self.data_at()]
    }

    fn head(&self) -> Head {
        Head { due: u64::from_le_bytes(self.bytes(0)), revision: Revision::from_bytes(self.bytes(REVISION)) }
    }

    fn set_head(&mut self, head: Head) {
        self.0[..REVISION].copy_from_slice(&head.due.to_le_bytes());
        self.0[REVISION..LEN].copy_from_slice(&head.revision.to_bytes());
    }

    fn data(&self) -> &[u8] {
        &self.0[self.data_at()..]
    }

    fn record(&self) -> Record {
        Record::new(Bytes::copy_from_slice(self.data()), self.deadline(), self.head().revision)
    }
}

//! One record, in one piece of memory.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use session_core::{Key, Prefix, Record, Revision, Timestamp, is_live};
use triomphe::ThinArc;

use crate::packed::{self, INLINE, Packed, Shape};
use crate::usage::{Amount, OVERHEAD};

/// A record and its key: a pointer to one allocation, shared with whoever still reads the data.
///
/// The table keeps 8 bytes, and a retrieve counts one reference up. The alternative, key and deadline and
/// [`Bytes`] side by side in the table, takes 40 bytes more for each session, empty slots included, and could not
/// be touched without the same lock.
#[derive(Clone)]
pub(crate) struct Block(ThinArc<Header, u8>);

/// 56 bytes. The words that change are atomics because readers share the block; they are only written, and only read
/// together, under the lock of the shard, so that `Relaxed` is enough.
struct Header {
    /// Milliseconds; without meaning unless `expires`.
    deadline: AtomicU64,
    revision: AtomicU64,
    /// Where the expiry queue has this block.
    position: AtomicU32,
    shape: Shape,
    bucket: AtomicU8,
    expires: AtomicBool,
    key: [u8; INLINE],
}

impl Block {
    pub(crate) fn new(key: &Packed<'_>, record: &Record) -> Self {
        let header = Header {
            deadline: AtomicU64::new(record.expires.map_or(0, Timestamp::as_millis)),
            revision: AtomicU64::new(u64::from_le_bytes(record.revision.to_bytes())),
            position: AtomicU32::new(0),
            shape: key.shape,
            bucket: AtomicU8::new(0),
            expires: AtomicBool::new(record.expires.is_some()),
            key: key.inline,
        };
        if key.long.is_empty() {
            return Self(ThinArc::from_header_and_slice(header, &record.data));
        }
        let joined = [key.long, &record.data].concat();
        Self(ThinArc::from_header_and_slice(header, &joined))
    }

    fn header(&self) -> &Header {
        &self.0.header.header
    }

    pub(crate) fn expires(&self) -> Option<Timestamp> {
        let header = self.header();
        let expires = header.expires.load(Ordering::Relaxed);
        expires.then(|| Timestamp::from_millis(header.deadline.load(Ordering::Relaxed)))
    }

    pub(crate) fn revision(&self) -> Revision {
        Revision::from_bytes(self.header().revision.load(Ordering::Relaxed).to_le_bytes())
    }

    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        is_live(self.expires(), now)
    }

    /// Moves the deadline and gives the record its new revision, in place.
    pub(crate) fn touch(&self, expires: Option<Timestamp>, revision: Revision) {
        let header = self.header();
        header.deadline.store(expires.map_or(0, Timestamp::as_millis), Ordering::Relaxed);
        header.expires.store(expires.is_some(), Ordering::Relaxed);
        header.revision.store(u64::from_le_bytes(revision.to_bytes()), Ordering::Relaxed);
    }

    /// The record as it is now; the data is shared.
    pub(crate) fn record(&self) -> Record {
        Record { data: self.data(), expires: self.expires(), revision: self.revision() }
    }

    pub(crate) fn data(&self) -> Bytes {
        self.clone().into_data()
    }

    /// The data, shared, in exchange for this handle.
    pub(crate) fn into_data(self) -> Bytes {
        // An empty slice needs no owner, and so no allocation.
        if self.data_len() == 0 { Bytes::new() } else { Bytes::from_owner(Data(self)) }
    }

    pub(crate) fn data_len(&self) -> usize {
        self.0.slice.len() - self.header().shape.spilled()
    }

    /// What this record counts against the bounds.
    pub(crate) fn amount(&self) -> Amount {
        Amount { entries: 1, bytes: OVERHEAD + self.0.slice.len() as u64 }
    }

    pub(crate) fn is_session(&self) -> bool {
        self.header().shape.is_session()
    }

    pub(crate) fn has_key(&self, key: &Packed<'_>) -> bool {
        let header = self.header();
        header.shape == key.shape && header.key == key.inline && self.long() == key.long
    }

    pub(crate) fn is_in(&self, prefix: &Prefix) -> bool {
        let header = self.header();
        packed::is_in(header.shape, &header.key, self.long(), prefix)
    }

    pub(crate) fn key(&self) -> Option<Key> {
        let header = self.header();
        packed::unpack(header.shape, &header.key, self.long())
    }

    /// The key again, as it was packed.
    pub(crate) fn packed(&self) -> Packed<'_> {
        let header = self.header();
        Packed { shape: header.shape, inline: header.key, long: self.long() }
    }

    fn long(&self) -> &[u8] {
        self.0.slice.get(..self.header().shape.spilled()).unwrap_or_default()
    }

    /// Where the expiry queue has this block: bucket and position.
    pub(crate) fn filed(&self) -> (u8, u32) {
        let header = self.header();
        (header.bucket.load(Ordering::Relaxed), header.position.load(Ordering::Relaxed))
    }

    pub(crate) fn set_filed(&self, (bucket, position): (u8, u32)) {
        let header = self.header();
        header.bucket.store(bucket, Ordering::Relaxed);
        header.position.store(position, Ordering::Relaxed);
    }
}

impl Hash for Packed<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if self.long.is_empty() {
            state.write(&self.inline);
        } else {
            state.write(self.long);
        }
        state.write_u16(self.shape.to_bits());
    }
}

// What DashMap asks of a key. The table finds blocks by its own hash and `has_key`; these agree with it.
impl Hash for Block {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.packed().hash(state);
    }
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        self.has_key(&other.packed())
    }
}

impl Eq for Block {}

/// The data of a block, for as long as somebody reads it.
struct Data(Block);

impl AsRef<[u8]> for Data {
    fn as_ref(&self) -> &[u8] {
        self.0.0.slice.get(self.0.header().shape.spilled()..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_one_pointer_and_its_header_56_bytes() {
        assert_eq!(size_of::<Block>(), 8);
        assert_eq!(size_of::<Header>(), 56);
    }

    #[test]
    fn data_is_shared_and_outlives_the_touch() {
        let key = Key::parse(&format!("user:{}", "long".repeat(20))).unwrap();
        let record = Record::new(&b"data"[..], None, Revision::from_bytes([1; 8]));
        let block = Block::new(&Packed::new(&key), &record);
        let (one, two) = (block.data(), block.data());
        assert_eq!(one, record.data);
        assert_eq!(one.as_ptr(), two.as_ptr());
        block.touch(Some(Timestamp::from_millis(5)), Revision::from_bytes([2; 8]));
        assert_eq!(block.record().expires, Some(Timestamp::from_millis(5)));
        assert_eq!(block.revision(), Revision::from_bytes([2; 8]));
        assert_eq!((block.key(), block.data_len()), (Some(key), 4));
        drop(block);
        assert_eq!(one, record.data);
    }
}

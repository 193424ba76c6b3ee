//! A record whose data is small: one piece of memory.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use session_core::{Key, Record, Revision, Timestamp};
use triomphe::ThinArc;

use crate::packed::{INLINE, Packed, Shape};

/// A record with its key and its data: a pointer to one allocation, shared with whoever still reads the data.
///
/// The table keeps 8 bytes of it, empty places included, and the header takes 72. Key, deadline and [`Bytes`] side by
/// side in the table, as [`Large`](crate::large::Large) has them, would take 60 bytes more for each session.
#[derive(Clone)]
pub(crate) struct Block(ThinArc<Header, u8>);

/// The words that change are atomics because readers share the block; they are only written, and only read together,
/// under the lock of the shard, so that `Relaxed` is enough.
struct Header {
    /// Milliseconds; without meaning unless `expires`.
    deadline: AtomicU64,
    revision: AtomicU64,
    /// Where the expiry queue has this record.
    position: AtomicU32,
    bucket: AtomicU8,
    expires: AtomicBool,
    shape: Shape,
    key: [u8; INLINE],
}

impl Block {
    pub(crate) fn new(key: &Key, record: &Record) -> Self {
        let key = Packed::new(key);
        let header = Header {
            deadline: AtomicU64::new(record.expires.map_or(0, Timestamp::as_millis)),
            revision: AtomicU64::new(u64::from_le_bytes(record.revision.to_bytes())),
            position: AtomicU32::new(0),
            bucket: AtomicU8::new(0),
            expires: AtomicBool::new(record.expires.is_some()),
            shape: key.shape,
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
        let expires = self.header().expires.load(Ordering::Relaxed);
        expires.then(|| Timestamp::from_millis(self.header().deadline.load(Ordering::Relaxed)))
    }

    pub(crate) fn revision(&self) -> Revision {
        Revision::from_bytes(self.header().revision.load(Ordering::Relaxed).to_le_bytes())
    }

    /// Moves the deadline and gives the record its new revision, in place.
    pub(crate) fn touch(&self, expires: Option<Timestamp>, revision: Revision) {
        let header = self.header();
        header.deadline.store(expires.map_or(0, Timestamp::as_millis), Ordering::Relaxed);
        header.expires.store(expires.is_some(), Ordering::Relaxed);
        header.revision.store(u64::from_le_bytes(revision.to_bytes()), Ordering::Relaxed);
    }

    /// The data, shared, in exchange for this handle.
    pub(crate) fn into_data(self) -> Bytes {
        // An empty slice needs no owner, and so no allocation.
        if self.data_len() == 0 { Bytes::new() } else { Bytes::from_owner(Owner(self)) }
    }

    fn data(&self) -> &[u8] {
        self.0.slice.get(self.header().shape.spilled()..).unwrap_or_default()
    }

    pub(crate) fn data_len(&self) -> usize {
        self.data().len()
    }

    pub(crate) fn is_session(&self) -> bool {
        self.header().shape.is_session()
    }

    pub(crate) fn has_key(&self, key: &Packed<'_>) -> bool {
        let header = self.header();
        // Of one shape are only keys of one length.
        header.shape == key.shape
            && header.key == key.inline
            && (key.long.is_empty() || self.0.slice.starts_with(key.long))
    }

    /// The key again, as it was packed.
    pub(crate) fn packed(&self) -> Packed<'_> {
        let header = self.header();
        let long = self.0.slice.get(..header.shape.spilled()).unwrap_or_default();
        Packed { shape: header.shape, inline: header.key, long }
    }

    pub(crate) fn filed(&self) -> (u8, u32) {
        let header = self.header();
        (header.bucket.load(Ordering::Relaxed), header.position.load(Ordering::Relaxed))
    }

    pub(crate) fn set_filed(&self, (bucket, position): (u8, u32)) {
        self.header().bucket.store(bucket, Ordering::Relaxed);
        self.header().position.store(position, Ordering::Relaxed);
    }
}

/// A block that somebody reads.
struct Owner(Block);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.data()
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
        for id in ["short".to_owned(), "long".repeat(20)] {
            let key = Key::parse(&format!("user:{id}")).unwrap();
            let record = Record::new("data", None, Revision::from_bytes([1; 8]));
            let block = Block::new(&key, &record);
            let (one, two) = (block.clone().into_data(), block.clone().into_data());
            assert_eq!(one, record.data);
            assert_eq!(one.as_ptr(), two.as_ptr());
            block.set_filed((200, 7_000_000));
            block.touch(Some(Timestamp::from_millis(5)), Revision::from_bytes([2; 8]));
            assert_eq!(block.expires(), Some(Timestamp::from_millis(5)));
            assert_eq!(block.revision(), Revision::from_bytes([2; 8]));
            assert_eq!((block.data_len(), block.filed()), (4, (200, 7_000_000)));
            assert!(block.has_key(&Packed::new(&key)));
            block.packed().with_text(|text| assert_eq!(text, key.as_bytes()));
            drop(block);
            assert_eq!(one, record.data);
        }
    }
}

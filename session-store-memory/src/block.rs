//! One record, in one piece of memory.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use session_core::{Key, Prefix, Record, Revision, Timestamp, is_live};
use triomphe::ThinArc;

use crate::packed::{INLINE, Packed, Shape};
use crate::usage::{Amount, OVERHEAD};

/// A record and its key: a pointer to one allocation, shared with whoever still reads the data.
///
/// The table keeps 8 bytes of it. The alternative, key and deadline and [`Bytes`] side by side in the table, takes 40
/// bytes more for each session, empty places included.
///
/// Data of up to [`COPIED`] bytes stands in the block itself, and what reads it holds the block. Larger data stays in
/// the `Bytes` it came in: copying it would cost more than all the rest of a store.
#[derive(Clone)]
pub(crate) struct Block(ThinArc<Header, u8>);

/// The largest data that is copied into the block.
pub(crate) const COPIED: usize = 512;

/// 56 bytes. The words that change are atomics because readers share the block; they are only written, and only read
/// together, under the lock of the shard, so that `Relaxed` is enough.
struct Header {
    /// Milliseconds; without meaning unless `expires`.
    deadline: AtomicU64,
    revision: AtomicU64,
    body: Body,
}

/// The two kinds of blocks. The small words stand in both, for there they share eight bytes with the tag: beside it
/// they would cost each session eight more.
enum Body {
    /// The bytes of the block are the key where it does not fit into `key`, then the data.
    Copied { position: AtomicU32, bucket: AtomicU8, flags: AtomicU16, key: [u8; INLINE] },
    /// The bytes of the block are the key.
    Shared { position: AtomicU32, bucket: AtomicU8, flags: AtomicU16, data: Bytes },
}

/// The flag of a record that has a deadline, among the bits of the key's [`Shape`].
const EXPIRES: u16 = 1 << 14;

impl Block {
    pub(crate) fn new(key: &Packed<'_>, record: Record) -> Self {
        let (position, bucket) = (AtomicU32::new(0), AtomicU8::new(0));
        let expires = if record.expires.is_some() { EXPIRES } else { 0 };
        let flags = AtomicU16::new(key.shape.to_bits() | expires);
        let header = |body| Header {
            deadline: AtomicU64::new(record.expires.map_or(0, Timestamp::as_millis)),
            revision: AtomicU64::new(u64::from_le_bytes(record.revision.to_bytes())),
            body,
        };
        if record.data.len() > COPIED {
            let body = Body::Shared { position, bucket, flags, data: record.data };
            return Self(ThinArc::from_header_and_slice(header(body), key.bytes()));
        }
        let body = Body::Copied { position, bucket, flags, key: key.inline };
        if key.long.is_empty() {
            return Self(ThinArc::from_header_and_slice(header(body), &record.data));
        }
        let joined = [key.long, &record.data].concat();
        Self(ThinArc::from_header_and_slice(header(body), &joined))
    }

    fn header(&self) -> &Header {
        &self.0.header.header
    }

    fn flags(&self) -> u16 {
        let (Body::Copied { flags, .. } | Body::Shared { flags, .. }) = &self.header().body;
        flags.load(Ordering::Relaxed)
    }

    fn shape(&self) -> Shape {
        Shape::from_bits(self.flags() & !EXPIRES)
    }

    pub(crate) fn expires(&self) -> Option<Timestamp> {
        let expires = self.flags() & EXPIRES != 0;
        expires.then(|| Timestamp::from_millis(self.header().deadline.load(Ordering::Relaxed)))
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
        let (Body::Copied { flags, .. } | Body::Shared { flags, .. }) = &header.body;
        let flag = if expires.is_some() { EXPIRES } else { 0 };
        header.deadline.store(expires.map_or(0, Timestamp::as_millis), Ordering::Relaxed);
        flags.store(self.shape().to_bits() | flag, Ordering::Relaxed);
        header.revision.store(u64::from_le_bytes(revision.to_bytes()), Ordering::Relaxed);
    }

    /// The record as it is now; the data is shared.
    pub(crate) fn record(&self) -> Record {
        Record { data: self.share().into_bytes(), expires: self.expires(), revision: self.revision() }
    }

    /// A handle on the data, which costs one reference counted up. What is made of it may allocate: do that after the
    /// lock.
    pub(crate) fn share(&self) -> Data {
        match &self.header().body {
            Body::Copied { .. } => Data::In(self.clone()),
            Body::Shared { data, .. } => Data::Of(data.clone()),
        }
    }

    pub(crate) fn data_len(&self) -> usize {
        match &self.header().body {
            Body::Copied { .. } => self.0.slice.len() - self.shape().spilled(),
            Body::Shared { data, .. } => data.len(),
        }
    }

    /// What this record counts against the bounds.
    pub(crate) fn amount(&self) -> Amount {
        Amount { entries: 1, bytes: OVERHEAD + (self.data_len() + self.shape().spilled()) as u64 }
    }

    pub(crate) fn is_session(&self) -> bool {
        self.shape().is_session()
    }

    pub(crate) fn has_key(&self, key: &Packed<'_>) -> bool {
        // Of one shape are only keys of one length.
        self.shape() == key.shape
            && match &self.header().body {
                Body::Copied { key: own, .. } => {
                    *own == key.inline && (key.long.is_empty() || self.0.slice.starts_with(key.long))
                }
                Body::Shared { .. } => self.0.slice == *key.bytes(),
            }
    }

    /// The key again, as it was packed.
    fn packed(&self) -> Packed<'_> {
        let shape = self.shape();
        let long = self.0.slice.get(..shape.spilled()).unwrap_or_default();
        let inline = match &self.header().body {
            Body::Copied { key, .. } => *key,
            Body::Shared { .. } if long.is_empty() => self.0.slice.try_into().unwrap_or_default(),
            Body::Shared { .. } => [0; INLINE],
        };
        Packed { shape, inline, long }
    }

    pub(crate) fn is_in(&self, prefix: &Prefix) -> bool {
        self.packed().is_in(prefix)
    }

    pub(crate) fn key(&self) -> Option<Key> {
        self.packed().unpack()
    }

    /// Where the expiry queue has this block: bucket and position.
    pub(crate) fn filed(&self) -> (u8, u32) {
        let (Body::Copied { position, bucket, .. } | Body::Shared { position, bucket, .. }) =
            &self.header().body;
        (bucket.load(Ordering::Relaxed), position.load(Ordering::Relaxed))
    }

    pub(crate) fn set_filed(&self, (number, place): (u8, u32)) {
        let (Body::Copied { position, bucket, .. } | Body::Shared { position, bucket, .. }) =
            &self.header().body;
        bucket.store(number, Ordering::Relaxed);
        position.store(place, Ordering::Relaxed);
    }
}

// What DashMap asks of a key, and how the table hashes a block.
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

/// The data of a record that was found, on its way out of the lock.
pub(crate) enum Data {
    In(Block),
    Of(Bytes),
}

impl Data {
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            // An empty slice needs no owner, and so no allocation.
            Self::In(block) if block.data_len() == 0 => Bytes::new(),
            Self::In(block) => Bytes::from_owner(Owner(block)),
            Self::Of(data) => data,
        }
    }
}

/// A block that somebody reads.
struct Owner(Block);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.0.slice.get(self.0.shape().spilled()..).unwrap_or_default()
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
        for len in [4, COPIED, COPIED + 1] {
            for id in ["short".to_owned(), "long".repeat(20)] {
                let key = Key::parse(&format!("user:{id}")).unwrap();
                let record = Record::new(vec![7; len], None, Revision::from_bytes([1; 8]));
                let block = Block::new(&Packed::new(&key), record.clone());
                let (one, two) = (block.record().data, block.share().into_bytes());
                assert_eq!(one, record.data);
                assert_eq!(one.as_ptr(), two.as_ptr());
                block.set_filed((200, 7_000_000));
                block.touch(Some(Timestamp::from_millis(5)), Revision::from_bytes([2; 8]));
                assert_eq!(block.record().expires, Some(Timestamp::from_millis(5)));
                assert_eq!(block.revision(), Revision::from_bytes([2; 8]));
                assert_eq!((block.data_len(), block.filed()), (len, (200, 7_000_000)));
                assert!(block.has_key(&Packed::new(&key)) && block == block.clone());
                assert_eq!(block.key(), Some(key));
                drop(block);
                assert_eq!(one, record.data);
            }
        }
    }
}

//! The byte format of a record. For drivers that store one blob per key.
//!
//! Version 1, all numbers little-endian:
//!
//! | offset | length | content |
//! |---|---|---|
//! | 0 | 4 | magic `SKRF` |
//! | 4 | 1 | version, 1 |
//! | 5 | 1 | flags, 0 |
//! | 6 | 2 | length of the key, 3 to 288 |
//! | 8 | 8 | length of the data |
//! | 16 | 8 | XXH3-64 of bytes 0 to 15, the key and the data |
//! | 24 | 8 | zero |
//! | 32 | 8 | deadline in milliseconds since the Unix epoch; 2^64 - 1 means none |
//! | 40 | 8 | revision |
//! | 48 | 8 | XXH3-64 of bytes 16 to 23 and 32 to 47 |
//! | 56 | 8 | zero |
//! | 64 | | key, then data |
//!
//! A touch rewrites bytes 32 to 63 only: deadline and revision with their own checksum, in one aligned block of 32
//! bytes. A reader that sees a half-written block gets [`FrameError::TornWords`] and reads again. The checksum of key and
//! data does not cover the block, so a touch need not read the data.

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::clock::Timestamp;
use crate::key::Key;
use crate::record::Record;
use crate::revision::Revision;

/// The length of the header, and the offset of the key.
pub const HEADER_LEN: usize = 64;
/// The offset of the block that a touch rewrites.
pub const WORDS_AT: usize = 32;
/// The length of that block.
pub const WORDS_LEN: usize = 32;

const MAGIC: &[u8; 4] = b"SKRF";
const VERSION: u8 = 1;
const NO_DEADLINE: u64 = u64::MAX;

/// Encodes the record of `key`.
#[must_use]
pub fn encode(key: &Key, record: &Record) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_LEN + key.as_bytes().len() + record.data.len());
    frame.extend_from_slice(MAGIC);
    frame.push(VERSION);
    frame.push(0);
    frame.extend_from_slice(&(key.as_bytes().len() as u16).to_le_bytes());
    frame.extend_from_slice(&(record.data.len() as u64).to_le_bytes());
    let check = body_check(&frame, key.as_bytes(), &record.data).to_le_bytes();
    frame.extend_from_slice(&check);
    frame.extend_from_slice(&[0; 8]);
    frame.extend_from_slice(&encode_words(check, record.expires, record.revision));
    frame.extend_from_slice(key.as_bytes());
    frame.extend_from_slice(&record.data);
    frame
}

/// Encodes the block that a touch rewrites. `body_check` is bytes 16 to 23 of the frame; it binds the block to its
/// record.
#[must_use]
pub fn encode_words(body_check: [u8; 8], expires: Option<Timestamp>, revision: Revision) -> [u8; WORDS_LEN] {
    let mut words = [0; WORDS_LEN];
    // A deadline of 2^64 - 1 is stored as none.
    let deadline = expires.map_or(NO_DEADLINE, Timestamp::as_millis);
    words[..8].copy_from_slice(&deadline.to_le_bytes());
    words[8..16].copy_from_slice(&revision.to_bytes());
    let check = words_check(body_check, &words[..16]);
    words[16..24].copy_from_slice(&check.to_le_bytes());
    words
}

/// A decoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The key of the record. A driver MUST compare it with the requested key.
    pub key: Key,
    /// The record.
    pub record: Record,
}

/// Decodes a frame and verifies both checksums. The data shares the memory of `bytes`.
///
/// # Errors
/// [`FrameError`]. Never panics, even for arbitrary bytes.
pub fn decode(bytes: &Bytes) -> Result<Frame, FrameError> {
    let (key, record) = checked(bytes)?;
    let key = std::str::from_utf8(key).ok().and_then(|text| Key::parse(text).ok());
    Ok(Frame { key: key.ok_or(FrameError::Damaged)?, record })
}

/// Like [`decode`], but compares the key too: `None` if the frame is valid but belongs to another key.
///
/// # Errors
/// As [`decode`].
pub fn decode_for(bytes: &Bytes, key: &Key) -> Result<Option<Record>, FrameError> {
    let (found, record) = checked(bytes)?;
    Ok((found == key.as_bytes()).then_some(record))
}

/// Whether the frame that begins with `bytes` has this key. The checksums are not verified.
#[must_use]
pub fn has_key(bytes: &[u8], key: &Key) -> bool {
    let lengths = bytes.first_chunk().map(Lengths::read);
    let found = lengths.and_then(|lengths| bytes.get(HEADER_LEN..HEADER_LEN + lengths.ok()?.key));
    found == Some(key.as_bytes())
}

/// The key's bytes and the record of a valid frame.
fn checked(bytes: &Bytes) -> Result<(&[u8], Record), FrameError> {
    let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(FrameError::Short)?;
    let lengths = Lengths::read(header)?;
    let total = lengths.total().ok_or(FrameError::Damaged)?;
    if bytes.len() < total {
        return Err(FrameError::Short);
    }
    if bytes.len() > total {
        return Err(FrameError::Damaged);
    }
    let data_at = HEADER_LEN + lengths.key;
    let check: [u8; 8] = array(header, 16);
    let key = &bytes[HEADER_LEN..data_at];
    if body_check(&header[..16], key, &bytes[data_at..]) != u64::from_le_bytes(check)
        || header[24..32] != [0; 8]
    {
        return Err(FrameError::Damaged);
    }
    let (expires, revision) = decode_words(header)?;
    Ok((key, Record { data: bytes.slice(data_at..), expires, revision }))
}

/// Decodes deadline and revision from the first 64 bytes of a frame, without verifying key and data.
///
/// # Errors
/// [`FrameError`].
pub fn decode_words(header: &[u8; HEADER_LEN]) -> Result<(Option<Timestamp>, Revision), FrameError> {
    Lengths::read(header)?;
    let words = &header[WORDS_AT..];
    if words_check(array(header, 16), &words[..16]).to_le_bytes() != words[16..24] || words[24..] != [0; 8] {
        return Err(FrameError::TornWords);
    }
    let deadline = u64::from_le_bytes(array(header, WORDS_AT));
    let expires = (deadline != NO_DEADLINE).then(|| Timestamp::from_millis(deadline));
    Ok((expires, Revision::from_bytes(array(header, WORDS_AT + 8))))
}

/// The length of the frame that begins with these 64 bytes.
///
/// # Errors
/// [`FrameError`].
pub fn frame_len(header: &[u8; HEADER_LEN]) -> Result<usize, FrameError> {
    Lengths::read(header)?.total().ok_or(FrameError::Damaged)
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes end before the frame does.
    #[error("the frame is too short")]
    Short,
    /// The bytes do not begin with the magic number.
    #[error("not a session-kit frame")]
    Foreign,
    /// This release does not support the frame's version.
    #[error("frame version {0} is not supported")]
    Version(u8),
    /// The checksum of key and data, or a reserved byte, is wrong.
    #[error("the frame is damaged")]
    Damaged,
    /// The checksum of deadline and revision is wrong. Read again: a touch may be in progress. If the error stays, the
    /// frame is damaged.
    #[error("the deadline and revision of the frame are torn")]
    TornWords,
}

struct Lengths {
    key: usize,
    data: u64,
}

impl Lengths {
    fn read(header: &[u8; HEADER_LEN]) -> Result<Self, FrameError> {
        if &header[..4] != MAGIC {
            return Err(FrameError::Foreign);
        }
        if header[4] != VERSION {
            return Err(FrameError::Version(header[4]));
        }
        let key = usize::from(u16::from_le_bytes(array(header, 6)));
        if header[5] != 0 || key > Key::MAX_LEN {
            return Err(FrameError::Damaged);
        }
        Ok(Self { key, data: u64::from_le_bytes(array(header, 8)) })
    }

    fn total(&self) -> Option<usize> {
        usize::try_from(self.data).ok()?.checked_add(HEADER_LEN + self.key)
    }
}

fn array<const N: usize>(header: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    *header[at..].first_chunk().expect("the offsets of the header are constants within it")
}

fn body_check(head: &[u8], key: &[u8], data: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(head);
    hash.update(key);
    hash.update(data);
    hash.digest()
}

fn words_check(body_check: [u8; 8], words: &[u8]) -> u64 {
    let mut input = [0; 24];
    input[..8].copy_from_slice(&body_check);
    input[8..].copy_from_slice(words);
    xxh3_64(&input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Key, Record) {
        let record = Record::new(
            &b"\x00opaque\xff"[..],
            Some(Timestamp::from_millis(1_700_000_000_123)),
            Revision::from_bytes(*b"revision"),
        );
        (Key::parse("user:alice").unwrap(), record)
    }

    #[test]
    fn encoded_records_decode() {
        let (key, record) = sample();
        for record in [
            record.clone(),
            Record { expires: None, ..record.clone() },
            Record { data: Bytes::new(), ..record },
        ] {
            let bytes = encode(&key, &record).into();
            let frame = decode(&bytes).unwrap();
            assert_eq!((&frame.key, &frame.record), (&key, &record));
            assert_eq!(decode_for(&bytes, &key), Ok(Some(record)));
            assert_eq!(decode_for(&bytes, &Key::parse("user:alic").unwrap()), Ok(None));
        }
    }

    #[test]
    fn golden_version_1_is_read_and_written() {
        let golden = Bytes::from_static(include_bytes!("../golden/frame-v1.bin"));
        let (key, record) = sample();
        let frame = decode(&golden).unwrap();
        assert_eq!((frame.key, frame.record), (key.clone(), record.clone()));
        assert_eq!(encode(&key, &record), golden, "version 1 never changes");
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_detected() {
        let (key, record) = sample();
        let whole = encode(&key, &record);
        for len in 0..whole.len() {
            let cut = Bytes::copy_from_slice(&whole[..len]);
            assert!(decode(&cut).is_err() && decode_for(&cut, &key).is_err(), "cut at {len}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                let flipped = flipped.into();
                assert!(
                    decode(&flipped).is_err() && decode_for(&flipped, &key).is_err(),
                    "bit {bit} of byte {at}"
                );
            }
        }
        let mut longer = whole;
        longer.push(0);
        assert_eq!(decode(&longer.into()), Err(FrameError::Damaged));
    }

    #[test]
    fn a_touch_rewrites_one_block_only() {
        let (key, record) = sample();
        let mut frame = encode(&key, &record);
        let touched = Record { expires: None, revision: Revision::from_bytes([9; 8]), ..record };
        let check = *frame[16..].first_chunk().unwrap();
        frame[WORDS_AT..][..WORDS_LEN].copy_from_slice(&encode_words(
            check,
            touched.expires,
            touched.revision,
        ));
        assert_eq!(decode(&frame.into()).unwrap().record, touched);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(0u8.., 0..200), stamp in 0usize..3) {
            let mut bytes = bytes;
            if stamp > 0 && bytes.len() > 5 {
                bytes[..4].copy_from_slice(MAGIC);
                bytes[4] = stamp as u8;
            }
            let _ = decode(&bytes.into());
        }
    }
}

//! A record as a Redis string.
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 8 | revision |
//! | 9 | 8 | deadline in milliseconds since the Unix epoch, big-endian; 2^64 - 1 for none |
//! | 17 | | data |
//!
//! Revision and deadline are adjacent, so that a touch is one `SETRANGE`.

use bytes::{BufMut, Bytes};
use redis::{RedisWrite, ToRedisArgs};
use session_core::{Record, Revision, Timestamp};

/// The length of everything before the data.
pub(crate) const HEAD: usize = 17;

/// The largest data that one command carries, in bytes.
pub(crate) const WHOLE: usize = 1 << 20;

const VERSION: u8 = 1;
const NO_DEADLINE: u64 = u64::MAX;

/// How long after its deadline Redis removes a record, in milliseconds. A server clock that is wrong by less ends no
/// session early.
const GRACE: u64 = 60_000;

/// The value is not a record of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// A record as an argument of a command, copied only into the command. A record that was read becomes the bytes that it
/// was read from, because each deadline has one form; the native compare relies on this.
#[derive(Clone, Copy)]
pub(crate) struct Stored<'a>(pub(crate) &'a Record);

impl Stored<'_> {
    pub(crate) fn len(self) -> usize {
        HEAD + self.0.data.len()
    }
}

impl ToRedisArgs for Stored<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut value = out.bufmut_for_next_arg(self.len());
        value.put_slice(&head(self.0));
        value.put_slice(&self.0.data);
    }
}

/// Everything before the data.
pub(crate) fn head(record: &Record) -> [u8; HEAD] {
    let mut head = [VERSION; HEAD];
    head[1..].copy_from_slice(&words(record.revision, record.expires));
    head
}

/// Revision and deadline as stored.
pub(crate) fn words(revision: Revision, expires: Option<Timestamp>) -> [u8; 16] {
    let mut words = [0; 16];
    words[..8].copy_from_slice(&revision.to_bytes());
    words[8..].copy_from_slice(&expires.map_or(NO_DEADLINE, Timestamp::as_millis).to_be_bytes());
    words
}

/// Reads a value; the data shares its memory.
pub(crate) fn decode(value: Vec<u8>) -> Result<Record, Damaged> {
    let (expires, revision) = decode_head(&value)?;
    Ok(Record { data: Bytes::from(value).slice(HEAD..), expires, revision })
}

/// Reads deadline and revision from the start of a value.
pub(crate) fn decode_head(value: &[u8]) -> Result<(Option<Timestamp>, Revision), Damaged> {
    let [VERSION, revision @ .., d0, d1, d2, d3, d4, d5, d6, d7] =
        value.first_chunk::<HEAD>().ok_or(Damaged)?
    else {
        return Err(Damaged);
    };
    let deadline = u64::from_be_bytes([*d0, *d1, *d2, *d3, *d4, *d5, *d6, *d7]);
    let revision = Revision::from_bytes(*revision.first_chunk().ok_or(Damaged)?);
    Ok(((deadline != NO_DEADLINE).then(|| Timestamp::from_millis(deadline)), revision))
}

/// The time to live of a record in Redis, in milliseconds as text; `None` for a record that Redis must not remove.
pub(crate) fn time_to_live(expires: Option<Timestamp>, now: Timestamp) -> Option<String> {
    let left = expires?.as_millis().saturating_sub(now.as_millis()).saturating_add(GRACE);
    // Redis counts up to 2^63 ms from 1970. A deadline beyond that never comes.
    (left < 1 << 52).then(|| left.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(record: &Record) -> Vec<u8> {
        Stored(record).to_redis_args().concat()
    }

    #[test]
    fn golden_value_of_version_1_is_read() {
        let revision = Revision::from_bytes(*b"revision");
        let record =
            Record::new(&b"data\0\xff"[..], Some(Timestamp::from_millis(1_700_000_000_123)), revision);
        let golden = b"\x01revision\x00\x00\x01\x8b\xcf\xe5\x68\x7bdata\0\xff";
        assert_eq!(encode(&record), golden);
        assert_eq!(decode(golden.to_vec()), Ok(record.clone()));
        let forever = Record { expires: None, data: Bytes::new(), ..record };
        assert_eq!(decode(encode(&forever)), Ok(forever));
    }

    #[test]
    fn short_or_newer_value_is_damaged() {
        let record = Record::new(Bytes::new(), None, Revision::from_bytes([7; 8]));
        let whole = encode(&record);
        for len in 0..HEAD {
            assert_eq!(decode(whole[..len].to_vec()), Err(Damaged));
        }
        let mut other = whole;
        other[0] = 2;
        assert_eq!(decode(other), Err(Damaged));
    }
}

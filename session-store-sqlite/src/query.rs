//! The reading statements, and how a row becomes a record.
//!
//! A deadline is kept as the 64-bit integer whose bits it has. SQLite's integers are signed, so a deadline after the
//! year 292,278,994 reads as a negative number; clamping it would give back another deadline than was stored. Rust
//! decides what is live, SQL only narrows down.

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use session_core::{Cursor, Entry, Key, Page, Prefix, Record, Revision, Timestamp, is_live};

use crate::error::Fault;

const FIND: &str = "SELECT revision, deadline, data FROM records WHERE key = ?1";
const STATE: &str = "SELECT revision, deadline FROM records WHERE key = ?1";
const PAGE: &str = "SELECT key, revision, deadline, length(data) FROM records \
    WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3";
const COUNT: &str = "SELECT key, deadline FROM records WHERE key > ?1 AND key < ?2 ORDER BY key LIMIT ?3";

/// Every statement of this file, prepared when a connection is opened: a file that lacks a column is found then.
pub(crate) const STATEMENTS: &[&str] = &[FIND, STATE, PAGE, COUNT];

/// A page holds at most this much, so that a read in place stays short.
const LONGEST_PAGE: usize = 256;
/// The first byte of a cursor; the last key seen follows.
const CURSOR_VERSION: u8 = 1;

/// The live record of a key.
pub(crate) fn retrieve(connection: &Connection, key: &[u8], now: Timestamp) -> Result<Option<Record>, Fault> {
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let expires = deadline(row, 1)?;
    // Before the other columns: what has expired is absent, whatever else is wrong with it.
    if !is_live(expires, now) {
        return Ok(None);
    }
    let ValueRef::Blob(data) = row.get_ref(2)? else { return Err(Fault::Row("data is no blob")) };
    Ok(Some(Record { revision: revision(row, 0)?, expires, data: Bytes::copy_from_slice(data) }))
}

/// The revision of the live record of a key.
pub(crate) fn live_revision(
    connection: &Connection,
    key: &[u8],
    now: Timestamp,
) -> Result<Option<Revision>, Fault> {
    let mut statement = connection.prepare_cached(STATE)?;
    let mut rows = statement.query([key])?;
    match rows.next()? {
        Some(row) if is_live(deadline(row, 1)?, now) => Ok(Some(revision(row, 0)?)),
        _ => Ok(None),
    }
}

/// The part of a traversal that begins after `from`, in the order of the keys. A key never moves in that order, so one
/// that is there all the time is met exactly once.
pub(crate) fn page(
    connection: &Connection,
    range: &Range,
    limit: usize,
    now: Timestamp,
) -> Result<Page, Fault> {
    let limit = limit.clamp(1, LONGEST_PAGE);
    let mut statement = connection.prepare_cached(PAGE)?;
    let mut rows = statement.query((&*range.from, &*range.end, limit as i64))?;
    let (mut entries, mut seen, mut last) = (Vec::new(), 0, Bytes::new());
    while let Some(row) = rows.next()? {
        seen += 1;
        let bytes = key_bytes(row)?;
        if seen == limit {
            last = Bytes::from([&[CURSOR_VERSION], bytes].concat());
        }
        // Nobody can ask for what is no key: nothing of ours wrote it.
        let Some(key) = std::str::from_utf8(bytes).ok().and_then(|text| Key::parse(text).ok()) else {
            continue;
        };
        // A damaged column is unknown here; retrieving the key says what is wrong.
        let expires = deadline(row, 2).ok();
        if !is_live(expires.flatten(), now) {
            continue;
        }
        let mut entry = Entry::new(key);
        if let Some(expires) = expires {
            entry = entry.with_deadline(expires);
        }
        entry.revision = revision(row, 1).ok();
        entry.size = row.get::<_, i64>(3).ok().and_then(|size| u64::try_from(size).ok());
        entries.push(entry);
    }
    Ok(Page { entries, next: (seen == limit).then(|| Cursor::from_bytes(last)) })
}

/// How many of the next rows after `from` are live, and where to go on.
pub(crate) fn count_step(
    connection: &Connection,
    range: &Range,
    now: Timestamp,
) -> Result<(u64, Next), Fault> {
    let mut statement = connection.prepare_cached(COUNT)?;
    let mut rows = statement.query((&*range.from, &*range.end, LONGEST_PAGE as i64))?;
    let (mut live, mut seen, mut last) = (0, 0, None);
    while let Some(row) = rows.next()? {
        seen += 1;
        let bytes = key_bytes(row)?;
        if seen == LONGEST_PAGE {
            last = Some(bytes.into());
        }
        live += u64::from(is_live(deadline(row, 1).unwrap_or(None), now));
    }
    Ok((live, last))
}

/// After which key to go on, if there may be more.
pub(crate) type Next = Option<Box<[u8]>>;

/// The keys of a prefix that come after one of them, as an interval that is open on both sides.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) from: Box<[u8]>,
    pub(crate) end: Box<[u8]>,
}

impl Range {
    /// All keys of `prefix`: between `prefix:` and `prefix;`, for the semicolon comes next after the colon.
    pub(crate) fn all(prefix: &Prefix) -> Self {
        let with = |mark: &str| [prefix.as_str(), mark].concat().into_bytes().into_boxed_slice();
        Self { from: with(":"), end: with(";") }
    }

    /// The rest of a traversal, or `None` where the cursor is not of this prefix and version.
    pub(crate) fn after(prefix: &Prefix, cursor: &Cursor) -> Option<Self> {
        let all = Self::all(prefix);
        if cursor.is_start() {
            return Some(all);
        }
        let (&version, key) = cursor.as_bytes().split_first()?;
        let within = version == CURSOR_VERSION && key.len() > all.from.len() && key.starts_with(&all.from);
        within.then(|| Self { from: key.into(), end: all.end })
    }
}

pub(crate) fn deadline_bits(deadline: Option<Timestamp>) -> Option<i64> {
    deadline.map(|deadline| deadline.as_millis().cast_signed())
}

pub(crate) fn deadline(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, Fault> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(bits) => Ok(Some(Timestamp::from_millis(bits.cast_unsigned()))),
        _ => Err(Fault::Row("deadline is no integer")),
    }
}

pub(crate) fn key_bytes<'row>(row: &'row Row<'_>) -> Result<&'row [u8], Fault> {
    match row.get_ref(0)? {
        ValueRef::Blob(bytes) => Ok(bytes),
        _ => Err(Fault::Row("key is no blob")),
    }
}

fn revision(row: &Row<'_>, column: usize) -> Result<Revision, Fault> {
    match row.get_ref(column)? {
        ValueRef::Blob(bytes) => {
            bytes.try_into().map(Revision::from_bytes).map_err(|_| Fault::Row("revision is not 8 bytes"))
        }
        _ => Err(Fault::Row("revision is no blob")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_followed_only_by_its_own_prefix_and_version() {
        let user = Prefix::new("user").unwrap();
        let cursor = |bytes: &[u8]| Cursor::from_bytes(bytes.to_vec());
        assert!(Range::after(&user, &Cursor::start()).is_some());
        assert_eq!(&*Range::after(&user, &cursor(b"\x01user:b")).unwrap().from, b"user:b");
        for bytes in [&b"\x01"[..], b"\x02user:b", b"\x01user:", b"\x01users:b", b"\x01session:b", b"user:b"]
        {
            assert!(Range::after(&user, &cursor(bytes)).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn a_range_holds_its_prefix_and_no_longer_or_shorter_one() {
        let range = Range::all(&Prefix::new("user").unwrap());
        let within = |key: &str| *range.from < *key.as_bytes() && *key.as_bytes() < *range.end;
        assert!(within("user:a") && within("user:\u{10ffff}") && within("user:\0"));
        assert!(!within("users:a") && !within("use:a") && !within("user-x:a"));
    }
}

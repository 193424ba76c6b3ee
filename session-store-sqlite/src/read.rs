//! Reading a record, and how a row becomes one.
//!
//! Deadlines are SQLite integers. A deadline beyond `i64::MAX` milliseconds (the year 292,278,994) is stored as
//! `i64::MAX`. Older versions of this driver stored it as a negative number, which reads as `i64::MAX` too.

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use session_core::{Found, Record, Revision, Timestamp, is_live};

use crate::error::Fault;
use crate::queue::IN_PLACE_BYTES;

/// Finds a row through the index and reads it by its number, with the key that is stored in it: a damaged index leads to
/// the record of another key, or to no row. (SQLite would read `i.key` from the index.)
macro_rules! by_key {
    ($columns:literal) => {
        concat!(
            "SELECT r.key, ",
            $columns,
            " FROM records AS i LEFT JOIN records AS r ON r.id = i.id WHERE i.key = ?1"
        )
    };
}

// SQLite takes the length from the head of the row, and reads the data only where it is short enough.
const FIND: &str = by_key!("r.revision, r.deadline, CASE WHEN length(r.data) <= ?2 THEN r.data END");
const STATE: &str = by_key!("r.revision, r.deadline, length(r.data)");

/// Prepared when a connection is opened, so that a missing column is found then.
pub(crate) const STATEMENTS: &[&str] = &[FIND, STATE];

/// How much data of one record the thread of a caller reads or replaces. The driver's own threads take any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Most {
    InPlace,
    Any,
}

impl Most {
    pub(crate) fn bytes(self) -> i64 {
        match self {
            Self::InPlace => IN_PLACE_BYTES as i64,
            Self::Any => i64::MAX,
        }
    }
}

/// The live record of a key. `Fault::Large` if its data is longer than `most`.
pub(crate) fn retrieve(
    connection: &Connection,
    key: &[u8],
    now: Timestamp,
    most: Most,
) -> Result<Option<Record>, Fault> {
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query((key, most.bytes()))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    check_key(row, key)?;
    let expires = deadline(row, 2)?;
    // An expired record is absent, even if its other columns are damaged.
    if !is_live(expires, now) {
        return Ok(None);
    }
    match row.get_ref(3)? {
        ValueRef::Blob(data) => {
            Ok(Some(Record { revision: revision(row, 1)?, expires, data: Bytes::copy_from_slice(data) }))
        }
        ValueRef::Null if most == Most::InPlace => Err(Fault::Large),
        _ => Err(Fault::Row("data is not a blob")),
    }
}

/// The state of a key, without reading its data. A damaged row is `Fault::Row`, and data longer than `most` is
/// `Fault::Large`.
pub(crate) fn state(connection: &Connection, key: &[u8], now: Timestamp, most: Most) -> Result<Found, Fault> {
    let mut statement = connection.prepare_cached(STATE)?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else { return Ok(Found::Nothing) };
    check_key(row, key)?;
    if row.get_ref(3)?.as_i64_or_null().is_ok_and(|length| length > Some(most.bytes())) {
        return Err(Fault::Large);
    }
    if is_live(deadline(row, 2)?, now) { Ok(Found::Live(revision(row, 1)?)) } else { Ok(Found::Expired) }
}

/// Checks the key of the row, which is in the first column.
fn check_key(row: &Row<'_>, key: &[u8]) -> Result<(), Fault> {
    if has_key(row, 0, key)? { Ok(()) } else { Err(Fault::Index) }
}

/// Whether `column` has this key.
pub(crate) fn has_key(row: &Row<'_>, column: usize, key: &[u8]) -> Result<bool, Fault> {
    Ok(matches!(row.get_ref(column)?, ValueRef::Blob(found) if found == key))
}

/// A moment as SQLite stores it.
pub(crate) fn millis(moment: Timestamp) -> i64 {
    i64::try_from(moment.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn deadline(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, Fault> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(millis) => {
            Ok(Some(Timestamp::from_millis(u64::try_from(millis).unwrap_or(i64::MAX as u64))))
        }
        _ => Err(Fault::Row("deadline is not an integer")),
    }
}

pub(crate) fn revision(row: &Row<'_>, column: usize) -> Result<Revision, Fault> {
    match row.get_ref(column)? {
        ValueRef::Blob(bytes) => {
            bytes.try_into().map(Revision::from_bytes).map_err(|_| Fault::Row("revision is not 8 bytes"))
        }
        _ => Err(Fault::Row("revision is not a blob")),
    }
}

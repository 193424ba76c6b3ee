//! Reading a record, and how a row becomes one.
//!
//! Deadlines are SQLite integers. A deadline beyond `i64::MAX` milliseconds (the year 292,278,994) is stored as
//! `i64::MAX`. Older versions of this driver stored it as a negative number, which reads as `i64::MAX` too.

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use session_core::{Found, Record, Revision, Timestamp, is_live};

use crate::error::Fault;

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

const FIND: &str = by_key!("r.revision, r.deadline, r.data");
const STATE: &str = by_key!("r.revision, r.deadline");

/// Prepared when a connection is opened, so that a missing column is found then.
pub(crate) const STATEMENTS: &[&str] = &[FIND, STATE];

/// The live record of a key.
pub(crate) fn retrieve(connection: &Connection, key: &[u8], now: Timestamp) -> Result<Option<Record>, Fault> {
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    check_key(row, key)?;
    let expires = deadline(row, 2)?;
    // An expired record is absent, even if its other columns are damaged.
    if !is_live(expires, now) {
        return Ok(None);
    }
    let ValueRef::Blob(data) = row.get_ref(3)? else { return Err(Fault::Row("data is not a blob")) };
    Ok(Some(Record { revision: revision(row, 1)?, expires, data: Bytes::copy_from_slice(data) }))
}

/// The state of a key, without reading its data. A damaged row is `Fault::Row`.
pub(crate) fn state(connection: &Connection, key: &[u8], now: Timestamp) -> Result<Found, Fault> {
    let mut statement = connection.prepare_cached(STATE)?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else { return Ok(Found::Nothing) };
    check_key(row, key)?;
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

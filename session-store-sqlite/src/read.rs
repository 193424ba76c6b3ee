//! Reading a record, and how a row becomes one.
//!
//! Deadlines are SQLite integers. A deadline beyond `i64::MAX` milliseconds (the year 292,278,994) is stored as
//! `i64::MAX`. Older versions of this driver stored it as a negative number, which reads as `i64::MAX` too.

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use session_core::{Found, Record, Revision, Timestamp, is_live};

use crate::error::Fault;

const FIND: &str = "SELECT revision, deadline, data FROM records WHERE key = ?1";
const STATE: &str = "SELECT revision, deadline FROM records WHERE key = ?1";

/// Prepared when a connection is opened, so that a missing column is found then.
pub(crate) const STATEMENTS: &[&str] = &[FIND, STATE];

/// The live record of a key.
pub(crate) fn retrieve(connection: &Connection, key: &[u8], now: Timestamp) -> Result<Option<Record>, Fault> {
    let mut statement = connection.prepare_cached(FIND)?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let expires = deadline(row, 1)?;
    // An expired record is absent, even if its other columns are damaged.
    if !is_live(expires, now) {
        return Ok(None);
    }
    let ValueRef::Blob(data) = row.get_ref(2)? else { return Err(Fault::Row("data is not a blob")) };
    Ok(Some(Record { revision: revision(row, 0)?, expires, data: Bytes::copy_from_slice(data) }))
}

/// The state of a key, without reading its data. A damaged row is `Fault::Row`.
pub(crate) fn state(connection: &Connection, key: &[u8], now: Timestamp) -> Result<Found, Fault> {
    let mut statement = connection.prepare_cached(STATE)?;
    let mut rows = statement.query([key])?;
    let Some(row) = rows.next()? else { return Ok(Found::Nothing) };
    if is_live(deadline(row, 1)?, now) { Ok(Found::Live(revision(row, 0)?)) } else { Ok(Found::Expired) }
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

//! Removing expired records, a bounded step at a time.

use rusqlite::Connection;
use session_core::{Purged, Timestamp, is_live};

use crate::error::Fault;
use crate::read::{deadline, millis};

const DUE: &str = "SELECT id, deadline FROM records WHERE due BETWEEN 0 AND ?1 ORDER BY due LIMIT ?2";
const ANY_DUE: &str = "SELECT EXISTS (SELECT 1 FROM records WHERE due BETWEEN 0 AND ?1)";
const DELETE: &str = "DELETE FROM records WHERE id = ?1";
const POSTPONE: &str = "UPDATE records SET due = ?2 WHERE id = ?1";

/// Prepared when a connection is opened, so that a missing column is found then.
pub(crate) const STATEMENTS: &[&str] = &[DUE, ANY_DUE, DELETE, POSTPONE];

/// Most rows of one step. Other changes are committed between the steps.
const STEP: usize = 128;

/// One step. It runs in the transaction that also removes, so no record is extended between the look and the removal.
pub(crate) fn purge(connection: &Connection, limit: usize, now: Timestamp) -> Result<Purged, Fault> {
    let mut purged = Purged::default();
    for (id, deadline) in due(connection, now)? {
        if is_live(deadline, now) {
            connection.prepare_cached(POSTPONE)?.execute((id, deadline.map(millis)))?;
        } else if purged.removed < limit as u64 {
            connection.prepare_cached(DELETE)?.execute([id])?;
            purged.removed += 1;
        }
    }
    purged.more = connection.prepare_cached(ANY_DUE)?.query_row([millis(now)], |row| row.get(0))?;
    Ok(purged)
}

fn due(connection: &Connection, now: Timestamp) -> Result<Vec<(i64, Option<Timestamp>)>, Fault> {
    let mut statement = connection.prepare_cached(DUE)?;
    let mut rows = statement.query((millis(now), STEP as i64))?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        // A damaged deadline ends no record. The record stays for `retrieve` to report, and is not due again.
        due.push((row.get(0)?, deadline(row, 1).unwrap_or(None)));
    }
    Ok(due)
}

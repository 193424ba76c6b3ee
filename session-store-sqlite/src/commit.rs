//! One transaction.

use rusqlite::Connection;
use session_core::{Change, Clock, Result, Timestamp};

use crate::error::{Cause, Fault};
use crate::queue::Work;
use crate::read::Most;
use crate::{change, purge};

/// How a transaction ended.
pub(crate) enum Commit {
    /// Committed, with the answer of each work. An answer may be that its own row is damaged.
    Done(Vec<Result<Change>>),
    /// Another process holds the write lock; nothing was done.
    Busy(Cause),
    /// A thread of the driver has to do it, because a record is large; nothing was done.
    Large,
    /// All of it was rolled back.
    Failed(Cause),
    /// The disk failed during the commit: a process that recovers the log may find the transaction or not.
    Unknown(Cause),
}

pub(crate) fn commit<'a>(
    connection: &Connection,
    works: impl Iterator<Item = &'a Work>,
    clock: &dyn Clock,
    most: Most,
) -> Commit {
    // A clock that panicked left the transaction open.
    roll_back(connection);
    if let Err(cause) = execute(connection, "BEGIN IMMEDIATE") {
        return if cause.is_busy() { Commit::Busy(cause) } else { Commit::Failed(cause) };
    }
    let mut answers = Vec::new();
    for work in works {
        // The clock is read at the moment of the change, not of the call: a record that expired while the change was
        // queued does not come back.
        match apply(connection, work, clock.now(), most) {
            Err(Fault::Engine(cause)) => {
                roll_back(connection);
                return Commit::Failed(cause);
            }
            Err(Fault::Large) => {
                roll_back(connection);
                return Commit::Large;
            }
            answer => answers.push(answer.map_err(|fault| fault.during(work.operation()))),
        }
    }
    match execute(connection, "COMMIT") {
        Ok(()) => Commit::Done(answers),
        Err(cause) => {
            roll_back(connection);
            if cause.is_surely_not_committed() { Commit::Failed(cause) } else { Commit::Unknown(cause) }
        }
    }
}

fn apply(connection: &Connection, work: &Work, now: Timestamp, most: Most) -> Result<Change, Fault> {
    match work {
        Work::Change(key, request) => change::apply(connection, key.as_bytes(), request, now, most),
        Work::Purge { limit, purged } => {
            let step = purge::purge(connection, *limit, now)?;
            *purged.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = step;
            Ok(Change::Applied)
        }
    }
}

/// SQLite has already rolled back after some errors. If this fails, the next `BEGIN` fails too.
fn roll_back(connection: &Connection) {
    if !connection.is_autocommit() {
        let _ = execute(connection, "ROLLBACK");
    }
}

fn execute(connection: &Connection, statement: &str) -> Result<(), Cause> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

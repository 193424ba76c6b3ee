//! The thread that waits for the disk so that nobody else does: checkpoints, `flush`, `close`, and under `Process` a
//! synchronisation now and then, so that power loss takes seconds and not hours.
//!
//! Checkpoints run beside the writer as long as the log is short. Under a steady load that never starts the log
//! afresh, for there is always a frame that came after; so once the log has reached its limit, one is run while the
//! writers wait in the queue. (Left to SQLite, the committer itself would checkpoint: six milliseconds in the worst
//! thousandth, on a runtime worker.)

use std::io;
use std::path::PathBuf;
use std::sync::PoisonError;

use futures_channel::oneshot;
use rusqlite::Connection;
use session_core::{Operation, Result, StoreError, StoreErrorKind};

use crate::config::PAGE_BYTES;
use crate::error::Cause;
use crate::open;
use crate::queue::{Phase, Waiting, now};
use crate::readers::Readers;
use crate::schema::APPLICATION_ID;
use crate::writer::{Abandon, Writer};

type Caller = oneshot::Sender<Result<()>>;

enum Chore {
    Flush(Vec<Caller>),
    Checkpoint,
    Sync,
    Close,
}

/// Works until the writer's thread has ended, then closes everything.
pub(crate) fn run(writer: &Writer, readers: &Readers, connection: Connection) {
    let _guard = Abandon(writer);
    // The operating system tells of lost writes only once: the same call again would answer well. So the first failure is
    // kept until all of the log has been written into the file, and the file synchronised.
    let mut lost = Ok(());
    loop {
        match next(writer) {
            Chore::Flush(callers) => {
                if lost.is_err() {
                    rewrite(writer, &connection, &mut lost);
                }
                lost = lost.and(sync_log(writer));
                answer(callers, &lost, Operation::Flush);
            }
            Chore::Checkpoint => checkpoint(writer, &connection, &mut lost),
            Chore::Sync => lost = lost.and(sync_log(writer)),
            Chore::Close => break,
        }
    }
    if lost.is_err() {
        rewrite(writer, &connection, &mut lost);
    }
    let done = lost.and(sync_log(writer));
    readers.close();
    // The last connection of all processes moves the log into the file and removes it.
    drop(connection);
    drop(writer.alone(Option::take));
    let mut waiting = writer.queue.lock();
    waiting.phase = Phase::Closed;
    let (closes, flushes) = (std::mem::take(&mut waiting.closes), std::mem::take(&mut waiting.flushes));
    drop(waiting);
    answer(flushes, &done, Operation::Flush);
    answer(closes, &done, Operation::Close);
}

fn next(writer: &Writer) -> Chore {
    let mut waiting = writer.queue.lock();
    loop {
        if let Some(chore) = pick(&mut waiting) {
            return chore;
        }
        let Some(since) = waiting.unsynced else {
            waiting = writer.queue.chores.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let left = writer.config.sync_every.saturating_sub(now().duration_since(since));
        if left.is_zero() {
            return Chore::Sync;
        }
        waiting = writer.queue.chores.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

fn pick(waiting: &mut Waiting) -> Option<Chore> {
    if !waiting.flushes.is_empty() {
        return Some(Chore::Flush(std::mem::take(&mut waiting.flushes)));
    }
    if matches!(waiting.phase, Phase::Drained | Phase::Closed) {
        return Some(Chore::Close);
    }
    std::mem::take(&mut waiting.checkpoint_due).then_some(Chore::Checkpoint)
}

/// Moves the log into the file. What fails here fails no caller: the log stays, and the next one tries again.
fn checkpoint(writer: &Writer, connection: &Connection, lost: &mut io::Result<()>) {
    let log = &writer.log;
    let cramped = log.was_cramped();
    let moved = move_log(connection, "PASSIVE", lost);
    log.checkpointed(moved.as_ref().map_or_else(|| log.pages(), |moved| moved.pages));
    if moved.is_some_and(|moved| moved.all && moved.pages == log.pages()) {
        writer.alone(|connection| begin_log(connection.as_ref()));
    } else if cramped || log.pages() >= writer.config.max_wal_bytes / PAGE_BYTES {
        // Once more beside the writers, so that little is left to be done while they wait.
        let _ = move_log(connection, "PASSIVE", lost);
        rewrite(writer, connection, lost);
    }
    // What became due meanwhile has been seen to; if not, the next commit says so.
    writer.queue.lock().checkpoint_due = false;
}

/// Moves all of the log into the file while the writers wait.
fn rewrite(writer: &Writer, connection: &Connection, lost: &mut io::Result<()>) {
    writer.alone(|own| match move_log(connection, "RESTART", lost) {
        Some(moved) if moved.all => begin_log(own.as_ref()),
        // A reader of another process is in the way: the next step of growth is soon enough.
        _ => writer.log.checkpointed(writer.log.pages()),
    });
}

/// Begins the log afresh, if it has been moved, with a write that changes nothing. Whoever does that must synchronise
/// the log's header, and so it is done here and while opening, and not by the next caller on its own thread.
pub(crate) fn begin_log(connection: Option<&Connection>) {
    if let Some(connection) = connection {
        // The same in every version of the schema, which may be newer than ours by now. If another process holds the
        // lock, it has begun the log.
        let _ = connection.pragma_update(None, "application_id", APPLICATION_ID);
    }
}

struct Moved {
    /// Nothing of the log is left to be moved, nor read from there.
    all: bool,
    pages: u64,
}

/// `None` where it failed. `lost` is what was not written so far: a failure of the disk adds to it, and all of the log
/// in the file, which SQLite has then synchronised, makes it good.
fn move_log(connection: &Connection, mode: &str, lost: &mut io::Result<()>) -> Option<Moved> {
    match try_to_move_log(connection, mode) {
        Ok(moved) => {
            if moved.all {
                *lost = Ok(());
            }
            Some(moved)
        }
        Err(cause) => {
            if !cause.is_busy() && lost.is_ok() {
                *lost = Err(io::Error::other(cause));
            }
            None
        }
    }
}

fn try_to_move_log(connection: &Connection, mode: &str) -> Result<Moved, Cause> {
    let statement = format!("PRAGMA wal_checkpoint({mode})");
    let (busy, pages, moved): (bool, i64, i64) = connection
        .prepare_cached(&statement)?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(Moved { all: !busy && pages == moved, pages: u64::try_from(pages).unwrap_or(0) })
}

/// Makes everything that is committed survive power loss.
///
/// What was committed is in the log, or was moved from it into the file; whoever moves it synchronises the file before
/// the log is begun afresh. So the log and its name are all that is left to synchronise. (A checkpoint would do it
/// too, unless a reader holds it up: then it answers well and has synchronised nothing.) The log may be opened and
/// closed here because SQLite holds no locks on it; on the file itself that would drop them.
///
/// The log is there as long as any connection is: SQLite makes it when the first begins to read, and the last to be
/// closed removes it. So one that is missing is a failure. Somebody has moved or removed it, and what is synchronised
/// instead is not what was acknowledged.
fn sync_log(writer: &Writer) -> io::Result<()> {
    writer.queue.lock().unsynced = None;
    writer.log.will_be_synced();
    let mut log = writer.config.path.clone().into_os_string();
    log.push("-wal");
    std::fs::OpenOptions::new().write(true).open(PathBuf::from(log))?.sync_all()?;
    open::sync_directory(&writer.config.path)
}

fn answer(callers: Vec<Caller>, done: &io::Result<()>, operation: Operation) {
    for caller in callers {
        let _ = caller.send(match done {
            Ok(()) => Ok(()),
            Err(cause) => Err(failure(cause, operation)),
        });
    }
}

fn failure(cause: &io::Error, operation: Operation) -> StoreError {
    let kind = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreErrorKind::Misconfigured,
        _ => StoreErrorKind::Backend,
    };
    // An io::Error cannot be copied, and there may be several who are told.
    let copy = cause.raw_os_error().map_or_else(|| cause.kind().into(), io::Error::from_raw_os_error);
    StoreError::new(kind, operation)
        .with_detail("the write-ahead log could not be synchronised")
        .with_source(copy)
}

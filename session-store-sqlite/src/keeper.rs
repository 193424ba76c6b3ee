//! The thread that waits for the disk: checkpoints, `flush`, `close`, and under `Process` a synchronization after each
//! `sync_every`, so that power loss undoes seconds and not hours.
//!
//! A checkpoint runs beside the writer while the log is short. Under a steady load such a checkpoint never lets the log
//! restart, because there is always a newer frame. So once the log has reached its limit, a checkpoint runs while the
//! changes wait in the queue. (SQLite's automatic checkpoints run on the committing thread: 6 ms in the worst
//! thousandth, on a runtime worker.)

use rusqlite::Connection;
use session_core::offload::FileWatch;
use session_core::{OpenFile, Operation, StoreError, StoreErrorKind};
use std::io;
use std::sync::{Arc, PoisonError};

use crate::config::PAGE_BYTES;
use crate::error::Cause;
use crate::log::{self, Moved};
use crate::queue::{CloseOnPanic, FlushCaller, Phase, Waiting, now};
use crate::readers::Readers;
use crate::writer::Writer;

/// Shared, because several callers may get one failure.
type Synced = Result<(), Arc<Failure>>;

/// Why a flush failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("write-ahead log could not be synchronized")]
    Log(#[source] io::Error),
    #[error("write-ahead log could not be moved into the file")]
    Move(#[source] Cause),
    #[error("file is gone")]
    Gone,
}

enum Chore {
    Flush(Vec<FlushCaller>),
    Checkpoint,
    Sync,
    Close,
}

/// Works until the writer's thread has ended, then closes everything, and the registration of the file last.
pub(crate) fn run(
    writer: &Writer,
    readers: &Readers,
    connection: Connection,
    files: &FileWatch,
    registered: OpenFile,
) {
    let _guard = CloseOnPanic(&writer.queue);
    let mut keeper = Keeper { writer, connection, files, failed: Ok(()), held: false };
    loop {
        match next(writer) {
            Chore::Flush(callers) => {
                let done = keeper.flush();
                answer(callers, &done, Operation::Flush, files);
            }
            Chore::Checkpoint => keeper.checkpoint(),
            Chore::Sync => keeper.sync(),
            Chore::Close => break,
        }
    }
    let done = keeper.flush();
    files.stop();
    readers.close();
    // The last connection of all processes moves the log into the file and deletes it.
    drop(keeper.connection);
    drop(writer.alone(Option::take));
    drop(registered);
    let mut waiting = writer.queue.lock();
    waiting.phase = Phase::Closed;
    let (closes, flushes) = (std::mem::take(&mut waiting.closes), std::mem::take(&mut waiting.flushes));
    drop(waiting);
    answer(flushes, &done, Operation::Flush, files);
    answer(closes, &done, Operation::Close, files);
}

fn next(writer: &Writer) -> Chore {
    let mut waiting = writer.queue.lock();
    loop {
        if let Some(chore) = pick(&mut waiting) {
            return chore;
        }
        let chores = &writer.queue.chores;
        waiting = match waiting.unsynced {
            None => chores.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            Some(since) => {
                let left = writer.config.sync_every.saturating_sub(now().duration_since(since));
                if left.is_zero() {
                    return Chore::Sync;
                }
                chores.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
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

struct Keeper<'a> {
    writer: &'a Writer,
    connection: Connection,
    files: &'a FileWatch,
    /// The first failure of the disk. The operating system reports a lost write only once, so the failure is kept until
    /// the whole log is in the file and the file is synchronized.
    failed: Synced,
    /// Whether a reader keeps the log beyond its limit. The event about it comes once in that time.
    held: bool,
}

impl Keeper<'_> {
    fn flush(&mut self) -> Synced {
        if self.failed.is_err() {
            self.rewrite();
        }
        self.sync();
        match self.files.look(Operation::Flush) {
            Ok(()) => self.failed.clone(),
            Err(_) => Err(Arc::new(Failure::Gone)),
        }
    }

    fn sync(&mut self) {
        self.writer.queue.lock().unsynced = None;
        let synced = self.writer.log.sync(&self.writer.config.path);
        if self.failed.is_ok() {
            self.failed = synced.map_err(|cause| Arc::new(Failure::Log(cause)));
        }
    }

    /// Moves the log into the file. A failure fails no caller: the log stays, and the next checkpoint tries again.
    fn checkpoint(&mut self) {
        let Writer { log, config, queue, .. } = self.writer;
        let cramped = log.was_cramped();
        let moved = self.move_log("PASSIVE");
        log.checkpointed(moved.as_ref().map_or_else(|| log.pages(), |moved| moved.pages));
        if moved.is_some_and(|moved| moved.all && moved.pages == log.pages()) {
            self.writer.alone(|own| log::restart(own.as_ref()));
        } else if cramped || log.pages() >= config.max_wal_bytes / PAGE_BYTES {
            // Once more beside the writer, so that little is left to move while changes wait.
            let _ = self.move_log("PASSIVE");
            self.rewrite();
        }
        // If another checkpoint is due by now, the next commit says so.
        queue.lock().checkpoint_due = false;
    }

    /// Moves the whole log into the file while changes wait.
    fn rewrite(&mut self) {
        let writer = self.writer;
        writer.alone(|own| match self.move_log("RESTART") {
            Some(moved) if moved.all => log::restart(own.as_ref()),
            // A reader of another process blocks it. The next step of growth tries again.
            moved => {
                writer.log.checkpointed(writer.log.pages());
                self.note_held(moved.map_or(0, |moved| moved.pages));
            }
        });
    }

    /// Reports a log of this length that a reader holds, unless that is known.
    fn note_held(&mut self, pages: u64) {
        let config = &self.writer.config;
        let bytes = pages * PAGE_BYTES;
        if bytes >= config.max_wal_bytes && !std::mem::replace(&mut self.held, true) {
            let (path, limit) = (config.path.display(), config.max_wal_bytes);
            tracing::warn!(
                %path, bytes, limit,
                "write-ahead log grows beyond its limit: another connection keeps reading one snapshot"
            );
        }
    }

    /// `None` if it failed.
    fn move_log(&mut self, mode: &str) -> Option<Moved> {
        match log::move_into_file(&self.connection, mode) {
            Ok(moved) => {
                if moved.all {
                    self.failed = Ok(());
                    self.held = false;
                }
                Some(moved)
            }
            Err(cause) => {
                if !cause.is_busy() && self.failed.is_ok() {
                    self.failed = Err(Arc::new(Failure::Move(cause)));
                }
                None
            }
        }
    }
}

fn answer(callers: Vec<FlushCaller>, done: &Synced, operation: Operation, files: &FileWatch) {
    for caller in callers {
        let _ = caller.send(done.clone().map_err(|cause| failed(cause, operation, files)));
    }
}

fn failed(cause: Arc<Failure>, operation: Operation, files: &FileWatch) -> StoreError {
    let kind = match &*cause {
        // The options are right: the log was there when the store was opened.
        Failure::Gone => return files.gone(operation),
        Failure::Log(cause) if cause.kind() == io::ErrorKind::NotFound => StoreErrorKind::Unavailable,
        Failure::Log(cause) => StoreErrorKind::from_io(cause),
        Failure::Move(cause) => cause.kind(),
    };
    StoreError::new(kind, operation).with_detail(cause.to_string()).with_source(cause)
}

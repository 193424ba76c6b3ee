//! The changes that wait for the writer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_channel::oneshot;
use session_core::{Change, ChangeRequest, Key, Operation, Purged, Result, StoreError};

/// Most changes that are committed on a caller's own thread. More would block it for too long.
pub(crate) const IN_PLACE_CHANGES: usize = 64;
/// The same bound in bytes.
pub(crate) const IN_PLACE_BYTES: usize = 128 * 1024;

/// The weight of a change beside its data.
const LIGHT: usize = 512;
/// The weight of a purge step, which is too much for a caller's thread.
const HEAVY: usize = 1 << 20;

/// A unit of work inside the writer's transaction.
#[derive(Debug)]
pub(crate) enum Work {
    Change(Key, ChangeRequest),
    /// A purge step. It is answered with `Applied`, and writes what it did into `purged`.
    Purge {
        limit: usize,
        purged: Arc<Mutex<Purged>>,
    },
}

impl Work {
    pub(crate) fn operation(&self) -> Operation {
        match self {
            Self::Change(_, request) => request.operation(),
            Self::Purge { .. } => Operation::Purge,
        }
    }

    /// About how many bytes the work keeps in memory while it waits, and writes when it is done.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Change(_, request) => LIGHT + request.data_len(),
            Self::Purge { .. } => HEAVY,
        }
    }
}

/// Queued work and its caller. If the caller is gone, the work is done all the same.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) caller: oneshot::Sender<Result<Change>>,
    pub(crate) since: Instant,
    /// It was part of a transaction that failed, and is tried again in one of its own.
    pub(crate) alone: bool,
}

impl Job {
    pub(crate) fn new(work: Work, alone: bool) -> (Self, oneshot::Receiver<Result<Change>>) {
        let (caller, receiver) = oneshot::channel();
        (Self { work, caller, since: now(), alone }, receiver)
    }
}

/// A caller and its answer.
pub(crate) type Answered = (oneshot::Sender<Result<Change>>, Result<Change>);

/// Sends the answers. A caller that is gone does not matter.
pub(crate) fn deliver(answers: impl IntoIterator<Item = Answered>) {
    for (caller, answer) in answers {
        let _ = caller.send(answer);
    }
}

/// The steps from open to closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Open,
    /// New work is refused; queued work is still done.
    Closing,
    /// The writer has done all of it.
    Drained,
    /// The connections are closed.
    Closed,
}

pub(crate) type FlushCaller = oneshot::Sender<Result<()>>;

/// The state behind the queue's lock.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) jobs: VecDeque<Job>,
    weight: usize,
    pub(crate) phase: Phase,
    /// The keeper uses the writer next: no other thread begins.
    pub(crate) reserved: bool,
    /// A commit in place did not finish. The writer's thread continues it, and no caller tries in place before that.
    pub(crate) handed_over: bool,
    /// The writer's thread waits to be woken.
    pub(crate) asleep: bool,
    pub(crate) checkpoint_due: bool,
    /// Since when the log holds writes that power loss would undo.
    pub(crate) unsynced: Option<Instant>,
    pub(crate) flushes: Vec<FlushCaller>,
    pub(crate) closes: Vec<FlushCaller>,
}

impl Waiting {
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn push(&mut self, job: Job) {
        self.weight += job.work.weight();
        self.jobs.push_back(job);
    }

    /// Puts jobs back to the front.
    pub(crate) fn put_back(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().rev() {
            self.weight += job.work.weight();
            self.jobs.push_front(job);
        }
    }

    /// The next transaction: the oldest jobs, at most `limit`, or a single job with `alone`.
    pub(crate) fn take(&mut self, limit: usize) -> Vec<Job> {
        let together = match self.jobs.front() {
            Some(first) if first.alone => 1,
            _ => self.jobs.iter().take(limit).take_while(|job| !job.alone).count(),
        };
        let jobs: Vec<Job> = self.jobs.drain(..together).collect();
        self.weight -= jobs.iter().map(|job| job.work.weight()).sum::<usize>();
        jobs
    }
}

/// The queue of one store. Nothing is executed under its lock.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// Wakes the writer's thread.
    pub(crate) work: Condvar,
    /// Wakes the keeper's thread.
    pub(crate) chores: Condvar,
}

impl Queue {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the keeper for a flush.
    pub(crate) fn flush(&self) -> Result<oneshot::Receiver<Result<()>>> {
        let mut waiting = self.lock();
        if waiting.phase != Phase::Open {
            return Err(StoreError::closed(Operation::Flush));
        }
        let (caller, answer) = oneshot::channel();
        waiting.flushes.push(caller);
        self.chores.notify_all();
        Ok(answer)
    }

    /// Begins to close, without waiting. The answer comes when the store is closed; `None` means that it is.
    pub(crate) fn close(&self) -> Option<oneshot::Receiver<Result<()>>> {
        let mut waiting = self.lock();
        if waiting.phase == Phase::Closed {
            return None;
        }
        if waiting.phase == Phase::Open {
            waiting.phase = Phase::Closing;
        }
        let (caller, answer) = oneshot::channel();
        waiting.closes.push(caller);
        drop(waiting);
        self.work.notify_all();
        self.chores.notify_all();
        Some(answer)
    }
}

/// Lets no caller wait for a thread that panicked. The threads hold one of these.
pub(crate) struct CloseOnPanic<'a>(pub(crate) &'a Queue);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut waiting = self.0.lock();
            // Drops the callers' channels, and so answers them.
            *waiting = Waiting { phase: Phase::Closed, ..Waiting::default() };
            drop(waiting);
            self.0.work.notify_all();
            self.0.chores.notify_all();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures how long work is queued, which no session's clock moves"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

//! The changes that wait for the writer, and whom to wake.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_channel::oneshot;
use session_core::Result;

use crate::change::{Answer, ChangeRequest};

/// What may be committed on a caller's own thread: more would keep it busy for too long.
pub(crate) const IN_PLACE_CHANGES: usize = 64;
/// The same, in bytes.
pub(crate) const IN_PLACE_BYTES: usize = 128 * 1024;

/// A change that waits, and who waits for it. A caller who no longer waits changes nothing: the change is made.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) change: ChangeRequest,
    pub(crate) caller: oneshot::Sender<Result<Answer>>,
    pub(crate) since: Instant,
    /// It was part of a transaction that failed: it is tried by itself.
    pub(crate) alone: bool,
}

impl Job {
    pub(crate) fn new(change: ChangeRequest, alone: bool) -> (Self, oneshot::Receiver<Result<Answer>>) {
        let (caller, receiver) = oneshot::channel();
        (Self { change, caller, since: now(), alone }, receiver)
    }
}

/// A caller, and what it is told.
pub(crate) type Answered = (oneshot::Sender<Result<Answer>>, Result<Answer>);

/// How far the store is on its way from open to closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// Nothing new is taken; what is queued is still done.
    Closing,
    /// The writer has done it all.
    Drained,
    /// The connections are closed.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) jobs: VecDeque<Job>,
    bytes: usize,
    pub(crate) phase: Phase,
    /// The keeper wants the writer next: nobody else begins.
    pub(crate) reserved: bool,
    /// What is queued was tried in place and is the thread's now: nobody tries it again before it has.
    pub(crate) handed_over: bool,
    /// The writer's thread waits to be woken.
    pub(crate) asleep: bool,
    pub(crate) checkpoint_due: bool,
    /// Since when there is something in the log that power loss would take.
    pub(crate) unsynced: Option<Instant>,
    pub(crate) flushes: Vec<oneshot::Sender<Result<()>>>,
    pub(crate) closes: Vec<oneshot::Sender<Result<()>>>,
}

impl Waiting {
    pub(crate) fn weight(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, job: Job) {
        self.bytes += job.change.weight();
        self.jobs.push_back(job);
    }

    /// Puts back what was taken, before everything else.
    pub(crate) fn put_back(&mut self, jobs: Vec<Job>) {
        for job in jobs.into_iter().rev() {
            self.bytes += job.change.weight();
            self.jobs.push_front(job);
        }
    }

    /// The next transaction: the oldest jobs, at most `limit`. One that must be tried alone is one by itself.
    pub(crate) fn take(&mut self, limit: usize) -> Vec<Job> {
        let together = match self.jobs.front() {
            Some(first) if first.alone => 1,
            _ => self.jobs.iter().take(limit).take_while(|job| !job.alone).count(),
        };
        let jobs: Vec<Job> = self.jobs.drain(..together).collect();
        self.bytes -= jobs.iter().map(|job| job.change.weight()).sum::<usize>();
        jobs
    }
}

/// The queue of one store. Whoever holds this lock only looks and moves; nothing is executed under it.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    /// Wakes the writer's thread.
    pub(crate) work: Condvar,
    /// Wakes the keeper's thread.
    pub(crate) chores: Condvar,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                jobs: VecDeque::new(),
                bytes: 0,
                phase: Phase::Open,
                reserved: false,
                handed_over: false,
                asleep: false,
                checkpoint_due: false,
                unsynced: None,
                flushes: Vec::new(),
                closes: Vec::new(),
            }),
            work: Condvar::new(),
            chores: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to close, unless that has begun. It never waits.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        if waiting.phase == Phase::Open {
            waiting.phase = Phase::Closing;
        }
        drop(waiting);
        self.work.notify_all();
        self.chores.notify_all();
    }
}

/// Answers the callers; who has gone is not missed.
pub(crate) fn deliver(answers: Vec<Answered>) {
    for (caller, answer) in answers {
        let _ = caller.send(answer);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a change has waited is no matter of the sessions' clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

//! The one connection that writes, and group commit.
//!
//! A caller that finds the writer free commits its own change on its own thread, together with the queue, in one
//! transaction. With one task no thread is involved; with many tasks there are few commits. A caller commits once and
//! leaves the rest to the writer's thread. Otherwise other callers that keep queueing would hold it for hundreds of
//! milliseconds. Work that may wait for a disk or for another process goes to the thread from the start.
//!
//! No change is left behind: a change is queued under the queue's lock after the writer was found taken, and each
//! holder of the writer looks at the queue after it lets go (`settle`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use futures_channel::oneshot;
use rusqlite::Connection;
use session_core::{
    Change, ChangeRequest, Durability, Key, Operation, Purged, Result, StoreError, StoreErrorKind,
};

use crate::commit::{Commit, commit};
use crate::config::SqliteConfig;
use crate::connection;
use crate::error::Cause;
use crate::log::{self, Log};
use crate::queue::{
    Answered, CloseOnPanic, IN_PLACE_BYTES, IN_PLACE_CHANGES, Job, Phase, Queue, Waiting, Work, deliver, now,
};
use crate::read::Most;

/// Shared by the callers, the writer's thread and the keeper's thread.
pub(crate) struct Writer {
    pub(crate) config: SqliteConfig,
    pub(crate) queue: Queue,
    pub(crate) log: Arc<Log>,
    connection: Mutex<Option<Connection>>,
}

type Held<'a> = MutexGuard<'a, Option<Connection>>;

/// The answer of submitted work, or where it will arrive.
enum Ticket {
    Done(Result<Change>),
    Queued(oneshot::Receiver<Result<Change>>),
}

impl Writer {
    pub(crate) fn open(config: &SqliteConfig) -> Result<Self> {
        let mut connection = connection::writer(config)?;
        let log = Arc::new(Log::new(config.checkpoint_after));
        let hook = Arc::clone(&log);
        connection
            .wal_hook(Some(move |_: &mut _, pages: i32| {
                hook.committed(u64::try_from(pages).unwrap_or(0));
                Ok(())
            }))
            .map_err(|error| Cause::from(error).at_open(&config.path))?;
        log::restart(Some(&connection));
        let connection = Mutex::new(Some(connection));
        Ok(Self { config: config.clone(), queue: Queue::default(), log, connection })
    }

    /// Makes a change and waits for its commit. A queued change is made even if its future is dropped.
    pub(crate) async fn change(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        self.work(Work::Change(key.clone(), request)).await
    }

    /// Removes up to `limit` expired records, in steps. Other changes are committed between the steps.
    pub(crate) async fn purge(&self, limit: usize) -> Result<Purged> {
        let mut total = Purged::default();
        loop {
            let limit = limit.saturating_sub(usize::try_from(total.removed).unwrap_or(usize::MAX));
            let purged = Arc::<Mutex<Purged>>::default();
            let _ = self.work(Work::Purge { limit, purged: Arc::clone(&purged) }).await?;
            let step = *purged.lock().unwrap_or_else(PoisonError::into_inner);
            total = Purged { removed: total.removed + step.removed, more: step.more };
            if !step.more || limit as u64 == step.removed {
                return Ok(total);
            }
        }
    }

    async fn work(&self, work: Work) -> Result<Change> {
        let operation = work.operation();
        match self.submit(work) {
            Ticket::Done(answer) => answer,
            Ticket::Queued(answer) => answer.await.unwrap_or_else(|_| Err(lost(operation))),
        }
    }

    fn submit(&self, work: Work) -> Ticket {
        let mut waiting = self.queue.lock();
        if waiting.phase != Phase::Open {
            return Ticket::Done(Err(StoreError::closed(work.operation())));
        }
        let full = waiting.jobs.len() >= self.config.max_queue
            || (!waiting.jobs.is_empty() && waiting.weight() + work.weight() > self.config.max_queue_bytes);
        if full {
            let refused = StoreError::new(StoreErrorKind::Unavailable, work.operation());
            return Ticket::Done(Err(refused.with_detail("too many changes are queued (max_queue)")));
        }
        let in_place = self.may_commit_in_place(&work, &waiting);
        if in_place && let Some(held) = self.try_hold() {
            let jobs = waiting.take(IN_PLACE_CHANGES);
            drop(waiting);
            return self.lead(held, jobs, work);
        }
        let (job, answer) = Job::new(work, false);
        waiting.push(job);
        if !in_place {
            self.wake_thread(waiting);
        }
        Ticket::Queued(answer)
    }

    fn may_commit_in_place(&self, work: &Work, waiting: &Waiting) -> bool {
        self.config.durability == Durability::Process
            && !waiting.reserved
            && !waiting.handed_over
            && waiting.jobs.len() < IN_PLACE_CHANGES
            && waiting.weight() + work.weight() <= IN_PLACE_BYTES
            && waiting.jobs.front().is_none_or(|job| !job.alone)
    }

    /// Commits the queue and the caller's own work, which came last. It has no `await`, so a dropped future
    /// cannot stop it half-way.
    fn lead(&self, held: Held<'_>, mut jobs: Vec<Job>, work: Work) -> Ticket {
        let operation = work.operation();
        let Some(connection) = &*held else { return Ticket::Done(Err(lost(operation))) };
        let works = jobs.iter().map(|job| &job.work).chain(std::iter::once(&work));
        let (own, others): (_, Vec<_>) = match commit(connection, works, &*self.config.clock, Most::InPlace) {
            Commit::Done(mut answers) => (answers.pop().unwrap_or_else(|| Err(lost(operation))), answers),
            Commit::Failed(cause) if jobs.is_empty() => {
                self.log.refused(&cause);
                (Err(cause.during(operation)), Vec::new())
            }
            Commit::Unknown(cause) => (
                Err(unknown(&cause, operation)),
                jobs.iter().map(|job| Err(unknown(&cause, job.work.operation()))).collect(),
            ),
            // The thread may wait, and tries each work of a failed transaction alone.
            ended @ (Commit::Busy(_) | Commit::Large | Commit::Failed(_)) => {
                let alone = matches!(ended, Commit::Failed(_));
                let (job, answer) = Job::new(work, alone);
                jobs.iter_mut().for_each(|job| job.alone = alone);
                jobs.push(job);
                let mut waiting = self.queue.lock();
                waiting.put_back(jobs);
                waiting.handed_over = true;
                drop(held);
                self.wake_thread(waiting);
                return Ticket::Queued(answer);
            }
        };
        drop(held);
        self.settle(self.queue.lock());
        deliver(jobs.into_iter().map(|job| job.caller).zip(others));
        Ticket::Done(own)
    }

    /// The writer's thread: does the queued work until the store is closed and the queue is empty.
    pub(crate) fn run(&self) {
        let _guard = CloseOnPanic(&self.queue);
        loop {
            let mut waiting = self.queue.lock();
            while waiting.reserved || (waiting.jobs.is_empty() && waiting.phase == Phase::Open) {
                waiting.asleep = true;
                waiting = self.queue.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                waiting.asleep = false;
            }
            drop(waiting);
            let held = self.hold();
            let mut waiting = self.queue.lock();
            waiting.handed_over = false;
            let jobs = waiting.take(self.config.max_batch);
            if jobs.is_empty() {
                // This thread holds the writer, so no other thread is about to put work back.
                if waiting.phase == Phase::Closing {
                    waiting.phase = Phase::Drained;
                    self.queue.chores.notify_all();
                }
                if waiting.phase != Phase::Open {
                    return;
                }
                continue;
            }
            drop(waiting);
            let answers = self.serve(&held, jobs);
            drop(held);
            self.settle(self.queue.lock());
            deliver(answers);
        }
    }

    /// Commits the jobs together or, if that fails, one by one, so that only the culprit is refused.
    fn serve(&self, held: &Held<'_>, jobs: Vec<Job>) -> Vec<Answered> {
        let mut answers = Vec::with_capacity(jobs.len());
        let Some(connection) = &**held else { return answers };
        let mut groups = vec![jobs];
        let mut tries = 0;
        while let Some(mut jobs) = groups.pop() {
            let works = jobs.iter().map(|job| &job.work);
            match commit(connection, works, &*self.config.clock, Most::Any) {
                Commit::Done(results) => {
                    tries = 0;
                    answers.extend(jobs.into_iter().map(|job| job.caller).zip(results));
                }
                Commit::Busy(cause) => {
                    let now = now();
                    let over = |job: &mut Job| now.duration_since(job.since) >= self.config.busy_timeout;
                    answers.extend(jobs.extract_if(.., over).map(|job| refused(job, &cause)));
                    if !jobs.is_empty() {
                        groups.push(jobs);
                        connection::pause(&mut tries);
                    }
                }
                Commit::Large => unreachable!("this thread takes any length"),
                Commit::Failed(cause) if jobs.len() == 1 => {
                    self.log.refused(&cause);
                    answers.extend(jobs.into_iter().map(|job| refused(job, &cause)));
                }
                Commit::Failed(_) => groups.extend(jobs.into_iter().rev().map(|job| vec![job])),
                Commit::Unknown(cause) => answers.extend(jobs.into_iter().map(|job| {
                    let error = unknown(&cause, job.work.operation());
                    (job.caller, Err(error))
                })),
            }
        }
        answers
    }

    /// Runs `chore` while no other thread of this process writes. Changes wait in the queue, and no caller blocks.
    pub(crate) fn alone<T>(&self, chore: impl FnOnce(&mut Option<Connection>) -> T) -> T {
        self.queue.lock().reserved = true;
        let mut held = self.hold();
        let done = chore(&mut held);
        drop(held);
        let mut waiting = self.queue.lock();
        waiting.reserved = false;
        self.settle(waiting);
        done
    }

    /// Every holder of the writer calls it after letting go.
    fn settle(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let due = !waiting.checkpoint_due && self.log.is_due();
        waiting.checkpoint_due |= due;
        let fresh = waiting.unsynced.is_none() && self.log.is_unsynced();
        if fresh && self.config.durability == Durability::Process {
            waiting.unsynced = Some(now());
        }
        if due || fresh {
            self.queue.chores.notify_all();
        }
        // A close that came while the writer was reserved has woken the thread in vain.
        if !waiting.jobs.is_empty() || waiting.phase == Phase::Closing {
            self.wake_thread(waiting);
        }
    }

    fn wake_thread(&self, waiting: MutexGuard<'_, Waiting>) {
        let asleep = waiting.asleep;
        drop(waiting);
        if asleep {
            self.queue.work.notify_all();
        }
    }

    fn hold(&self) -> Held<'_> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_hold(&self) -> Option<Held<'_>> {
        match self.connection.try_lock() {
            Ok(held) => Some(held),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

fn refused(job: Job, cause: &Cause) -> Answered {
    (job.caller, Err(cause.clone().during(job.work.operation())))
}

fn unknown(cause: &Cause, operation: Operation) -> StoreError {
    cause.clone().during(operation).applied_unknown()
}

/// Only after a thread of the driver panicked.
pub(crate) fn lost(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Backend, operation)
        .with_detail("a thread of the driver panicked")
        .applied_unknown()
}

//! The one connection that writes, and group commit.
//!
//! Whoever finds the writer free commits its own change on its own thread, and everything that is queued with it, in
//! one transaction: with one task there is no hop between threads, with many there are few commits. It does so once
//! and hands the rest over to the writer's thread, for a caller that went on while others keep queueing would be held
//! for hundreds of milliseconds. What may wait for a disk or for another process is left to the thread from the start.
//!
//! Nobody is stranded: a change is queued under the queue's lock after the writer was found taken, and each holder of
//! the writer looks at the queue after letting go of it (`settle`).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use futures_channel::oneshot;
use rusqlite::Connection;
use session_core::{Clock, Operation, Result, StoreError, StoreErrorKind};

use crate::change::{Answer, ChangeRequest};
use crate::config::{Durability, PAGE_BYTES, SqliteConfig};
use crate::error::{Cause, Fault};
use crate::queue::{Answered, IN_PLACE_BYTES, IN_PLACE_CHANGES, Job, Phase, Queue, Waiting, deliver, now};
use crate::{keeper, open};

/// What the callers, the writer's thread and the keeper's thread share.
pub(crate) struct Writer {
    pub(crate) config: SqliteConfig,
    pub(crate) queue: Queue,
    pub(crate) log: Arc<Log>,
    connection: Mutex<Option<Connection>>,
}

type Held<'a> = MutexGuard<'a, Option<Connection>>;

impl Writer {
    pub(crate) fn open(config: &SqliteConfig) -> Result<Self> {
        let mut connection = open::writer(config)?;
        let log = Arc::new(Log::new(config.checkpoint_after));
        let hook = Arc::clone(&log);
        connection
            .wal_hook(Some(move |_: &mut _, pages: i32| {
                hook.committed(u64::try_from(pages).unwrap_or(0));
                Ok(())
            }))
            .map_err(|error| Cause::from(error).at_open(&config.path))?;
        keeper::begin_log(Some(&connection));
        Ok(Self {
            config: config.clone(),
            queue: Queue::new(),
            log,
            connection: Mutex::new(Some(connection)),
        })
    }

    /// Makes a change and waits for its commit. Once it is queued, it is made even if nobody waits any more.
    pub(crate) async fn change(&self, change: ChangeRequest) -> Result<Answer> {
        let operation = change.operation();
        match self.submit(change) {
            Ticket::Done(answer) => answer,
            Ticket::Queued(answer) => answer.await.unwrap_or_else(|_| Err(lost(operation))),
        }
    }

    /// The writer's thread: it does what is queued until the store is closed and the queue is empty.
    pub(crate) fn run(&self) {
        let _guard = Abandon(self);
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
                // Seen with the writer in hand: nobody is about to put anything back.
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

    /// Runs `chore` while nobody of this process writes. For the keeper: changes wait in the queue, no caller blocks.
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

    fn submit(&self, change: ChangeRequest) -> Ticket {
        let mut waiting = self.queue.lock();
        if waiting.phase != Phase::Open {
            return Ticket::Done(Err(StoreError::closed(change.operation())));
        }
        let full = waiting.jobs.len() >= self.config.max_queue
            || (!waiting.jobs.is_empty() && waiting.weight() + change.weight() > self.config.max_queue_bytes);
        if full {
            let refused = StoreError::new(StoreErrorKind::Unavailable, change.operation());
            return Ticket::Done(Err(refused.with_detail("max_queue changes wait already")));
        }
        let in_place = self.may_commit_in_place(&change, &waiting);
        if in_place && let Some(held) = self.try_hold() {
            let jobs = waiting.take(IN_PLACE_CHANGES);
            drop(waiting);
            return self.lead(held, jobs, change);
        }
        let (job, answer) = Job::new(change, false);
        waiting.push(job);
        if !in_place {
            self.wake_thread(waiting);
        }
        Ticket::Queued(answer)
    }

    fn may_commit_in_place(&self, change: &ChangeRequest, waiting: &Waiting) -> bool {
        self.config.durability == Durability::Process
            && !waiting.reserved
            && !waiting.handed_over
            && waiting.jobs.len() < IN_PLACE_CHANGES
            && waiting.weight() + change.weight() <= IN_PLACE_BYTES
            && waiting.jobs.front().is_none_or(|job| !job.alone)
    }

    /// Commits the queue and the caller's own change, which came last. There is no `await` in here, so a dropped
    /// future cannot stop it half-way.
    fn lead(&self, held: Held<'_>, mut jobs: Vec<Job>, change: ChangeRequest) -> Ticket {
        let Some(connection) = &*held else { return Ticket::Done(Err(lost(change.operation()))) };
        let changes = jobs.iter().map(|job| &job.change).chain(std::iter::once(&change));
        let failed = match commit(connection, changes, &*self.config.clock) {
            Commit::Done(mut answers) => {
                drop(held);
                self.settle(self.queue.lock());
                let own = answers.pop().unwrap_or_else(|| Err(lost(change.operation())));
                deliver(jobs.into_iter().map(|job| job.caller).zip(answers).collect());
                return Ticket::Done(own);
            }
            Commit::Busy(_) => false,
            Commit::Failed(cause) if jobs.is_empty() => {
                self.log.refused(&cause);
                drop(held);
                self.settle(self.queue.lock());
                return Ticket::Done(Err(cause.during(change.operation())));
            }
            Commit::Failed(_) => true,
            Commit::Unknown(cause) => {
                drop(held);
                self.settle(self.queue.lock());
                deliver(jobs.into_iter().map(|job| unknown(job, &cause)).collect());
                return Ticket::Done(Err(cause.during(change.operation()).applied_unknown()));
            }
        };
        // To the thread, which may wait, and which tries each alone where the transaction failed.
        let (own, answer) = Job::new(change, failed);
        jobs.iter_mut().for_each(|job| job.alone = failed);
        jobs.push(own);
        let mut waiting = self.queue.lock();
        waiting.put_back(jobs);
        waiting.handed_over = true;
        drop(held);
        self.wake_thread(waiting);
        Ticket::Queued(answer)
    }

    /// Commits the jobs together or, if that fails, one by one, so that only the culprit is refused.
    fn serve(&self, held: &Held<'_>, jobs: Vec<Job>) -> Vec<Answered> {
        let mut answers = Vec::with_capacity(jobs.len());
        let Some(connection) = &**held else { return answers };
        let mut groups = vec![jobs];
        let mut tries = 0;
        while let Some(mut jobs) = groups.pop() {
            if jobs.is_empty() {
                continue;
            }
            match commit(connection, jobs.iter().map(|job| &job.change), &*self.config.clock) {
                Commit::Done(results) => {
                    tries = 0;
                    answers.extend(jobs.into_iter().map(|job| job.caller).zip(results));
                }
                Commit::Busy(cause) => {
                    let waited = now();
                    let over = |job: &mut Job| waited.duration_since(job.since) >= self.config.busy_timeout;
                    answers.extend(jobs.extract_if(.., over).map(|job| refused(job, &cause)));
                    if !jobs.is_empty() {
                        groups.push(jobs);
                        open::pause(&mut tries);
                    }
                }
                Commit::Failed(cause) if jobs.len() == 1 => {
                    self.log.refused(&cause);
                    answers.extend(jobs.into_iter().map(|job| refused(job, &cause)));
                }
                Commit::Failed(_) => groups.extend(jobs.into_iter().rev().map(|job| vec![job])),
                Commit::Unknown(cause) => {
                    answers.extend(jobs.into_iter().map(|job| unknown(job, &cause)));
                }
            }
        }
        answers
    }

    /// What every holder does after letting go of the writer.
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
        // A close that came while the writer was reserved has found the thread unable to do anything about it.
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

enum Ticket {
    Done(Result<Answer>),
    Queued(oneshot::Receiver<Result<Answer>>),
}

/// How a transaction ended.
enum Commit {
    /// Committed. The answer of each change, some of which may be that its own row is damaged.
    Done(Vec<Result<Answer>>),
    /// Another process holds the write lock; nothing was done.
    Busy(Cause),
    /// Rolled back, all of it.
    Failed(Cause),
    /// The disk failed during the commit: a process that recovers the log may find the transaction or not.
    Unknown(Cause),
}

fn commit<'a>(
    connection: &Connection,
    changes: impl Iterator<Item = &'a ChangeRequest>,
    clock: &dyn Clock,
) -> Commit {
    let execute = |statement: &str| -> Result<(), Cause> {
        connection.prepare_cached(statement)?.execute([])?;
        Ok(())
    };
    let roll_back = || {
        // After SQLITE_FULL and its like nothing is left to roll back. If it fails, so will the next BEGIN.
        if !connection.is_autocommit() {
            let _ = execute("ROLLBACK");
        }
    };
    // A clock that panicked has left one open.
    roll_back();
    if let Err(cause) = execute("BEGIN IMMEDIATE") {
        return if cause.is_busy() { Commit::Busy(cause) } else { Commit::Failed(cause) };
    }
    let mut answers = Vec::new();
    for change in changes {
        // Asked at the moment of the change, not of the call: what has expired while it waited is not brought back.
        match change.apply(connection, clock.now()) {
            Err(Fault::Engine(cause)) => {
                roll_back();
                return Commit::Failed(cause);
            }
            answer => answers.push(answer.map_err(|fault| fault.during(change.operation()))),
        }
    }
    match execute("COMMIT") {
        Ok(()) => Commit::Done(answers),
        Err(cause) => {
            roll_back();
            if cause.is_surely_not_committed() { Commit::Failed(cause) } else { Commit::Unknown(cause) }
        }
    }
}

fn refused(job: Job, cause: &Cause) -> Answered {
    (job.caller, Err(cause.clone().during(job.change.operation())))
}

fn unknown(job: Job, cause: &Cause) -> Answered {
    (job.caller, Err(cause.clone().during(job.change.operation()).applied_unknown()))
}

fn lost(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Backend, operation)
        .with_detail("a thread of the driver has ended")
        .applied_unknown()
}

/// Lets nobody wait for a thread that is no longer there, should it ever panic.
pub(crate) struct Abandon<'a>(pub(crate) &'a Writer);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut waiting = self.0.queue.lock();
            waiting.phase = Phase::Closed;
            waiting.reserved = false;
            drop((
                std::mem::take(&mut waiting.jobs),
                std::mem::take(&mut waiting.flushes),
                std::mem::take(&mut waiting.closes),
            ));
            self.0.queue.work.notify_all();
            self.0.queue.chores.notify_all();
        }
    }
}

/// How long the write-ahead log is, as each commit tells, and when the next checkpoint is due. In pages.
#[derive(Debug)]
pub(crate) struct Log {
    pages: AtomicU64,
    due: AtomicU64,
    step: u64,
    /// Something was committed that only the operating system has seen so far.
    unsynced: AtomicBool,
    /// The disk is full, and the log may be what fills it.
    cramped: AtomicBool,
}

/// A log that is shorter is not what fills a disk.
const WORTH_MOVING: u64 = (1 << 20) / PAGE_BYTES;

impl Log {
    fn new(step: u64) -> Self {
        let step = (step / PAGE_BYTES).max(1);
        Self {
            pages: AtomicU64::new(0),
            due: AtomicU64::new(step),
            step,
            unsynced: AtomicBool::new(false),
            cramped: AtomicBool::new(false),
        }
    }

    fn committed(&self, pages: u64) {
        self.unsynced.store(true, Ordering::Release);
        // It has become shorter: someone began it afresh.
        if pages < self.pages.swap(pages, Ordering::Relaxed) {
            self.due.store(self.step, Ordering::Relaxed);
        }
    }

    fn is_unsynced(&self) -> bool {
        self.unsynced.load(Ordering::Acquire)
    }

    /// The log is about to be synchronised: whatever is committed by now will be.
    pub(crate) fn will_be_synced(&self) {
        self.unsynced.store(false, Ordering::Release);
    }

    fn refused(&self, cause: &Cause) {
        if cause.kind() == StoreErrorKind::Full && self.pages() >= WORTH_MOVING {
            self.cramped.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a change was refused for want of room, and the log is long: moving it may make room. Asked once.
    pub(crate) fn was_cramped(&self) -> bool {
        self.cramped.swap(false, Ordering::Relaxed)
    }

    fn is_due(&self) -> bool {
        self.pages() >= self.due.load(Ordering::Relaxed) || self.cramped.load(Ordering::Relaxed)
    }

    pub(crate) fn pages(&self) -> u64 {
        self.pages.load(Ordering::Relaxed)
    }

    /// A checkpoint has seen the log at this length.
    pub(crate) fn checkpointed(&self, pages: u64) {
        self.due.store(pages + self.step, Ordering::Relaxed);
    }
}

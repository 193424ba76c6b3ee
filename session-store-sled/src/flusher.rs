//! Group flush: one flush for all waiting callers, on a thread of the store, and a second thread that limits its time.
//!
//! This is not `session_core::offload`, because a worker thread has no time limit for a call that runs: here callers
//! must get `Timeout` while sled still waits, `close` must return too, and the thread that flushes also drops the
//! database, whenever the last operation ends.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use session_core::offload::start_thread;
use session_core::{Opener, Operation, Result, StoreError, StoreErrorKind};

use crate::error::contain;
use crate::pending::{Pending, Slot};

/// A log that can be flushed and closed: a database, or in tests one that can be stalled.
pub(crate) trait Log: Send + 'static {
    /// Makes all earlier changes survive a kill.
    fn flush(&self) -> Result<()>;
    /// Drops the database. Returns once it is closed, unless the application has it open too.
    fn close(self);
}

/// Flushes on a thread of its own, so that no runtime worker waits for the disk.
///
/// sled can wait forever: if a value or page with a file of its own cannot be written, the part of the log that names
/// it never completes. Therefore a flush has a time limit, after which its callers fail.
pub(crate) struct Flusher {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    watch: Condvar,
    pending: Option<Arc<Pending>>,
    /// sled's first error. sled writes nothing after it.
    failed: OnceLock<StoreErrorKind>,
    /// Whether a flush runs for longer than the limit.
    stalled: AtomicBool,
    limit: Duration,
    /// A forked child has no threads.
    opener: Opener,
}

#[derive(Default)]
struct Queue {
    callers: Vec<Caller>,
    slots: Vec<Slot>,
    /// The callers of the running flush.
    served: Vec<Caller>,
    /// The number of the running flush.
    round: Option<u64>,
    rounds: u64,
    idle_watch: bool,
    /// The value that keeps the database open. Set once the store is closed and the last operation has ended. Dropped on the
    /// thread, because sled flushes then.
    last: Option<Box<dyn Send>>,
    /// The callers of `close`.
    closers: Vec<Caller>,
    /// How the database was closed, for later callers of `close`.
    closed: Option<Result<(), Refusal>>,
    over: bool,
}

type Caller = oneshot::Sender<Result<(), Refusal>>;

/// Why a flush failed or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    kind: StoreErrorKind,
    detail: &'static str,
}

const STOPPED: &str = "sled stopped after an error; open the store again";
const PANICKED: &str = "sled panicked while closing the database";
const STALLED: &str = "flush timed out";
const BUSY: &str = "an operation still uses the database";

impl Refusal {
    fn error(self, operation: Operation) -> StoreError {
        StoreError::new(self.kind, operation).with_detail(self.detail)
    }
}

/// A flush to wait for, or none.
#[derive(Debug)]
#[must_use]
pub(crate) struct Wait(Option<Result<oneshot::Receiver<Result<(), Refusal>>, Refusal>>);

impl Wait {
    pub(crate) const NONE: Self = Self(None);

    /// Waits for the flush. `changed` says whether the waiting operation changed something. Dropping the future does not
    /// stop the flush.
    pub(crate) async fn end(self, operation: Operation, changed: bool) -> Result<()> {
        let outcome = match self.0 {
            None => return Ok(()),
            Some(Err(refusal)) => Err(refusal),
            Some(Ok(flushed)) => flushed
                .await
                .unwrap_or(Err(Refusal { kind: StoreErrorKind::Backend, detail: "flush thread ended" })),
        };
        outcome.map_err(|refusal| {
            let error = refusal.error(operation);
            if changed { error.applied_unknown() } else { error }
        })
    }
}

impl Flusher {
    /// Starts the two threads, which end after [`close`](Self::close).
    pub(crate) fn start(log: impl Log, pending: Option<Arc<Pending>>, limit: Duration) -> Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            watch: Condvar::new(),
            pending,
            failed: OnceLock::new(),
            stalled: AtomicBool::new(false),
            limit,
            opener: Opener::this_process(),
        });
        // From here on dropping it ends the threads.
        let flusher = Self { shared: Arc::clone(&shared) };
        let watched = Arc::clone(&shared);
        start_thread("session-sled-flush", move || shared.run(log))?;
        start_thread("session-sled-watch", move || watched.watch())?;
        Ok(flusher)
    }

    pub(crate) fn opener(&self) -> Opener {
        self.shared.opener
    }

    /// Requests a flush that begins after this call, and ends the count of `change` after it.
    pub(crate) fn flush(&self, change: Option<Slot>) -> Wait {
        let mut queue = self.shared.lock();
        queue.slots.extend(change);
        if let Some(refusal) = self.refusal() {
            // The change stays pending until the stalled flush ends.
            return Wait(Some(Err(refusal)));
        }
        let (caller, flushed) = oneshot::channel();
        queue.callers.push(caller);
        drop(queue);
        self.shared.work.notify_one();
        Wait(Some(Ok(flushed)))
    }

    /// Refuses changes that sled would not keep.
    pub(crate) fn check_change(&self, operation: Operation) -> Result<()> {
        match self.refusal() {
            None => Ok(()),
            Some(refusal) if refusal.kind == StoreErrorKind::Timeout => {
                Err(Refusal { kind: StoreErrorKind::Unavailable, ..refusal }.error(operation))
            }
            Some(refusal) => Err(refusal.error(operation)),
        }
    }

    /// Refuses reads while a flush is stalled, because they could wait forever too.
    pub(crate) fn check_read(&self, operation: Operation) -> Result<()> {
        if self.shared.stalled.load(Ordering::Acquire) { self.check_change(operation) } else { Ok(()) }
    }

    /// Records an error of sled. From now on changes are refused, because sled writes nothing more.
    pub(crate) fn failed(&self, error: &StoreError) {
        // Only the first error shows the cause.
        let _first = self.shared.failed.set(error.kind());
    }

    /// Wraps what operations use. When the last user drops it, the thread flushes a last time and drops it and the log,
    /// so that no other thread waits for sled.
    pub(crate) fn lend<T: Send + 'static>(&self, what: T) -> Lent<T> {
        Lent { what: Some(what), shared: Arc::clone(&self.shared) }
    }

    /// Waits until the database is closed. The caller releases what was lent before.
    pub(crate) fn close(&self) -> Wait {
        let (closer, closed) = oneshot::channel();
        let mut queue = self.shared.lock();
        if let Some(outcome) = queue.closed {
            return Wait(outcome.err().map(Err));
        }
        // Checked under the lock: the flush might end just now.
        if self.shared.stalled.load(Ordering::Acquire) {
            return Wait(self.refusal().map(Err));
        }
        queue.closers.push(closer);
        drop(queue);
        self.shared.work.notify_one();
        Wait(Some(Ok(closed)))
    }

    fn refusal(&self) -> Option<Refusal> {
        if let Some(kind) = self.shared.failed.get() {
            return Some(Refusal { kind: *kind, detail: STOPPED });
        }
        let stalled = self.shared.stalled.load(Ordering::Acquire);
        stalled.then_some(Refusal { kind: StoreErrorKind::Timeout, detail: STALLED })
    }
}

/// A value that is sent to the flush thread instead of being dropped.
pub(crate) struct Lent<T: Send + 'static> {
    /// `Some` until dropped.
    what: Option<T>,
    shared: Arc<Shared>,
}

impl<T: Send + 'static> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.what.as_ref().expect("only Drop takes the value")
    }
}

impl<T: Send + 'static> Drop for Lent<T> {
    fn drop(&mut self) {
        let Some(what) = self.what.take() else { return };
        if !self.shared.opener.is_here() {
            // sled would wait for its threads.
            return std::mem::forget(what);
        }
        self.shared.lock().last = Some(Box::new(what));
        self.shared.work.notify_one();
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        if !self.shared.opener.is_here() {
            return;
        }
        // Without a close, only because the second thread did not start.
        let mut queue = self.shared.lock();
        queue.over |= queue.last.is_none();
        drop(queue);
        self.shared.work.notify_one();
        self.shared.watch.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, log: impl Log) {
        loop {
            let mut queue = self.wait_for_work();
            let (last, over) = (queue.last.take(), queue.over);
            if last.is_none() && over {
                return;
            }
            queue.served = std::mem::take(&mut queue.callers);
            let slots = std::mem::take(&mut queue.slots);
            queue.rounds += 1;
            queue.round = Some(queue.rounds);
            let wake_watch = std::mem::take(&mut queue.idle_watch);
            drop(queue);
            if wake_watch {
                self.watch.notify_one();
            }

            let outcome = self.flush(&log, &slots);
            if let Some(last) = last {
                // sled flushes here again, if this was its last handle.
                let dropped = contain(Operation::Close, || {
                    drop(last);
                    log.close();
                    Ok(())
                });
                let refused = dropped.map_err(|error| Refusal { kind: error.kind(), detail: PANICKED });
                self.answer(outcome.and(refused), true);
                return;
            }
            self.answer(outcome, false);
        }
    }

    /// Waits until a flush is requested or the database can be closed.
    fn wait_for_work(&self) -> MutexGuard<'_, Queue> {
        let idle = |queue: &mut Queue| queue.callers.is_empty() && queue.last.is_none() && !queue.over;
        let mut queue = self.lock();
        while idle(&mut queue) {
            if queue.closers.is_empty() {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // An operation still uses the database, possibly forever.
            let waited = self.work.wait_timeout_while(queue, self.limit, idle);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            if idle(&mut queue) {
                let closers = std::mem::take(&mut queue.closers);
                drop(queue);
                answer_all(closers, Err(Refusal { kind: StoreErrorKind::Timeout, detail: BUSY }));
                queue = self.lock();
            }
        }
        queue
    }

    fn flush(&self, log: &impl Log, slots: &[Slot]) -> Result<(), Refusal> {
        let outcome = match self.failed.get() {
            Some(kind) => Err(Refusal { kind: *kind, detail: STOPPED }),
            None => log.flush().map_err(|error| {
                let kind = *self.failed.get_or_init(|| error.kind());
                Refusal { kind, detail: "sled could not flush its log" }
            }),
        };
        if let (Ok(()), Some(pending)) = (outcome, &self.pending) {
            slots.iter().for_each(|slot| pending.leave(*slot));
        }
        outcome
    }

    fn answer(&self, outcome: Result<(), Refusal>, over: bool) {
        let mut queue = self.lock();
        let mut served = std::mem::take(&mut queue.served);
        queue.round = None;
        queue.over |= over;
        if over {
            queue.closed = Some(outcome);
            served.append(&mut queue.closers);
        }
        self.stalled.store(false, Ordering::Release);
        drop(queue);
        if over {
            self.watch.notify_one();
        }
        answer_all(served, outcome);
    }

    fn watch(&self) {
        let mut queue = self.lock();
        while !queue.over {
            let Some(round) = queue.round.filter(|_| !self.stalled.load(Ordering::Acquire)) else {
                queue.idle_watch = true;
                queue = self.watch.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.watch.wait_timeout_while(queue, self.limit, |queue| !queue.over);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            if queue.round == Some(round) && !queue.over {
                self.stalled.store(true, Ordering::Release);
                let mut waiting = std::mem::take(&mut queue.served);
                waiting.append(&mut queue.callers);
                waiting.append(&mut queue.closers);
                drop(queue);
                answer_all(waiting, Err(Refusal { kind: StoreErrorKind::Timeout, detail: STALLED }));
                queue = self.lock();
            }
        }
    }
}

fn answer_all(callers: Vec<Caller>, outcome: Result<(), Refusal>) {
    for caller in callers {
        // The caller may have dropped its future.
        let _gone = caller.send(outcome).is_err();
    }
}

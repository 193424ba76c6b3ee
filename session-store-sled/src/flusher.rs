//! One flush for all who wait, on a thread of the store's own, and another one that watches how long it takes.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use session_core::{Operation, Result, StoreError, StoreErrorKind};

use crate::error::contain;
use crate::pending::{Pending, Slot};

/// What is flushed and let go of. The store gives it a database; tests one that they can hold up.
pub(crate) trait Log: Send + 'static {
    /// Brings what was changed before this call to where a kill does not reach it.
    fn flush(&self) -> Result<()>;
    /// Closes the database, unless somebody else has it too, and comes back when it is closed.
    fn let_go(self);
}

/// Flushes while anybody waits, so that no runtime worker does.
///
/// sled can wait for ever: where a record or page that has a file of its own cannot be written, the part of the log
/// that names it is never completed. So there is a limit, after which those who wait are told.
pub(crate) struct Flusher {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
    watch: Condvar,
    pending: Option<Arc<Pending>>,
    /// sled's first error: from then on it writes nothing more.
    failed: OnceLock<StoreErrorKind>,
    /// A flush has taken longer than the limit and has not come to its end.
    stalled: AtomicBool,
    limit: Duration,
}

#[derive(Default)]
struct Queue {
    callers: Vec<Caller>,
    slots: Vec<Slot>,
    /// Those for whom a flush is under way, and its number.
    served: Vec<Caller>,
    round: Option<u64>,
    rounds: u64,
    idle_watch: bool,
    /// Set when the store is closed and nobody works on it any more: what keeps the database open and is dropped on the
    /// thread, for sled flushes then.
    last: Option<Box<dyn Send>>,
    /// Those who are told when the database is let go of.
    closers: Vec<Caller>,
    /// How that ended, for whoever closes later.
    closed: Option<Result<(), Refusal>>,
    over: bool,
}

type Caller = oneshot::Sender<Result<(), Refusal>>;

/// Why something is not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refusal {
    kind: StoreErrorKind,
    detail: &'static str,
}

const STOPPED: &str = "sled stopped after an error: open the store again";
const PANICKED: &str = "sled panicked while it closed the database";
const STALLED: &str = "a flush has not come to its end within flush_timeout";
const BUSY: &str =
    "an operation has not come to its end within flush_timeout, and the database stays open that long";

impl Refusal {
    fn error(self, operation: Operation) -> StoreError {
        StoreError::new(self.kind, operation).with_detail(self.detail)
    }
}

/// A flush that is waited for, or none.
#[derive(Debug)]
#[must_use]
pub(crate) struct Wait(Option<Result<oneshot::Receiver<Result<(), Refusal>>, Refusal>>);

impl Wait {
    pub(crate) const NONE: Self = Self(None);

    /// Comes to its end with the flush. `changed` says whether it is a change that is to be answered; a caller who
    /// stops waiting holds nobody up, and the change is flushed all the same.
    pub(crate) async fn end(self, operation: Operation, changed: bool) -> Result<()> {
        let outcome = match self.0 {
            None => return Ok(()),
            Some(Err(refusal)) => Err(refusal),
            Some(Ok(flushed)) => flushed.await.unwrap_or(Err(Refusal {
                kind: StoreErrorKind::Backend,
                detail: "the flushing thread is gone",
            })),
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
        });
        // From here on dropping it ends the threads.
        let flusher = Self { shared: Arc::clone(&shared) };
        let watched = Arc::clone(&shared);
        spawn("session-sled-flush", move || shared.run(log))?;
        spawn("session-sled-watch", move || watched.watch())?;
        Ok(flusher)
    }

    /// A flush that begins after this call. A change that it is for is counted out of its slot afterwards.
    pub(crate) fn flush(&self, change: Option<Slot>) -> Wait {
        let mut queue = self.shared.lock();
        queue.slots.extend(change);
        if let Some(refusal) = self.refusal() {
            // What is pending stays so, until a flush that stalls comes to its end.
            return Wait(Some(Err(refusal)));
        }
        let (caller, flushed) = oneshot::channel();
        queue.callers.push(caller);
        drop(queue);
        self.shared.work.notify_one();
        Wait(Some(Ok(flushed)))
    }

    /// Whether a change would be of any use: `Ok`, or why sled would not keep it.
    pub(crate) fn admits(&self, operation: Operation) -> Result<()> {
        match self.refusal() {
            None => Ok(()),
            Some(refusal) if refusal.kind == StoreErrorKind::Timeout => {
                Err(Refusal { kind: StoreErrorKind::Unavailable, ..refusal }.error(operation))
            }
            Some(refusal) => Err(refusal.error(operation)),
        }
    }

    /// A read could wait for ever, too, while a flush does.
    pub(crate) fn admits_reads(&self, operation: Operation) -> Result<()> {
        if self.shared.stalled.load(Ordering::Acquire) { self.admits(operation) } else { Ok(()) }
    }

    /// sled has answered a change with an error: it writes nothing from now on, or cannot be trusted to.
    pub(crate) fn failed(&self, error: &StoreError) {
        // Only the first one tells of the cause.
        let _first = self.shared.failed.set(error.kind());
    }

    /// What the store works on. When the last who has it lets go, the thread flushes for the last time and drops it and
    /// the log: nobody else waits for sled to do so, whenever that is.
    pub(crate) fn lend<T: Send + 'static>(&self, what: T) -> Lent<T> {
        Lent { what: Some(what), shared: Arc::clone(&self.shared) }
    }

    /// Waits until the database is let go of, however many ask. What was lent is to be let go of before.
    pub(crate) fn close(&self) -> Wait {
        let (closer, closed) = oneshot::channel();
        let mut queue = self.shared.lock();
        if let Some(outcome) = queue.closed {
            return Wait(outcome.err().map(Err));
        }
        // Asked while the queue is locked: a flush that comes to its end now would take the answer back.
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

/// Something that goes to the flushing thread instead of being dropped.
pub(crate) struct Lent<T: Send + 'static> {
    /// There until it is dropped.
    what: Option<T>,
    shared: Arc<Shared>,
}

impl<T: Send + 'static> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.what.as_ref().expect("only dropping takes it out")
    }
}

impl<T: Send + 'static> Drop for Lent<T> {
    fn drop(&mut self) {
        let Some(what) = self.what.take() else { return };
        self.shared.lock().last = Some(Box::new(what));
        self.shared.work.notify_one();
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        // After a close this says nothing new. Without one it can only be that the second thread did not start.
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
                // sled flushes here once more, if nobody else has the database.
                let dropped = contain(Operation::Close, || {
                    drop(last);
                    log.let_go();
                    Ok(())
                });
                let refused = dropped.map_err(|error| Refusal { kind: error.kind(), detail: PANICKED });
                self.answer(outcome.and(refused), true);
                return;
            }
            self.answer(outcome, false);
        }
    }

    /// Waits until somebody wants a flush, or the database can be let go of.
    fn wait_for_work(&self) -> MutexGuard<'_, Queue> {
        let idle = |queue: &mut Queue| queue.callers.is_empty() && queue.last.is_none() && !queue.over;
        let mut queue = self.lock();
        while idle(&mut queue) {
            if queue.closers.is_empty() {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            // They wait for whoever still works on the database, and that can be for ever, too.
            let waited = self.work.wait_timeout_while(queue, self.limit, idle);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            if idle(&mut queue) {
                let closers = std::mem::take(&mut queue.closers);
                drop(queue);
                tell(closers, Err(Refusal { kind: StoreErrorKind::Timeout, detail: BUSY }));
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
        tell(served, outcome);
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
                tell(waiting, Err(Refusal { kind: StoreErrorKind::Timeout, detail: STALLED }));
                queue = self.lock();
            }
        }
    }
}

fn tell(callers: Vec<Caller>, outcome: Result<(), Refusal>) {
    for caller in callers {
        // A caller that no longer waits is no concern of the others.
        let _gone = caller.send(outcome).is_err();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(work);
    thread
        .map(drop)
        .map_err(|cause| StoreError::new(StoreErrorKind::Unavailable, Operation::Open).with_source(cause))
}

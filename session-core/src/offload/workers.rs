//! The set of threads as a driver uses it. Compiled a second time for the loom model.

use std::future::Future;
use std::time::Duration;

use crate::error::{Operation, Result, StoreError, StoreErrorKind};

use super::answer::{Answer, Reply, answer};
use super::engine::{Engine, Order, Refused, Task, Turn};
use super::sync;

const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// How a set of worker threads behaves.
#[derive(Clone, Debug)]
pub struct WorkersConfig {
    /// The name of each thread, at most 15 bytes on Linux.
    pub name: &'static str,
    /// How many threads may run at once, at least 1.
    pub threads: usize,
    /// How many calls may be queued or running, at least 1. A call beyond that fails with `Unavailable`.
    pub max_queue: usize,
    /// How long a call that finds a lock taken is retried before it fails with `Unavailable`.
    pub busy_timeout: Duration,
    /// The error's detail in that case.
    pub busy_detail: &'static str,
}

/// A set of worker threads. Dropping it lets the threads end once the queue is empty.
#[derive(Debug)]
pub struct Workers {
    engine: sync::Arc<Engine>,
    busy_timeout: Duration,
    busy_detail: &'static str,
    /// The process that made it: a forked child has none of its threads.
    process: u32,
}

/// The caller of a queued call, as the call sees it.
#[derive(Clone, Copy)]
pub struct Caller<'a>(&'a dyn Fn() -> bool);

impl Caller<'_> {
    /// Whether the caller dropped its future. A change that asks under the lock which all changes of its key need,
    /// and makes no change if so, takes effect before the caller's next change or not at all (C14).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        (self.0)()
    }
}

impl std::fmt::Debug for Caller<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("gone", &self.is_gone()).finish()
    }
}

impl Workers {
    /// A set of threads, none of which is started yet.
    #[must_use]
    pub fn new(config: WorkersConfig) -> Self {
        let WorkersConfig { name, threads, max_queue, busy_timeout, busy_detail } = config;
        let engine = Engine::new(name, threads.max(1), max_queue.max(1));
        Self { engine, busy_timeout, busy_detail, process: std::process::id() }
    }

    /// Runs `work` on one of the threads. `Ok(None)` means that a lock is taken: `work` runs again after a pause of
    /// 50 us to 2 ms, while other calls use the thread.
    ///
    /// `order` keeps the changes of one key in the order of their calls.
    ///
    /// # Errors
    /// The error of `work`. `Unavailable` where the queue is full, no thread can be started, or a lock is taken for
    /// longer than `busy_timeout`. `Backend` where `work` panics; whether a change was applied is then unknown.
    /// `Misconfigured` in a child that was forked after the set was made.
    ///
    /// # Cancellation
    /// If the future is dropped, `work` is not started, or not repeated. A run that has begun ends on its thread.
    pub fn run<T, W>(
        &self,
        operation: Operation,
        order: Order,
        work: W,
    ) -> impl Future<Output = Result<T>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: FnMut(Caller<'_>) -> Result<Option<T>> + Send + 'static,
    {
        let (reply, waiting) = answer();
        let call = Call {
            work: Some(work),
            reply,
            result: None,
            operation,
            busy_timeout: self.busy_timeout,
            busy_detail: self.busy_detail,
            busy_since: None,
            pause: FIRST_PAUSE,
        };
        let sent = self.check_process(operation).and_then(|()| {
            let call: Box<dyn Task> = Box::new(call);
            self.engine.submit(call, order).map_err(|refused| not_accepted(operation, refused))
        });
        async move {
            sent?;
            match waiting.await {
                Answer::Value(result) => result,
                Answer::Lost => {
                    let error = StoreError::new(StoreErrorKind::Backend, operation);
                    let error = error.with_detail("an operation panicked on a worker thread");
                    Err(if operation.is_change() { error.applied_unknown() } else { error })
                }
            }
        }
    }

    /// Returns when no call is queued or running, dropped calls included. For an orderly close, after the driver's
    /// [`Gate`](crate::Gate) refuses new calls.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        let engine = (!self.is_forked()).then(|| sync::Arc::clone(&self.engine));
        std::future::poll_fn(move |context| match &engine {
            Some(engine) => engine.poll_drained(context.waker()),
            None => std::task::Poll::Ready(()),
        })
    }

    /// Fails in a child that was forked after the set was made. For calls that a driver makes on the caller's thread.
    ///
    /// # Errors
    /// `Misconfigured`, as [`run`](Self::run).
    pub fn check_process(&self, operation: Operation) -> Result<()> {
        if self.is_forked() { Err(forked(operation)) } else { Ok(()) }
    }

    fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }

    /// Makes the set refuse calls as in a forked child. For tests, because a real fork needs unsafe code.
    #[doc(hidden)]
    pub fn pretend_fork(&mut self) {
        self.process = self.process.wrapping_add(1);
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // In a forked child the lock may be held forever by a thread that does not exist there.
        if !self.is_forked() {
            self.engine.stop();
        }
    }
}

/// A queued call with all that is needed to repeat and to answer it.
struct Call<T, W> {
    /// Dropped when it has run, before the call no longer counts. An orderly close relies on that.
    work: Option<W>,
    reply: Reply<Result<T>>,
    result: Option<Result<T>>,
    operation: Operation,
    busy_timeout: Duration,
    busy_detail: &'static str,
    busy_since: Option<sync::Instant>,
    pause: Duration,
}

impl<T, W> Task for Call<T, W>
where
    T: Send,
    W: FnMut(Caller<'_>) -> Result<Option<T>> + Send,
{
    fn run(&mut self) -> Turn {
        let Some(mut work) = self.work.take() else { return Turn::Ended };
        if self.reply.is_gone() {
            return Turn::Ended;
        }
        self.result = match work(Caller(&|| self.reply.is_gone())).transpose() {
            Some(result) => Some(result),
            None => {
                let now = sync::now();
                let since = *self.busy_since.get_or_insert(now);
                if now.saturating_duration_since(since) < self.busy_timeout {
                    let pause = self.pause;
                    self.pause = (pause * 2).min(LONGEST_PAUSE);
                    self.work = Some(work);
                    return Turn::Again(pause);
                }
                Some(Err(unavailable(self.operation, self.busy_detail)))
            }
        };
        Turn::Ended
    }

    fn answer(self: Box<Self>) {
        if let Some(result) = self.result {
            self.reply.send(result);
        }
    }
}

fn not_accepted(operation: Operation, refused: Refused) -> StoreError {
    match refused {
        Refused::Full => unavailable(operation, "the queue is full (max_queue)"),
        Refused::NoThread(cause) => unavailable(operation, "no thread can be started").with_source(cause),
    }
}

fn unavailable(operation: Operation, detail: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, operation).with_detail(detail)
}

fn forked(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, operation)
        .with_detail("the store was opened before a fork; open it again in the child process")
}

//! The worker threads' public interface. Compiled a second time for the loom model.

use std::future::Future;
use std::time::Duration;

use crate::error::{Operation, Result, StoreError, StoreErrorKind};
use crate::process::Opener;

use super::answer::{Answer, Reply, answer};
use super::engine::{Engine, Order, Refused, Task, Turn};
use super::sync;

const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// The options of a set of worker threads.
#[derive(Clone, Debug)]
pub struct WorkersConfig {
    /// The name of each thread, at most 15 bytes on Linux.
    pub name: &'static str,
    /// The largest number of threads, at least 1.
    pub threads: usize,
    /// The largest number of queued and running calls, at least 1. Further calls fail with `Unavailable`.
    pub max_queue: usize,
    /// How long a call that waits for a lock is retried before it fails with `Unavailable`.
    pub busy_timeout: Duration,
    /// The detail of that error.
    pub busy_detail: &'static str,
}

/// A set of worker threads for a driver's blocking calls. After it is dropped, the threads finish the queue and end.
#[derive(Debug)]
pub struct Workers {
    engine: sync::Arc<Engine>,
    busy_timeout: Duration,
    busy_detail: &'static str,
    /// A forked child has no threads.
    opener: Opener,
}

/// The state of a call's caller.
#[derive(Clone, Copy)]
pub struct Caller<'a>(&'a dyn Fn() -> bool);

impl Caller<'_> {
    /// Whether the caller dropped its future. A change MUST check this while it holds the lock of its key, and stop if
    /// the caller is gone. It then takes effect before the caller's next change or not at all (C14).
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
    /// A set without threads. The first call starts one.
    #[must_use]
    pub fn new(config: WorkersConfig) -> Self {
        let WorkersConfig { name, threads, max_queue, busy_timeout, busy_detail } = config;
        let engine = Engine::new(name, threads.max(1), max_queue.max(1));
        Self { engine, busy_timeout, busy_detail, opener: Opener::this_process() }
    }

    /// Runs `work` on a worker thread. If it returns `Ok(None)`, because a lock is taken, it runs again after 50 µs to
    /// 2 ms. Meanwhile the thread runs other calls.
    ///
    /// # Errors
    /// The error of `work`. `Unavailable` if the queue is full, no thread can be started, or the lock is taken for longer
    /// than `busy_timeout`. `Backend` if `work` panics; the effect of a change is then unknown. `Misconfigured` in a
    /// forked child process.
    ///
    /// # Cancellation
    /// After the future is dropped, `work` is not started or repeated. A run that has begun finishes on its thread.
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
                Answer::Lost => Err(StoreError::new(StoreErrorKind::Backend, operation)
                    .with_detail("an operation panicked on a worker thread")
                    .applied_unknown()),
            }
        }
    }

    /// Waits until no call is queued or running, including calls whose futures were dropped. To close a driver, close its
    /// [`Gate`](crate::Gate) first.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        let engine = self.opener.is_here().then(|| sync::Arc::clone(&self.engine));
        std::future::poll_fn(move |context| match &engine {
            Some(engine) => engine.poll_drained(context.waker()),
            None => std::task::Poll::Ready(()),
        })
    }

    /// Fails in a forked child process. For calls that a driver runs on the caller's thread.
    ///
    /// # Errors
    /// `Misconfigured`, as [`run`](Self::run).
    pub fn check_process(&self, operation: Operation) -> Result<()> {
        self.opener.check(operation)
    }

    /// Makes the set refuse calls as in a forked child. For tests, because a real fork needs unsafe code.
    #[doc(hidden)]
    pub fn pretend_fork(&mut self) {
        self.opener = self.opener.pretend_fork();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // In a forked child, a thread that does not exist there may hold the lock forever.
        if self.opener.is_here() {
            self.engine.stop();
        }
    }
}

/// A call in the queue.
struct Call<T, W> {
    /// Dropped after its last run, before the call stops counting, so that nothing of it outlives `drained`.
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

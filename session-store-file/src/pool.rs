//! The driver's own threads, for what may wait: for the disk, for the lock of another process, for a long scan.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use session_core::{Operation, Result, StoreError, StoreErrorKind};

use crate::error::Fault;

const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// A task either comes to its end or is to be tried again in a while; no thread waits for it meanwhile, so that one
/// lock that is held for long does not hold up the changes of other shards.
type Task = Box<dyn FnMut() -> Option<Duration> + Send>;

/// Threads that are started when there is something to do, up to a limit.
#[derive(Debug)]
pub(crate) struct Pool {
    name: &'static str,
    limit: usize,
    max_queue: usize,
    patience: Duration,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    ready: VecDeque<Task>,
    later: Vec<(Instant, Task)>,
    threads: usize,
    idle: usize,
    stopped: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("ready", &self.ready.len()).finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new(name: &'static str, limit: usize, max_queue: usize, patience: Duration) -> Arc<Self> {
        let (queue, wake) = (Mutex::default(), Condvar::new());
        Arc::new(Self { name, limit, max_queue, patience, queue, wake })
    }

    /// Runs `work` on a thread of the driver: again and again while it gives `None`, because somebody holds a lock,
    /// and for as long as the caller waits and patience lasts.
    pub(crate) async fn run<T, W>(self: &Arc<Self>, operation: Operation, mut work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut() -> Result<Option<T>, Fault> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let (patience, mut caller) = (self.patience, Some(caller));
        let (mut since, mut pause) = (None, FIRST_PAUSE);
        self.send(Box::new(move || {
            // Who no longer waits gets nothing done that has not begun.
            if caller.as_ref().is_none_or(oneshot::Sender::is_canceled) {
                return None;
            }
            let result = match work() {
                Ok(Some(answer)) => Ok(answer),
                Ok(None) => {
                    let now = now();
                    if now.saturating_duration_since(*since.get_or_insert(now)) < patience {
                        pause = (pause * 2).min(LONGEST_PAUSE);
                        return Some(pause / 2);
                    }
                    let detail = "another process or handle holds the lock of the shard";
                    Err(StoreError::new(StoreErrorKind::Unavailable, operation).with_detail(detail))
                }
                Err(fault) => Err(fault.during(operation)),
            };
            if let Some(caller) = caller.take() {
                let _ = caller.send(result);
            }
            None
        }))
        .map_err(|detail| StoreError::new(StoreErrorKind::Unavailable, operation).with_detail(detail))?;
        answer.await.unwrap_or_else(|_| {
            let error = StoreError::new(StoreErrorKind::Backend, operation);
            Err(error.with_detail("an operation has panicked").applied_unknown())
        })
    }

    /// The threads end when nothing is left to do. It never waits for them.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.wake.notify_all();
    }

    fn send(self: &Arc<Self>, task: Task) -> Result<(), &'static str> {
        let mut queue = self.lock();
        if queue.ready.len() + queue.later.len() >= self.max_queue {
            return Err("too many operations wait already (max_queue)");
        }
        if queue.idle <= queue.ready.len() && queue.threads < self.limit {
            let pool = Arc::clone(self);
            let thread = std::thread::Builder::new().name(self.name.to_owned());
            match thread.spawn(move || pool.work()) {
                Ok(_) => queue.threads += 1,
                // Those that are there will do it.
                Err(_) if queue.threads > 0 => {}
                Err(_) => return Err("no thread could be started"),
            }
        }
        queue.ready.push_back(task);
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    fn work(self: Arc<Self>) {
        let mut queue = self.lock();
        loop {
            let soonest = queue.promote();
            if let Some(mut task) = queue.ready.pop_front() {
                drop(queue);
                // A panic is a mistake of ours; its caller is told, and the thread is there for the others.
                let again = catch_unwind(AssertUnwindSafe(&mut task)).unwrap_or(None);
                let again = again.map(|pause| (now() + pause, task));
                queue = self.lock();
                queue.later.extend(again);
                continue;
            }
            if queue.stopped && queue.later.is_empty() {
                queue.threads -= 1;
                return;
            }
            queue.idle += 1;
            queue = match soonest {
                Some(pause) => {
                    let woken = self.wake.wait_timeout(queue, pause);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
            queue.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Makes ready what is due, and says how long the next one has to wait.
    fn promote(&mut self) -> Option<Duration> {
        if self.later.is_empty() {
            return None;
        }
        let now = now();
        let mut soonest: Option<Duration> = None;
        let mut index = 0;
        while let Some((due, _)) = self.later.get(index) {
            let wait = due.saturating_duration_since(now);
            if wait.is_zero() {
                let (_, task) = self.later.swap_remove(index);
                self.ready.push_back(task);
            } else {
                soonest = Some(soonest.map_or(wait, |soonest| soonest.min(wait)));
                index += 1;
            }
        }
        soonest
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a lock is waited for is no matter of the sessions' clock"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_for_a_lock_holds_up_nothing_else() {
        let pool = Pool::new("test", 1, 100, Duration::from_secs(3600));
        let mut stuck = Box::pin(pool.run(Operation::Store, || Ok(None::<()>)));
        assert!(futures_poll(&mut stuck).await.is_none());
        for number in 0..20 {
            assert_eq!(pool.run(Operation::Store, move || Ok(Some(number))).await.unwrap(), number);
        }
        pool.stop();
    }

    #[tokio::test]
    async fn patience_ends_and_a_full_queue_refuses() {
        let pool = Pool::new("test", 1, 1, Duration::ZERO);
        let error = pool.run(Operation::Store, || Ok(None::<()>)).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Unavailable, session_core::Applied::No));
        let pool = Pool::new("test", 1, 1, Duration::from_secs(3600));
        let mut stuck = Box::pin(pool.run(Operation::Store, || Ok(None::<()>)));
        assert!(futures_poll(&mut stuck).await.is_none());
        loop {
            // The one task may be in the hands of the thread just now.
            match pool.run(Operation::Store, || Ok(Some(()))).await {
                Ok(()) => std::thread::yield_now(),
                Err(error) => break assert_eq!(error.kind(), StoreErrorKind::Unavailable),
            }
        }
        pool.stop();
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_goes_on() {
        let pool = Pool::new("test", 1, 100, Duration::ZERO);
        let error = pool.run(Operation::Store, || -> Result<Option<()>, Fault> { panic!("on purpose") });
        assert_eq!(error.await.unwrap_err().kind(), StoreErrorKind::Backend);
        assert!(pool.run(Operation::Store, || Ok(Some(()))).await.is_ok());
        pool.stop();
    }

    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}

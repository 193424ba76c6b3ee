//! The driver's own threads, for what may take longer than some microseconds: waiting for a lock, making room, repairing
//! what a dead owner left, a large value, the disk.
//!
//! They are started when there is something to do, a few at the most, and end when nothing is left: an idle store has
//! none, and dropping one waits for none.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use session_core::{Operation, Result, StoreError, StoreErrorKind};

use crate::error::Fault;

/// How many threads there are at the most. Most of what they do is waiting.
const THREADS: usize = 4;
/// How many operations may wait. More of them are `Unavailable` at once, for the store is in trouble.
const QUEUE: usize = 4096;

/// How long one try on these threads waits for a lock, before the others that wait get their turn.
pub(crate) const SLICE: Duration = Duration::from_millis(1);

/// One try; `true` once it has come to an end.
type Task = Box<dyn FnMut() -> bool + Send>;

#[derive(Default)]
pub(crate) struct Aside {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Task>,
    /// Tasks that wait or are being tried.
    open: usize,
    threads: usize,
}

impl Aside {
    /// Runs `work` on a thread of the driver: again and again while a lock is held by somebody else, for `patience` at
    /// the most and while the caller waits. A try that has got its lock comes to its end even if the caller goes then.
    pub(crate) async fn run<T, W>(
        self: &Arc<Self>,
        operation: Operation,
        patience: Duration,
        mut work: W,
    ) -> Result<T>
    where
        T: Send + 'static,
        W: FnMut() -> Result<T, Fault> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let (mut caller, begun) = (Some(caller), now());
        let sent = self.send(Box::new(move || {
            if caller.as_ref().is_none_or(oneshot::Sender::is_canceled) {
                return true;
            }
            let result = match work() {
                Err(Fault::Busy) if now().saturating_duration_since(begun) < patience => return false,
                result => result.map_err(|fault| fault.during(operation)),
            };
            if let Some(caller) = caller.take() {
                // It may have gone meanwhile.
                let _ = caller.send(result);
            }
            true
        }));
        sent.map_err(|detail| StoreError::new(StoreErrorKind::Unavailable, operation).with_detail(detail))?;
        answer.await.unwrap_or_else(|_| {
            let error = StoreError::new(StoreErrorKind::Backend, operation);
            Err(error.with_detail("an operation has panicked").applied_unknown())
        })
    }

    fn send(self: &Arc<Self>, task: Task) -> Result<(), &'static str> {
        let mut queue = self.lock();
        if queue.open >= QUEUE {
            return Err("too many operations wait for locks of the file");
        }
        if queue.threads < THREADS {
            let aside = Arc::clone(self);
            match thread::Builder::new().name("session-mmap".into()).spawn(move || aside.work()) {
                Ok(_) => queue.threads += 1,
                // Those that are there will do it.
                Err(_) if queue.threads > 0 => {}
                Err(_) => return Err("a thread of the driver could not be started"),
            }
        }
        queue.open += 1;
        queue.tasks.push_back(task);
        Ok(())
    }

    fn work(&self) {
        let mut queue = self.lock();
        while let Some(mut task) = queue.tasks.pop_front() {
            drop(queue);
            // A panic is a mistake of ours; its caller is told, for the channel goes with the task.
            let ended = catch_unwind(AssertUnwindSafe(&mut task)).unwrap_or(true);
            if ended {
                drop(task);
                queue = self.lock();
                queue.open -= 1;
            } else {
                queue = self.lock();
                queue.tasks.push_back(task);
            }
        }
        queue.threads -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a lock is waited for is no matter of the sessions' clock"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    async fn poll_once<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_ready())
        })
        .await
    }

    #[tokio::test]
    async fn what_waits_for_a_lock_holds_up_nothing_else_and_ends_with_its_caller() {
        let aside = Arc::new(Aside::default());
        let (seen, dropped) = mpsc::channel::<()>();
        let mut stuck: Vec<_> = (0..3 * THREADS)
            .map(|_| {
                let seen = seen.clone();
                Box::pin(aside.run(Operation::Store, LONG, move || {
                    let _seen = &seen;
                    thread::yield_now();
                    Err::<(), _>(Fault::Busy)
                }))
            })
            .collect();
        for stuck in &mut stuck {
            assert!(!poll_once(stuck).await);
        }
        for number in 0..20 {
            assert_eq!(aside.run(Operation::Store, LONG, move || Ok(number)).await.unwrap(), number);
        }
        drop((stuck, seen));
        // The channel ends when the last of them is gone.
        assert!(dropped.recv().is_err());
    }

    #[tokio::test]
    async fn patience_ends() {
        let aside = Arc::new(Aside::default());
        let error =
            aside.run(Operation::Store, Duration::ZERO, || Err::<(), _>(Fault::Busy)).await.unwrap_err();
        assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Unavailable, session_core::Applied::No));
    }

    #[tokio::test]
    async fn too_many_are_refused_at_once() {
        let aside = Arc::new(Aside::default());
        let (go, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut waiting = Vec::new();
        for _ in 0..QUEUE {
            let gate = Arc::clone(&gate);
            let mut one = Box::pin(aside.run(Operation::Store, LONG, move || {
                // Until the other end of the channel is dropped.
                let _ = gate.lock().unwrap_or_else(PoisonError::into_inner).recv();
                Ok(())
            }));
            assert!(!poll_once(&mut one).await);
            waiting.push(one);
        }
        let error = aside.run(Operation::Store, LONG, || Ok(())).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        drop(go);
        for one in waiting {
            one.await.unwrap();
        }
        aside.run(Operation::Store, LONG, || Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_threads_go_on() {
        let aside = Arc::new(Aside::default());
        let error = aside.run(Operation::Store, LONG, || -> Result<(), Fault> {
            std::panic::resume_unwind(Box::new("on purpose"))
        });
        let error = error.await.unwrap_err();
        assert_eq!(
            (error.kind(), error.applied()),
            (StoreErrorKind::Backend, session_core::Applied::Unknown)
        );
        aside.run(Operation::Store, LONG, || Ok(())).await.unwrap();
    }
}

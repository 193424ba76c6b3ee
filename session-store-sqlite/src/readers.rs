//! The connections that read. None ever waits for a writer: that is what the write-ahead log is for.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use futures_channel::oneshot;
use rusqlite::Connection;
use session_core::{Clock, Operation, Result, StoreError, StoreErrorKind, Timestamp};

use crate::config::SqliteConfig;
use crate::error::Fault;
use crate::open::{self, Patience};

/// A pool of reading connections.
///
/// A thread comes back to the connection it used before, whose page cache is warm and which nobody else wants just
/// then; a read lasts microseconds, so there is no queue of waiting tasks.
pub(crate) struct Readers {
    slots: Box<[Mutex<Option<Connection>>]>,
    closed: AtomicBool,
    clock: Arc<dyn Clock>,
    offload: bool,
    patience: Duration,
    crew: Mutex<Crew>,
    wake: Condvar,
}

/// The threads for reads that may wait: those of `offload_reads`, and those that found another process recovering or
/// closing the file. They start when there is something to do.
#[derive(Default)]
struct Crew {
    tasks: VecDeque<Task>,
    threads: usize,
    /// Those that wait. Who was woken and does not run yet is one of them, and so is its task one of the tasks.
    idle: usize,
}

type Task = Box<dyn FnOnce(&Readers) + Send>;

impl Readers {
    pub(crate) fn open(config: &SqliteConfig) -> Result<Self> {
        let slots: Result<Vec<_>> = (0..config.readers)
            .map(|_| open::reader(config).map(|reader| Mutex::new(Some(reader))))
            .collect();
        Ok(Self {
            slots: slots?.into_boxed_slice(),
            closed: AtomicBool::new(false),
            clock: Arc::clone(&config.clock),
            offload: config.offload_reads,
            patience: config.busy_timeout,
            crew: Mutex::default(),
            wake: Condvar::new(),
        })
    }

    /// Runs `query` here and now, or on a thread of the driver where it may have to wait.
    pub(crate) async fn read<T, Q>(self: &Arc<Self>, operation: Operation, query: Q) -> Result<T>
    where
        T: Send + 'static,
        Q: Fn(&Connection, Timestamp) -> Result<T, Fault> + Send + 'static,
    {
        match self.here(operation, &query) {
            Some(answer) => answer,
            None => self.elsewhere(operation, query).await,
        }
    }

    /// Runs `query` here and now, unless it may have to wait.
    pub(crate) fn here<T>(
        &self,
        operation: Operation,
        query: impl Fn(&Connection, Timestamp) -> Result<T, Fault>,
    ) -> Option<Result<T>> {
        if self.offload {
            return None;
        }
        match self.attempt(operation, query) {
            Ok(Err(fault)) if fault.is_busy() => None,
            Ok(answer) => Some(answer.map_err(|fault| fault.during(operation))),
            Err(closed) => Some(Err(closed)),
        }
    }

    /// Runs `query` on a thread of the driver.
    pub(crate) async fn elsewhere<T, Q>(self: &Arc<Self>, operation: Operation, query: Q) -> Result<T>
    where
        T: Send + 'static,
        Q: Fn(&Connection, Timestamp) -> Result<T, Fault> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        self.send(Box::new(move |readers| {
            let patience = Patience::until(readers.patience);
            let mut tries = 0;
            let result = loop {
                match readers.attempt(operation, &query) {
                    // Who no longer waits needs no answer, and this thread is for those who do.
                    Ok(Err(fault)) if fault.is_busy() && !patience.is_over() && !caller.is_canceled() => {
                        open::pause(&mut tries);
                    }
                    Ok(answer) => break answer.map_err(|fault| fault.during(operation)),
                    Err(closed) => break Err(closed),
                }
            };
            let _ = caller.send(result);
        }));
        answer.await.unwrap_or_else(|_| {
            Err(if self.closed.load(Ordering::Acquire) {
                StoreError::closed(operation)
            } else {
                StoreError::new(StoreErrorKind::Unavailable, operation)
                    .with_detail("no thread could be started, or it panicked")
            })
        })
    }

    /// Whether every read is answered with `Closed`.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// No read begins from now on. It does not wait.
    pub(crate) fn stop(&self) {
        self.closed.store(true, Ordering::Release);
        self.crew().tasks.clear();
        self.wake.notify_all();
    }

    /// Waits for the reads that have begun and closes the connections.
    pub(crate) fn close(&self) {
        self.stop();
        for slot in &self.slots {
            drop(slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    fn attempt<T>(
        &self,
        operation: Operation,
        query: impl Fn(&Connection, Timestamp) -> Result<T, Fault>,
    ) -> Result<Result<T, Fault>> {
        if self.is_closed() {
            return Err(StoreError::closed(operation));
        }
        match &*self.slot() {
            Some(connection) => Ok(query(connection, self.clock.now())),
            None => Err(StoreError::closed(operation)),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Connection>> {
        thread_local!(static HERE: u8 = const { 0 });
        // Where a thread keeps its own variables tells it from the others, at no cost; the product spreads it.
        let here = HERE.with(|here| std::ptr::from_ref(here).addr() as u64);
        let first = (here.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % self.slots.len();
        let (before, after) = self.slots.split_at(first);
        let mut slots = after.iter().chain(before);
        slots
            .clone()
            .find_map(|slot| match slot.try_lock() {
                Ok(slot) => Some(slot),
                // A clock that panicked has harmed no connection.
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            })
            .or_else(|| slots.next().map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner)))
            .expect("the configuration has at least one reader")
    }

    fn send(self: &Arc<Self>, task: Task) {
        self.enlist(&mut self.crew(), task);
    }

    /// Puts the task where one of the threads finds it. Whoever waits has a thread of its own, as long as there may be
    /// another: a task may wait for as long as `busy_timeout`, and holds up what comes behind it.
    fn enlist(self: &Arc<Self>, crew: &mut Crew, task: Task) {
        if self.is_closed() {
            return;
        }
        crew.tasks.push_back(task);
        if crew.tasks.len() <= crew.idle {
            self.wake.notify_one();
        } else if crew.threads < self.slots.len() {
            let readers = Arc::clone(self);
            let thread = std::thread::Builder::new().name("session-sqlite-r".to_owned());
            match thread.spawn(move || readers.work()) {
                Ok(_) => crew.threads += 1,
                // Those that are there will do it; if none is, nobody will, and the caller is told.
                Err(_) if crew.threads > 0 => {}
                Err(_) => crew.tasks.clear(),
            }
        }
    }

    fn work(self: Arc<Self>) {
        let mut crew = self.crew();
        while !self.is_closed() {
            if let Some(task) = crew.tasks.pop_front() {
                drop(crew);
                // A panic of the clock costs its caller the answer, and the others no thread.
                drop(catch_unwind(AssertUnwindSafe(|| task(&self))));
                crew = self.crew();
            } else {
                crew.idle += 1;
                crew = self.wake.wait(crew).unwrap_or_else(PoisonError::into_inner);
                crew.idle -= 1;
            }
        }
        crew.threads -= 1;
    }

    fn crew(&self) -> MutexGuard<'_, Crew> {
        self.crew.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::sync::mpsc;

    use super::*;

    fn busy() -> Fault {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(5), None).into()
    }

    fn readers(directory: &tempfile::TempDir, patience: Duration) -> Arc<Readers> {
        let config =
            SqliteConfig::new(directory.path().join("sessions.db")).readers(2).busy_timeout(patience);
        let config = open::prepare(config).unwrap();
        Arc::new(Readers::open(&config).unwrap())
    }

    #[tokio::test]
    async fn a_read_that_meets_a_lock_waits_on_another_thread_and_is_answered() {
        let directory = tempfile::tempdir().unwrap();
        let readers = readers(&directory, Duration::from_secs(3600));
        let tries = AtomicU32::new(0);
        let here = std::thread::current().id();
        let query = move |_: &Connection, _| match tries.fetch_add(1, Ordering::Relaxed) {
            0..5 => Err(busy()),
            _ => Ok(std::thread::current().id()),
        };
        assert_ne!(readers.read(Operation::Retrieve, query).await.unwrap(), here);
        readers.close();
        let closed = readers.read(Operation::Retrieve, |_, _| Ok(())).await.unwrap_err();
        assert_eq!(closed.kind(), StoreErrorKind::Closed);
    }

    #[tokio::test]
    async fn a_read_that_meets_a_lock_for_too_long_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let readers = readers(&directory, Duration::ZERO);
        let refused = readers.read(Operation::Retrieve, |_, _| Err::<(), _>(busy())).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    }

    /// A test that would hang fails.
    const SURELY: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn two_tasks_that_find_one_idle_thread_do_not_wait_for_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let readers = readers(&directory, SURELY);
        readers.elsewhere(Operation::Count, |_, _| Ok(())).await.unwrap();
        let mut crew = readers.crew();
        while crew.idle == 0 {
            drop(crew);
            std::thread::yield_now();
            crew = readers.crew();
        }
        let (second, first) = mpsc::channel();
        let (done, answer) = mpsc::channel();
        // Both before the thread can wake up: it needs the lock for that.
        readers.enlist(&mut crew, Box::new(move |_| done.send(first.recv_timeout(SURELY)).unwrap()));
        readers.enlist(&mut crew, Box::new(move |_| second.send(()).unwrap()));
        drop(crew);
        assert_eq!(
            answer.recv_timeout(2 * SURELY).unwrap(),
            Ok(()),
            "the second came while the first waited"
        );
        readers.close();
    }

    #[tokio::test]
    async fn reads_that_panic_cost_the_others_neither_threads_nor_connections() {
        let directory = tempfile::tempdir().unwrap();
        let readers = readers(&directory, SURELY);
        for _ in 0..4 {
            let clock = |_: &Connection, _| -> Result<(), Fault> { panic!("as a clock might") };
            let read = tokio::time::timeout(SURELY, readers.elsewhere(Operation::Count, clock));
            assert_eq!(read.await.expect("an answer").unwrap_err().kind(), StoreErrorKind::Unavailable);
        }
        let read = tokio::time::timeout(SURELY, readers.elsewhere(Operation::Count, |_, _| Ok(())));
        read.await.expect("a thread is left").unwrap();
        // One read within another needs both connections.
        let (done, answer) = mpsc::channel();
        std::thread::spawn(move || {
            let inner = || readers.here(Operation::Count, |_, _| Ok(())).unwrap();
            done.send(readers.here(Operation::Count, |_, _| Ok(inner())).unwrap().is_ok()).unwrap();
        });
        assert!(answer.recv_timeout(SURELY).expect("both connections are in use"));
    }

    #[tokio::test]
    async fn more_reads_at_once_than_connections_all_find_one() {
        let directory = tempfile::tempdir().unwrap();
        let readers = readers(&directory, Duration::ZERO);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        readers.here(Operation::Count, |_, _| Ok(())).unwrap().unwrap();
                    }
                });
            }
        });
    }
}

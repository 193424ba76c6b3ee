//! The connections that read. None ever waits for a writer: that is what the write-ahead log is for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_channel::oneshot;
use rusqlite::Connection;
use session_core::{Clock, Error, ErrorKind, Operation, Result, Timestamp};

use crate::config::Config;
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
    idle: usize,
}

type Task = Box<dyn FnOnce(&Readers) + Send>;

impl Readers {
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let slots: Result<Vec<_>> = (0..config.readers)
            .map(|_| open::reader(config).map(|reader| Mutex::new(Some(reader))))
            .collect();
        Ok(Self {
            slots: slots?.into_boxed_slice(),
            closed: AtomicBool::new(false),
            clock: Arc::clone(&config.clock),
            offload: config.offload_reads,
            patience: config.busy_deadline,
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
                Error::closed(operation)
            } else {
                Error::new(ErrorKind::Unavailable, operation).with_detail("no thread could be started")
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
            return Err(Error::closed(operation));
        }
        match &*self.slot() {
            Some(connection) => Ok(query(connection, self.clock.now())),
            None => Err(Error::closed(operation)),
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
            .find_map(|slot| slot.try_lock().ok())
            .or_else(|| slots.next().map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner)))
            .expect("the configuration has at least one reader")
    }

    fn send(self: &Arc<Self>, task: Task) {
        let mut crew = self.crew();
        if self.is_closed() {
            return;
        }
        crew.tasks.push_back(task);
        if crew.idle > 0 {
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
                task(&self);
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

    use super::*;

    fn busy() -> Fault {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(5), None).into()
    }

    fn readers(directory: &tempfile::TempDir, patience: Duration) -> Arc<Readers> {
        let config = Config::new(directory.path().join("sessions.db")).readers(2).busy_deadline(patience);
        open::prepare(&config).unwrap();
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
        assert_eq!(closed.kind(), ErrorKind::Closed);
    }

    #[tokio::test]
    async fn a_read_that_meets_a_lock_for_too_long_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let readers = readers(&directory, Duration::ZERO);
        let refused = readers.read(Operation::Retrieve, |_, _| Err::<(), _>(busy())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
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

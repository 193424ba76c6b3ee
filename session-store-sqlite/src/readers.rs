//! The connections that read. A read never waits for the writer, because of the write-ahead log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use rusqlite::Connection;
use session_core::offload::{Order, Workers, WorkersConfig};
use session_core::{Clock, Gate, Operation, Result, Timestamp};

use crate::config::SqliteConfig;
use crate::connection;
use crate::error::{BUSY, Fault};

/// A pool of reading connections, and the worker threads for reads that may wait: those of `offload_reads`, and those
/// that find another process recovering or closing the file.
pub(crate) struct Readers {
    pool: Arc<Pool>,
    workers: Workers,
    offload: bool,
}

/// A thread returns to the connection it used before, whose page cache is warm and which other threads leave alone. A
/// read lasts microseconds, so callers do not queue for a connection.
struct Pool {
    slots: Box<[Mutex<Option<Connection>>]>,
    gate: Gate,
    clock: Arc<dyn Clock>,
}

impl Readers {
    pub(crate) fn open(config: &SqliteConfig) -> Result<Self> {
        let slot = |_| connection::reader(config).map(|reader| Mutex::new(Some(reader)));
        let slots: Box<[_]> = (0..config.readers).map(slot).collect::<Result<_>>()?;
        Ok(Self {
            pool: Arc::new(Pool { slots, gate: Gate::new(), clock: Arc::clone(&config.clock) }),
            workers: Workers::new(WorkersConfig {
                name: "session-sqlite-r",
                threads: config.readers,
                max_queue: usize::MAX,
                busy_timeout: config.busy_timeout,
                busy_detail: BUSY,
            }),
            offload: config.offload_reads,
        })
    }

    /// Runs `query` on the caller's thread. `None` if it may have to wait.
    pub(crate) fn in_place<T>(
        &self,
        operation: Operation,
        query: impl Fn(&Connection, Timestamp) -> Result<T, Fault>,
    ) -> Option<Result<T>> {
        if self.offload { None } else { self.pool.attempt(operation, query).transpose() }
    }

    /// Runs `query` on a worker thread.
    pub(crate) async fn on_a_worker<T, Q>(&self, operation: Operation, query: Q) -> Result<T>
    where
        T: Send + 'static,
        Q: Fn(&Connection, Timestamp) -> Result<T, Fault> + Send + 'static,
    {
        let pool = Arc::clone(&self.pool);
        self.workers.run(operation, Order::Free, move |_| pool.attempt(operation, &query)).await
    }

    /// Passes until [`stop`](Self::stop).
    pub(crate) fn check(&self, operation: Operation) -> Result<()> {
        self.pool.gate.check(operation)
    }

    /// No read begins from now on. Does not wait.
    pub(crate) fn stop(&self) {
        self.pool.gate.close();
    }

    /// Waits for the reads that have begun and closes the connections.
    pub(crate) fn close(&self) {
        self.stop();
        for slot in &self.pool.slots {
            drop(slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

impl Pool {
    /// `Ok(None)` if another process holds the lock, or the query takes too long for this thread.
    fn attempt<T>(
        &self,
        operation: Operation,
        query: impl Fn(&Connection, Timestamp) -> Result<T, Fault>,
    ) -> Result<Option<T>> {
        self.gate.check(operation)?;
        let slot = self.slot();
        let Some(connection) = &*slot else { return Err(session_core::StoreError::closed(operation)) };
        match query(connection, self.clock.now()) {
            Ok(answer) => Ok(Some(answer)),
            Err(fault) if fault.needs_thread() => Ok(None),
            Err(fault) => Err(fault.during(operation)),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Connection>> {
        thread_local!(static HERE: u8 = const { 0 });
        // The address of a thread-local variable identifies the thread at no cost; the product spreads it.
        let here = HERE.with(|here| std::ptr::from_ref(here).addr() as u64);
        let first = (here.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % self.slots.len();
        let (before, after) = self.slots.split_at(first);
        let mut slots = after.iter().chain(before);
        slots
            .clone()
            .find_map(|slot| match slot.try_lock() {
                Ok(slot) => Some(slot),
                // A clock that panicked has not harmed the connection.
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            })
            .or_else(|| slots.next().map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner)))
            .expect("the configuration has at least one reader")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use session_core::StoreErrorKind;

    use super::*;
    use crate::open;

    /// Longer than any test takes, so that a hanging test fails.
    const LONG: Duration = Duration::from_secs(30);

    fn busy() -> Fault {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(5), None).into()
    }

    /// As `retrieve` does: on the caller's thread, or on a worker thread if it may have to wait.
    async fn read<T, Q>(readers: &Readers, operation: Operation, query: Q) -> Result<T>
    where
        T: Send + 'static,
        Q: Fn(&Connection, Timestamp) -> Result<T, Fault> + Send + 'static,
    {
        match readers.in_place(operation, &query) {
            Some(answer) => answer,
            None => readers.on_a_worker(operation, query).await,
        }
    }

    fn readers(busy_timeout: Duration) -> (tempfile::TempDir, Readers) {
        let directory = tempfile::tempdir().unwrap();
        let config = SqliteConfig::new(directory.path().join("sessions.db"));
        let (config, _) = open::prepare(config.readers(2).busy_timeout(busy_timeout)).unwrap();
        (directory, Readers::open(&config).unwrap())
    }

    #[tokio::test]
    async fn a_locked_read_is_retried_on_a_worker() {
        let (_directory, readers) = readers(Duration::from_secs(3600));
        let tries = AtomicU32::new(0);
        let here = std::thread::current().id();
        let query = move |_: &Connection, _| match tries.fetch_add(1, Ordering::Relaxed) {
            0..5 => Err(busy()),
            _ => Ok(std::thread::current().id()),
        };
        assert_ne!(read(&readers, Operation::Retrieve, query).await.unwrap(), here);
        readers.close();
        let closed = read(&readers, Operation::Retrieve, |_, _| Ok(())).await.unwrap_err();
        assert_eq!(closed.kind(), StoreErrorKind::Closed);
    }

    #[tokio::test]
    async fn a_read_locked_too_long_is_unavailable() {
        let (_directory, readers) = readers(Duration::ZERO);
        let refused = read(&readers, Operation::Retrieve, |_, _| Err::<(), _>(busy())).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    }

    #[tokio::test]
    async fn a_read_that_panics_costs_no_connection() {
        let (_directory, readers) = readers(LONG);
        for _ in 0..4 {
            let panics = |_: &Connection, _| -> Result<(), Fault> { panic!("as a clock may") };
            let read = tokio::time::timeout(LONG, readers.on_a_worker(Operation::Count, panics));
            assert_eq!(read.await.expect("an answer").unwrap_err().kind(), StoreErrorKind::Backend);
        }
        // A read inside another one needs both connections.
        let (done, answer) = mpsc::channel();
        std::thread::spawn(move || {
            let inner = || readers.in_place(Operation::Count, |_, _| Ok(())).unwrap();
            done.send(readers.in_place(Operation::Count, |_, _| Ok(inner())).unwrap().is_ok()).unwrap();
        });
        assert!(answer.recv_timeout(LONG).expect("both connections are in use"));
    }

    #[test]
    fn more_reads_than_connections_all_find_one() {
        let (_directory, readers) = readers(Duration::ZERO);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        readers.in_place(Operation::Count, |_, _| Ok(())).unwrap().unwrap();
                    }
                });
            }
        });
    }
}

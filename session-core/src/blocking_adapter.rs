//! [`BlockingDriver`] on worker threads.

use std::sync::Arc;
use std::time::Duration;

use crate::blocking::BlockingDriver;
use crate::capabilities::Capabilities;
use crate::change::{Change, Condition, Touch};
use crate::clock::Clock;
use crate::driver::Driver;
use crate::error::{Operation, Result};
use crate::gate::Gate;
use crate::key::{Key, Prefix};
use crate::offload::{Caller, Order, Workers, WorkersConfig};
use crate::page::{Cursor, Page, Purged};
use crate::record::Record;

/// A [`BlockingDriver`] as a [`Driver`], on worker threads of its own. For engines whose calls wait; needs no async
/// runtime.
///
/// After [`close`](Driver::close) it answers every call with `Closed`, so the blocking driver need not.
///
/// # Cancellation
/// A call whose future is dropped before it began is not made. A change that has begun ends on its thread; later calls
/// of this handle and its clones on the same key wait for that end, and [`close`](Driver::close) waits for all calls.
#[derive(Debug)]
pub struct Blocking<B> {
    guarded: Arc<Guarded<B>>,
    workers: Arc<Workers>,
}

#[derive(Debug)]
struct Guarded<B> {
    driver: B,
    gate: Gate,
}

impl<B> Clone for Blocking<B> {
    fn clone(&self) -> Self {
        Self { guarded: Arc::clone(&self.guarded), workers: Arc::clone(&self.workers) }
    }
}

impl<B: BlockingDriver> Blocking<B> {
    /// The limit of [`new`](Self::new).
    pub const THREADS: usize = 64;

    /// Runs the calls of `driver` on up to [`THREADS`](Self::THREADS) threads.
    pub fn new(driver: B) -> Self {
        Self::with_threads(driver, Self::THREADS)
    }

    /// Runs the calls of `driver` on up to `threads` threads, at least one. The queue has no limit.
    pub fn with_threads(driver: B, threads: usize) -> Self {
        let workers = Workers::new(WorkersConfig {
            name: "session-block",
            threads,
            max_queue: usize::MAX,
            // No call of a blocking driver is retried.
            busy_timeout: Duration::ZERO,
            busy_detail: "",
        });
        Self { guarded: Arc::new(Guarded { driver, gate: Gate::new() }), workers: Arc::new(workers) }
    }

    /// The driver itself.
    #[must_use]
    pub fn get_ref(&self) -> &B {
        &self.guarded.driver
    }

    async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        order: Order,
        call: impl FnOnce(&B) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (guarded, mut call) = (Arc::clone(&self.guarded), Some(call));
        let work = move |_: Caller<'_>| {
            // Checked when the call counts as running: `close` waits for all that passed.
            if operation != Operation::Close {
                guarded.gate.check(operation)?;
            }
            call.take().map(|call| call(&guarded.driver)).transpose()
        };
        self.workers.run(operation, order, work).await
    }

    async fn change<T: Send + 'static>(
        &self,
        operation: Operation,
        key: &Key,
        call: impl FnOnce(&B, &Key) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let key = key.clone();
        self.run(operation, Order::Change(key.clone()), move |driver| call(driver, &key)).await
    }
}

impl<B: BlockingDriver> Driver for Blocking<B> {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let key = key.clone();
        let order = Order::Read(key.clone());
        self.run(Operation::Retrieve, order, move |driver| driver.retrieve(&key)).await
    }
    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.change(Operation::Store, key, move |driver, key| driver.store(key, record, condition)).await
    }
    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.change(Operation::Remove, key, move |driver, key| driver.remove(key, condition)).await
    }
    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let prefix = prefix.clone();
        let order = Order::Free;
        self.run(Operation::Traverse, order, move |driver| driver.traverse(&prefix, from, limit)).await
    }
    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.change(Operation::Touch, key, move |driver, key| driver.touch(key, touch)).await
    }
    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.run(Operation::Purge, Order::Free, move |driver| driver.purge(limit)).await
    }
    async fn flush(&self) -> Result<()> {
        self.run(Operation::Flush, Order::Free, |driver| driver.flush()).await
    }
    async fn close(&self) -> Result<()> {
        self.guarded.gate.close();
        self.workers.drained().await;
        self.run(Operation::Close, Order::Free, |driver| driver.close()).await
    }
    fn capabilities(&self) -> Capabilities {
        self.guarded.driver.capabilities().at_once(false)
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.guarded.driver.clock()
    }
}

//! The operations as plain functions.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use session_core::{
    BlockingDriver, Capabilities, Change, Clock, Condition, Cursor, Driver, Key, Page, Prefix, Purged,
    Record, Result, Touch,
};

use crate::model::Model;
use crate::store::DelegateStore;

/// The operations of [`Driver`] as plain functions, for applications without an async runtime and for worker threads.
/// The calling thread waits while the model does.
impl<M: Model> BlockingDriver for DelegateStore<M> {
    fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        wait(Driver::retrieve(self, key))
    }
    fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        wait(Driver::store(self, key, record, condition))
    }
    fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        wait(Driver::remove(self, key, condition))
    }
    fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        wait(Driver::traverse(self, prefix, from, limit))
    }
    fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        wait(Driver::touch(self, key, touch))
    }
    fn purge(&self, limit: usize) -> Result<Purged> {
        wait(Driver::purge(self, limit))
    }
    fn flush(&self) -> Result<()> {
        wait(Driver::flush(self))
    }
    fn close(&self) -> Result<()> {
        wait(Driver::close(self))
    }
    fn capabilities(&self) -> Capabilities {
        Driver::capabilities(self)
    }
    fn clock(&self) -> Arc<dyn Clock> {
        Driver::clock(self)
    }
}

/// Wakes a thread that waits for a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}

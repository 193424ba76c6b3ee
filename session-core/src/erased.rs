//! Type-erased drivers, chosen at run time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::capabilities::Capabilities;
use crate::change::{Change, Condition, Touch};
use crate::clock::Clock;
use crate::driver::Driver;
use crate::error::Result;
use crate::key::{Key, Prefix};
use crate::page::{Cursor, Page, Purged};
use crate::record::Record;

/// A driver of any type. Cheap to clone, and itself a [`Driver`].
pub type DynDriver = Arc<dyn ErasedDriver>;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// [`Driver`] with boxed futures. Implemented for every driver; use it through [`DynDriver`].
#[expect(missing_docs, reason = "each method is the Driver method of the same name, boxed")]
pub trait ErasedDriver: Send + Sync + 'static {
    fn retrieve_boxed<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Record>>;
    fn store_boxed<'a>(&'a self, key: &'a Key, record: Record, condition: Condition) -> Boxed<'a, Change>;
    fn remove_boxed<'a>(&'a self, key: &'a Key, condition: Condition) -> Boxed<'a, Change>;
    fn traverse_boxed<'a>(&'a self, prefix: &'a Prefix, from: Cursor, limit: usize) -> Boxed<'a, Page>;
    fn touch_boxed<'a>(&'a self, key: &'a Key, touch: Touch) -> Boxed<'a, bool>;
    fn purge_boxed(&self, limit: usize) -> Boxed<'_, Purged>;
    fn flush_boxed(&self) -> Boxed<'_, ()>;
    fn close_boxed(&self) -> Boxed<'_, ()>;
    fn capabilities_erased(&self) -> Capabilities;
    fn clock_erased(&self) -> Arc<dyn Clock>;
}

impl<D: Driver> ErasedDriver for D {
    fn retrieve_boxed<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Record>> {
        Box::pin(self.retrieve(key))
    }
    fn store_boxed<'a>(&'a self, key: &'a Key, record: Record, condition: Condition) -> Boxed<'a, Change> {
        Box::pin(self.store(key, record, condition))
    }
    fn remove_boxed<'a>(&'a self, key: &'a Key, condition: Condition) -> Boxed<'a, Change> {
        Box::pin(self.remove(key, condition))
    }
    fn traverse_boxed<'a>(&'a self, prefix: &'a Prefix, from: Cursor, limit: usize) -> Boxed<'a, Page> {
        Box::pin(self.traverse(prefix, from, limit))
    }
    fn touch_boxed<'a>(&'a self, key: &'a Key, touch: Touch) -> Boxed<'a, bool> {
        Box::pin(self.touch(key, touch))
    }
    fn purge_boxed(&self, limit: usize) -> Boxed<'_, Purged> {
        Box::pin(self.purge(limit))
    }
    fn flush_boxed(&self) -> Boxed<'_, ()> {
        Box::pin(self.flush())
    }
    fn close_boxed(&self) -> Boxed<'_, ()> {
        Box::pin(self.close())
    }
    fn capabilities_erased(&self) -> Capabilities {
        self.capabilities()
    }
    fn clock_erased(&self) -> Arc<dyn Clock> {
        self.clock()
    }
}

// `(**self)` selects the inner driver. `self.retrieve_boxed(..)` would select the blanket impl of the `Arc` and recurse
// forever.
impl Driver for DynDriver {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        (**self).retrieve_boxed(key).await
    }
    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        (**self).store_boxed(key, record, condition).await
    }
    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        (**self).remove_boxed(key, condition).await
    }
    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        (**self).traverse_boxed(prefix, from, limit).await
    }
    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        (**self).touch_boxed(key, touch).await
    }
    async fn purge(&self, limit: usize) -> Result<Purged> {
        (**self).purge_boxed(limit).await
    }
    async fn flush(&self) -> Result<()> {
        (**self).flush_boxed().await
    }
    async fn close(&self) -> Result<()> {
        (**self).close_boxed().await
    }
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities_erased()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        (**self).clock_erased()
    }
}

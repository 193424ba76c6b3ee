//! The driver specification behind a pointer, for whoever picks a driver at run time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::capabilities::Capabilities;
use crate::clock::{Clock, Timestamp};
use crate::driver::Driver;
use crate::error::Result;
use crate::key::{Key, Prefix};
use crate::page::{Cursor, Page, Purged};
use crate::record::{Condition, Record, Revision, Stored};

/// A driver of any kind: cheap to clone, and a [`Driver`] itself.
pub type DynDriver = Arc<dyn ErasedDriver>;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// [`Driver`] with boxed futures. Every driver implements it; nobody else needs to.
#[expect(missing_docs, reason = "each method is the Driver method of the same name, boxed")]
pub trait ErasedDriver: Send + Sync + 'static {
    fn retrieve_boxed<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Record>>;
    fn store_boxed<'a>(&'a self, key: &'a Key, record: Record, when: Condition) -> Boxed<'a, Stored>;
    fn remove_boxed<'a>(&'a self, key: &'a Key, when: Condition) -> Boxed<'a, Stored>;
    fn traverse_boxed<'a>(&'a self, prefix: &'a Prefix, from: Cursor, limit: usize) -> Boxed<'a, Page>;
    fn touch_boxed<'a>(
        &'a self,
        key: &'a Key,
        from: Revision,
        to: Revision,
        deadline: Option<Timestamp>,
    ) -> Boxed<'a, bool>;
    fn purge_boxed(&self, limit: usize) -> Boxed<'_, Purged>;
    fn count_boxed<'a>(&'a self, prefix: &'a Prefix) -> Boxed<'a, u64>;
    fn clear_boxed<'a>(&'a self, prefix: &'a Prefix) -> Boxed<'a, u64>;
    fn flush_boxed(&self) -> Boxed<'_, ()>;
    fn close_boxed(&self) -> Boxed<'_, ()>;
    fn capabilities_erased(&self) -> Capabilities;
    fn clock_erased(&self) -> Arc<dyn Clock>;
}

impl<D: Driver> ErasedDriver for D {
    fn retrieve_boxed<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Record>> {
        Box::pin(self.retrieve(key))
    }
    fn store_boxed<'a>(&'a self, key: &'a Key, record: Record, when: Condition) -> Boxed<'a, Stored> {
        Box::pin(self.store(key, record, when))
    }
    fn remove_boxed<'a>(&'a self, key: &'a Key, when: Condition) -> Boxed<'a, Stored> {
        Box::pin(self.remove(key, when))
    }
    fn traverse_boxed<'a>(&'a self, prefix: &'a Prefix, from: Cursor, limit: usize) -> Boxed<'a, Page> {
        Box::pin(self.traverse(prefix, from, limit))
    }
    fn touch_boxed<'a>(
        &'a self,
        key: &'a Key,
        from: Revision,
        to: Revision,
        deadline: Option<Timestamp>,
    ) -> Boxed<'a, bool> {
        Box::pin(self.touch(key, from, to, deadline))
    }
    fn purge_boxed(&self, limit: usize) -> Boxed<'_, Purged> {
        Box::pin(self.purge(limit))
    }
    fn count_boxed<'a>(&'a self, prefix: &'a Prefix) -> Boxed<'a, u64> {
        Box::pin(self.count(prefix))
    }
    fn clear_boxed<'a>(&'a self, prefix: &'a Prefix) -> Boxed<'a, u64> {
        Box::pin(self.clear(prefix))
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

// Each call goes through `(**self)`: `self.retrieve_boxed(..)` would find the blanket impl for the Arc itself, and so
// this very method again, without end. The test below calls every one of them.
impl Driver for DynDriver {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        (**self).retrieve_boxed(key).await
    }
    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Stored> {
        (**self).store_boxed(key, record, when).await
    }
    async fn remove(&self, key: &Key, when: Condition) -> Result<Stored> {
        (**self).remove_boxed(key, when).await
    }
    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        (**self).traverse_boxed(prefix, from, limit).await
    }
    async fn touch(
        &self,
        key: &Key,
        from: Revision,
        to: Revision,
        deadline: Option<Timestamp>,
    ) -> Result<bool> {
        (**self).touch_boxed(key, from, to, deadline).await
    }
    async fn purge(&self, limit: usize) -> Result<Purged> {
        (**self).purge_boxed(limit).await
    }
    async fn count(&self, prefix: &Prefix) -> Result<u64> {
        (**self).count_boxed(prefix).await
    }
    async fn clear(&self, prefix: &Prefix) -> Result<u64> {
        (**self).clear_boxed(prefix).await
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

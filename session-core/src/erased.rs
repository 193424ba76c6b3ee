//! Type-erased drivers, chosen at run time.

use std::any::Any;
use std::fmt;
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

/// A driver of any type, and itself a [`Driver`]. For applications that choose their store at run time.
///
/// Clones are cheap and share the store. Each operation allocates one boxed future.
///
/// ```
/// use session_core::{Driver, DynDriver};
///
/// fn choose(test: bool, one: impl Driver, other: impl Driver) -> DynDriver {
///     if test { DynDriver::new(one) } else { DynDriver::new(other) }
/// }
/// ```
// A newtype, because the compiler cannot prove `Arc<dyn Erased>: Driver` for every lifetime inside a future that must be
// `Send`.
#[derive(Clone)]
pub struct DynDriver(Arc<dyn Erased>);

impl DynDriver {
    /// Erases the type of `driver`. A `DynDriver` is returned as it is.
    #[must_use]
    pub fn new(driver: impl Driver) -> Self {
        let mut driver = Some(driver);
        let erased = (&mut driver as &mut dyn Any).downcast_mut::<Option<Self>>().and_then(Option::take);
        erased.unwrap_or_else(|| Self(Arc::new(driver.expect("only a DynDriver is taken"))))
    }
}

impl fmt::Debug for DynDriver {
    /// The type of the driver only, because a driver need not be `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynDriver").field(&format_args!("{}", self.0.type_name())).finish()
    }
}

impl Driver for DynDriver {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.0.retrieve_boxed(key).await
    }
    async fn retrieve_recent(&self, key: &Key) -> Result<Option<Record>> {
        self.0.retrieve_recent_boxed(key).await
    }
    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.0.store_boxed(key, record, condition).await
    }
    async fn store_over(&self, key: &Key, record: Record, loaded: &Record) -> Result<Change> {
        self.0.store_over_boxed(key, record, loaded).await
    }
    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.0.remove_boxed(key, condition).await
    }
    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.traverse_boxed(prefix, from, limit).await
    }
    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.0.touch_boxed(key, touch).await
    }
    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.0.purge_boxed(limit).await
    }
    async fn flush(&self) -> Result<()> {
        self.0.flush_boxed().await
    }
    async fn close(&self) -> Result<()> {
        self.0.close_boxed().await
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities_erased()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock_erased()
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// [`Driver`] with boxed futures.
trait Erased: Send + Sync {
    fn retrieve_boxed<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Record>>;
    fn retrieve_recent_boxed<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Record>>;
    fn store_boxed<'a>(&'a self, key: &'a Key, record: Record, condition: Condition) -> Boxed<'a, Change>;
    fn store_over_boxed<'a>(&'a self, key: &'a Key, record: Record, loaded: &'a Record) -> Boxed<'a, Change>;
    fn remove_boxed<'a>(&'a self, key: &'a Key, condition: Condition) -> Boxed<'a, Change>;
    fn traverse_boxed<'a>(&'a self, prefix: &'a Prefix, from: Cursor, limit: usize) -> Boxed<'a, Page>;
    fn touch_boxed<'a>(&'a self, key: &'a Key, touch: Touch) -> Boxed<'a, bool>;
    fn purge_boxed(&self, limit: usize) -> Boxed<'_, Purged>;
    fn flush_boxed(&self) -> Boxed<'_, ()>;
    fn close_boxed(&self) -> Boxed<'_, ()>;
    fn capabilities_erased(&self) -> Capabilities;
    fn clock_erased(&self) -> Arc<dyn Clock>;
    fn type_name(&self) -> &'static str;
}

impl<D: Driver> Erased for D {
    fn retrieve_boxed<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Record>> {
        Box::pin(self.retrieve(key))
    }
    fn retrieve_recent_boxed<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Record>> {
        Box::pin(self.retrieve_recent(key))
    }
    fn store_boxed<'a>(&'a self, key: &'a Key, record: Record, condition: Condition) -> Boxed<'a, Change> {
        Box::pin(self.store(key, record, condition))
    }
    fn store_over_boxed<'a>(&'a self, key: &'a Key, record: Record, loaded: &'a Record) -> Boxed<'a, Change> {
        Box::pin(self.store_over(key, record, loaded))
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
    fn type_name(&self) -> &'static str {
        std::any::type_name::<D>()
    }
}

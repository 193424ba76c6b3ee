//! Forwarding for drivers that wrap another driver.

/// Implements the named [`Driver`](crate::Driver) methods by calling them on the field `$inner`.
///
/// Name all methods that the wrapper does not implement itself. The compiler does not report a forgotten method that has
/// a default, so test the wrapper by calling each method.
///
/// ```
/// use session_core::{Change, Condition, Driver, Key, Record, Result};
///
/// /// Counts stores with a condition of their own and forwards everything else.
/// struct Counting<D> {
///     inner: D,
///     stores: std::sync::atomic::AtomicU64,
/// }
///
/// impl<D: Driver> Driver for Counting<D> {
///     async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
///         self.stores.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///         self.inner.store(key, record, condition).await
///     }
///     session_core::forward!(
///         inner: retrieve retrieve_recent store_over remove traverse touch purge flush close capabilities clock
///     );
/// }
/// ```
#[macro_export]
macro_rules! forward {
    ($inner:tt: $($method:ident)*) => { $($crate::forward!(@$method $inner);)* };
    (@retrieve $inner:tt) => {
        async fn retrieve(&self, key: &$crate::Key) -> $crate::Result<Option<$crate::Record>> {
            $crate::Driver::retrieve(&self.$inner, key).await
        }
    };
    (@retrieve_recent $inner:tt) => {
        async fn retrieve_recent(&self, key: &$crate::Key) -> $crate::Result<Option<$crate::Record>> {
            $crate::Driver::retrieve_recent(&self.$inner, key).await
        }
    };
    (@store $inner:tt) => {
        async fn store(
            &self,
            key: &$crate::Key,
            record: $crate::Record,
            condition: $crate::Condition,
        ) -> $crate::Result<$crate::Change> {
            $crate::Driver::store(&self.$inner, key, record, condition).await
        }
    };
    (@store_over $inner:tt) => {
        async fn store_over(
            &self,
            key: &$crate::Key,
            record: $crate::Record,
            loaded: &$crate::Record,
        ) -> $crate::Result<$crate::Change> {
            $crate::Driver::store_over(&self.$inner, key, record, loaded).await
        }
    };
    (@remove $inner:tt) => {
        async fn remove(
            &self,
            key: &$crate::Key,
            condition: $crate::Condition,
        ) -> $crate::Result<$crate::Change> {
            $crate::Driver::remove(&self.$inner, key, condition).await
        }
    };
    (@traverse $inner:tt) => {
        async fn traverse(
            &self,
            prefix: &$crate::Prefix,
            from: $crate::Cursor,
            limit: usize,
        ) -> $crate::Result<$crate::Page> {
            $crate::Driver::traverse(&self.$inner, prefix, from, limit).await
        }
    };
    (@touch $inner:tt) => {
        async fn touch(&self, key: &$crate::Key, touch: $crate::Touch) -> $crate::Result<bool> {
            $crate::Driver::touch(&self.$inner, key, touch).await
        }
    };
    (@purge $inner:tt) => {
        async fn purge(&self, limit: usize) -> $crate::Result<$crate::Purged> {
            $crate::Driver::purge(&self.$inner, limit).await
        }
    };
    (@flush $inner:tt) => {
        async fn flush(&self) -> $crate::Result<()> {
            $crate::Driver::flush(&self.$inner).await
        }
    };
    (@close $inner:tt) => {
        async fn close(&self) -> $crate::Result<()> {
            $crate::Driver::close(&self.$inner).await
        }
    };
    (@capabilities $inner:tt) => {
        fn capabilities(&self) -> $crate::Capabilities {
            $crate::Driver::capabilities(&self.$inner)
        }
    };
    (@clock $inner:tt) => {
        fn clock(&self) -> ::std::sync::Arc<dyn $crate::Clock> {
            $crate::Driver::clock(&self.$inner)
        }
    };
}

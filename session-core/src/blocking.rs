//! The driver specification for engines that only know plain functions.

use std::sync::Arc;

use crate::capabilities::Capabilities;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::{Error, Operation, Result};
use crate::key::{Key, Prefix};
use crate::page::{Cursor, Page, Purged};
use crate::record::{Condition, Record, Revision, Stored};

/// [`Driver`](crate::Driver) as plain functions, with the same contract for each.
///
/// # For driver authors
/// Implement this where the engine blocks, and wrap it in [`Blocking`], which runs every call on tokio's blocking
/// pool (about 30 us a call). Where an operation takes microseconds, implement `Driver` and run it in place.
pub trait BlockingDriver: Send + Sync + 'static {
    /// See [`Driver::retrieve`](crate::Driver::retrieve).
    ///
    /// # Errors
    /// The same.
    fn retrieve(&self, key: &Key) -> Result<Option<Record>>;

    /// See [`Driver::store`](crate::Driver::store).
    ///
    /// # Errors
    /// The same.
    fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Stored>;

    /// See [`Driver::remove`](crate::Driver::remove).
    ///
    /// # Errors
    /// The same.
    fn remove(&self, key: &Key, when: Condition) -> Result<Stored>;

    /// See [`Driver::traverse`](crate::Driver::traverse).
    ///
    /// # Errors
    /// The same.
    fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page>;

    /// See [`Driver::touch`](crate::Driver::touch).
    ///
    /// # Errors
    /// The same.
    fn touch(&self, key: &Key, from: Revision, to: Revision, deadline: Option<Timestamp>) -> Result<bool> {
        match self.retrieve(key).map_err(|error| error.during(Operation::Touch))? {
            Some(record) if record.revision == to => Ok(true),
            Some(record) if record.revision == from => {
                let touched = Record { expires: deadline, revision: to, ..record };
                let answer = self.store(key, touched, Condition::Revision(from));
                Ok(answer.map_err(|error| error.during(Operation::Touch))?.is_yes())
            }
            _ => Ok(false),
        }
    }

    /// See [`Driver::purge`](crate::Driver::purge).
    ///
    /// # Errors
    /// The same.
    fn purge(&self, limit: usize) -> Result<Purged> {
        let _ = limit;
        Err(Error::unsupported(Operation::Purge))
    }

    /// See [`Driver::flush`](crate::Driver::flush).
    ///
    /// # Errors
    /// The same.
    fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// See [`Driver::close`](crate::Driver::close).
    ///
    /// # Errors
    /// The same.
    fn close(&self) -> Result<()> {
        self.flush()
    }

    /// See [`Driver::capabilities`](crate::Driver::capabilities).
    fn capabilities(&self) -> Capabilities;

    /// See [`Driver::clock`](crate::Driver::clock).
    fn clock(&self) -> Arc<dyn Clock> {
        SystemClock::shared()
    }
}

/// A [`BlockingDriver`] as a [`Driver`](crate::Driver), on tokio's blocking pool.
///
/// Must be used within a tokio runtime. A call whose future is dropped goes on to its end in the pool.
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub struct Blocking<B>(Arc<B>);

#[cfg(feature = "tokio")]
mod on_tokio {
    use super::*;
    use crate::driver::Driver;
    use crate::error::ErrorKind;

    impl<B> Clone for Blocking<B> {
        fn clone(&self) -> Self {
            Self(Arc::clone(&self.0))
        }
    }

    impl<B: BlockingDriver> Blocking<B> {
        /// Runs the calls of `driver` on the blocking pool.
        pub fn new(driver: B) -> Self {
            Self(Arc::new(driver))
        }

        /// The driver itself.
        #[must_use]
        pub fn get_ref(&self) -> &B {
            &self.0
        }

        async fn run<T, F>(&self, operation: Operation, call: F) -> Result<T>
        where
            T: Send + 'static,
            F: FnOnce(&B) -> Result<T> + Send + 'static,
        {
            let driver = Arc::clone(&self.0);
            match tokio::task::spawn_blocking(move || call(&driver)).await {
                Ok(answer) => answer,
                // The pool is shutting down, or the driver panicked: nobody knows how far it came.
                Err(cause) => {
                    Err(Error::new(ErrorKind::Backend, operation).applied_unknown().with_source(cause))
                }
            }
        }
    }

    impl<B: BlockingDriver> Driver for Blocking<B> {
        async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
            let key = key.clone();
            self.run(Operation::Retrieve, move |driver| driver.retrieve(&key)).await
        }
        async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Stored> {
            let key = key.clone();
            self.run(Operation::Store, move |driver| driver.store(&key, record, when)).await
        }
        async fn remove(&self, key: &Key, when: Condition) -> Result<Stored> {
            let key = key.clone();
            self.run(Operation::Remove, move |driver| driver.remove(&key, when)).await
        }
        async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
            let prefix = prefix.clone();
            self.run(Operation::Traverse, move |driver| driver.traverse(&prefix, from, limit)).await
        }
        async fn touch(
            &self,
            key: &Key,
            from: Revision,
            to: Revision,
            deadline: Option<Timestamp>,
        ) -> Result<bool> {
            let key = key.clone();
            self.run(Operation::Touch, move |driver| driver.touch(&key, from, to, deadline)).await
        }
        async fn purge(&self, limit: usize) -> Result<Purged> {
            self.run(Operation::Purge, move |driver| driver.purge(limit)).await
        }
        async fn flush(&self) -> Result<()> {
            self.run(Operation::Flush, |driver| driver.flush()).await
        }
        async fn close(&self) -> Result<()> {
            self.run(Operation::Close, |driver| driver.close()).await
        }
        fn capabilities(&self) -> Capabilities {
            self.0.capabilities()
        }
        fn clock(&self) -> Arc<dyn Clock> {
            self.0.clock()
        }
    }
}

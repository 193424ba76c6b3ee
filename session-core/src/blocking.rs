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
/// Must be used within a tokio runtime. A call whose future is dropped is not made if it has not begun; one that has
/// goes on to its end in the pool, and later calls of this handle and its clones on the same key wait for that, so that it
/// never comes after them.
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub struct Blocking<B>(Arc<on_tokio::Inner<B>>);

#[cfg(feature = "tokio")]
mod on_tokio {
    use std::collections::HashMap;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use tokio::sync::watch::{Receiver, channel};
    use tokio::task::AbortHandle;

    use super::*;
    use crate::driver::Driver;
    use crate::error::ErrorKind;

    #[derive(Debug)]
    pub(super) struct Inner<B> {
        driver: B,
        late: Late,
    }

    impl<B> Clone for Blocking<B> {
        fn clone(&self) -> Self {
            Self(Arc::clone(&self.0))
        }
    }

    impl<B: BlockingDriver> Blocking<B> {
        /// Runs the calls of `driver` on the blocking pool.
        pub fn new(driver: B) -> Self {
            Self(Arc::new(Inner { driver, late: Late::default() }))
        }

        /// The driver itself.
        #[must_use]
        pub fn get_ref(&self) -> &B {
            &self.0.driver
        }

        async fn run<T, F>(&self, operation: Operation, call: F) -> Result<T>
        where
            T: Send + 'static,
            F: FnOnce(&B) -> Result<T> + Send + 'static,
        {
            let inner = Arc::clone(&self.0);
            answer(operation, tokio::task::spawn_blocking(move || call(&inner.driver)).await)
        }

        /// The same, for a change of one record.
        async fn run_on<T, F>(&self, key: &Key, operation: Operation, call: F) -> Result<T>
        where
            T: Send + 'static,
            F: FnOnce(&B, &Key) -> Result<T> + Send + 'static,
        {
            self.0.late.ended(key).await;
            let (running, ended) = channel(());
            let (inner, own) = (Arc::clone(&self.0), key.clone());
            let task = tokio::task::spawn_blocking(move || {
                // Dropped when the call has returned, has panicked, or is never made.
                let _running = running;
                call(&inner.driver, &own)
            });
            let mut unanswered =
                Unanswered { late: &self.0.late, key, ended, abort: Some(task.abort_handle()) };
            let joined = task.await;
            unanswered.abort = None;
            answer(operation, joined)
        }
    }

    fn answer<T>(operation: Operation, joined: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
        // The pool is shutting down, or the driver panicked: nobody knows how far it came.
        let unknown = |cause| Error::new(ErrorKind::Backend, operation).applied_unknown().with_source(cause);
        joined.unwrap_or_else(|cause| Err(unknown(cause)))
    }

    /// Calls whose futures were dropped and that still run, by key: each receiver ends with its call.
    #[derive(Debug, Default)]
    struct Late(Mutex<HashMap<Key, Vec<Receiver<()>>>>);

    impl Late {
        fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Receiver<()>>>> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Waits until no such call on `key` is left of those that there are now.
        async fn ended(&self, key: &Key) {
            let calls = self.lock().get(key).cloned();
            for mut call in calls.into_iter().flatten() {
                // Nothing is ever sent: this is the end of the sender.
                let _ = call.changed().await;
            }
        }

        fn add(&self, key: &Key, ended: Receiver<()>) {
            let mut calls = self.lock();
            // What has ended goes here, so that there are never more than have run at the same time.
            calls.retain(|_, calls| {
                calls.retain(|call| call.has_changed().is_ok());
                !calls.is_empty()
            });
            calls.entry(key.clone()).or_default().push(ended);
        }
    }

    /// A call that is under way. If it is dropped before its answer has come, the call is late.
    struct Unanswered<'a> {
        late: &'a Late,
        key: &'a Key,
        ended: Receiver<()>,
        abort: Option<AbortHandle>,
    }

    impl Drop for Unanswered<'_> {
        fn drop(&mut self) {
            if let Some(abort) = &self.abort {
                abort.abort();
                self.late.add(self.key, self.ended.clone());
            }
        }
    }

    impl<B: BlockingDriver> Driver for Blocking<B> {
        async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
            self.0.late.ended(key).await;
            let key = key.clone();
            self.run(Operation::Retrieve, move |driver| driver.retrieve(&key)).await
        }
        async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Stored> {
            self.run_on(key, Operation::Store, move |driver, key| driver.store(key, record, when)).await
        }
        async fn remove(&self, key: &Key, when: Condition) -> Result<Stored> {
            self.run_on(key, Operation::Remove, move |driver, key| driver.remove(key, when)).await
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
            let touch = move |driver: &B, key: &Key| driver.touch(key, from, to, deadline);
            self.run_on(key, Operation::Touch, touch).await
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
            self.0.driver.capabilities()
        }
        fn clock(&self) -> Arc<dyn Clock> {
            self.0.driver.clock()
        }
    }
}

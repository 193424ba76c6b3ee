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
/// Must be used within a tokio runtime. A call whose future is dropped is not made if it has not begun. One that has
/// begun goes on to its end in the pool. Of changes that do so, later calls of this handle and its clones on the same key
/// wait for the end, so that none of them takes effect after a later one; and `close` waits for all that there are.
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub struct Blocking<B>(Arc<on_tokio::Inner<B>>);

#[cfg(feature = "tokio")]
mod on_tokio {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use tokio::sync::watch::{Receiver, Sender, channel};

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

        /// Makes a call that changes nothing.
        async fn read<T, F>(&self, operation: Operation, call: F) -> Result<T>
        where
            T: Send + 'static,
            F: FnOnce(&B) -> Result<T> + Send + 'static,
        {
            let inner = Arc::clone(&self.0);
            let mut unanswered = Unanswered::new(None);
            let begun = Arc::clone(&unanswered.begun);
            let task = tokio::task::spawn_blocking(move || {
                (!begun.swap(true, Ordering::AcqRel)).then(|| call(&inner.driver))
            });
            let joined = task.await;
            unanswered.answered = true;
            answer(operation, joined)
        }

        /// Makes a call that changes the record of `key`, or of nobody knows which keys.
        async fn change<T, F>(&self, operation: Operation, key: Option<&Key>, call: F) -> Result<T>
        where
            T: Send + 'static,
            F: FnOnce(&B) -> Result<T> + Send + 'static,
        {
            let key = key.cloned();
            if key.is_some() {
                self.0.late.ended(&key).await;
            }
            let inner = Arc::clone(&self.0);
            let (sender, ended) = channel(());
            let running = Running { inner: Arc::clone(&self.0), key: key.clone(), sender: Some(sender) };
            let mut unanswered = Unanswered::new(Some((&self.0.late, key, ended)));
            let begun = Arc::clone(&unanswered.begun);
            let task = tokio::task::spawn_blocking(move || {
                // Dropped when the call has returned, has panicked, or is never made.
                let _running = running;
                (!begun.swap(true, Ordering::AcqRel)).then(|| call(&inner.driver))
            });
            let joined = task.await;
            unanswered.answered = true;
            answer(operation, joined)
        }
    }

    type Joined<T> = Result<Option<Result<T>>, tokio::task::JoinError>;

    fn answer<T>(operation: Operation, joined: Joined<T>) -> Result<T> {
        // The pool is shutting down, or the driver panicked: nobody knows how far it came.
        let unknown = || Error::new(ErrorKind::Backend, operation).applied_unknown();
        match joined {
            Ok(Some(answer)) => answer,
            // Only a call of which nobody waits for the answer is not made.
            Ok(None) => Err(unknown()),
            Err(cause) => Err(unknown().with_source(cause)),
        }
    }

    /// Changes whose futures were dropped and that still run, by key, those without a key among them: each receiver
    /// ends with its call. There are never more of them than the pool has threads.
    #[derive(Debug, Default)]
    struct Late(Mutex<Calls>);

    type Calls = HashMap<Option<Key>, Vec<Receiver<()>>>;

    impl Late {
        fn lock(&self) -> MutexGuard<'_, Calls> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        /// Waits until no such call on `key` is left of those that there are now.
        async fn ended(&self, key: &Option<Key>) {
            let calls = self.lock().get(key).cloned();
            ends(calls.unwrap_or_default()).await;
        }

        /// The same for those on all keys.
        async fn all_ended(&self) {
            let calls = self.lock().values().flatten().cloned().collect();
            ends(calls).await;
        }

        fn add(&self, key: Option<Key>, ended: Receiver<()>) {
            let mut calls = self.lock();
            // One that ends from now on looks for its entry, for which it needs the lock.
            if ended.has_changed().is_ok() {
                calls.entry(key).or_default().push(ended);
            }
        }

        /// Drops what has ended on `key`.
        fn tidy(&self, key: &Option<Key>) {
            let mut calls = self.lock();
            let Some(of_key) = calls.get_mut(key) else { return };
            of_key.retain(|call| call.has_changed().is_ok());
            if of_key.is_empty() {
                calls.remove(key);
            }
        }
    }

    async fn ends(calls: Vec<Receiver<()>>) {
        for mut call in calls {
            // Nothing is ever sent: this is the end of the sender.
            let _ = call.changed().await;
        }
    }

    /// A change on its way through the pool. Its end is the end of the sender, and of its entry among the late ones.
    struct Running<B> {
        inner: Arc<Inner<B>>,
        key: Option<Key>,
        sender: Option<Sender<()>>,
    }

    impl<B> Drop for Running<B> {
        fn drop(&mut self) {
            // The sender first: whoever adds the call after this sees that it has ended.
            self.sender = None;
            self.inner.late.tidy(&self.key);
        }
    }

    /// A call that is under way. If it is dropped before its answer has come, it is not made, or, where it has begun and
    /// is a change, it is late.
    struct Unanswered<'a> {
        /// Whoever sets it first, the pool or the drop, decides whether the call is made.
        begun: Arc<AtomicBool>,
        change: Option<(&'a Late, Option<Key>, Receiver<()>)>,
        answered: bool,
    }

    impl<'a> Unanswered<'a> {
        fn new(change: Option<(&'a Late, Option<Key>, Receiver<()>)>) -> Self {
            Self { begun: Arc::default(), change, answered: false }
        }
    }

    impl Drop for Unanswered<'_> {
        fn drop(&mut self) {
            if !self.answered
                && self.begun.swap(true, Ordering::AcqRel)
                && let Some((late, key, ended)) = self.change.take()
            {
                late.add(key, ended);
            }
        }
    }

    impl<B: BlockingDriver> Driver for Blocking<B> {
        async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
            let own = key.clone();
            self.0.late.ended(&Some(own.clone())).await;
            self.read(Operation::Retrieve, move |driver| driver.retrieve(&own)).await
        }
        async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Stored> {
            let own = key.clone();
            self.change(Operation::Store, Some(key), move |driver| driver.store(&own, record, when)).await
        }
        async fn remove(&self, key: &Key, when: Condition) -> Result<Stored> {
            let own = key.clone();
            self.change(Operation::Remove, Some(key), move |driver| driver.remove(&own, when)).await
        }
        async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
            let prefix = prefix.clone();
            self.read(Operation::Traverse, move |driver| driver.traverse(&prefix, from, limit)).await
        }
        async fn touch(
            &self,
            key: &Key,
            from: Revision,
            to: Revision,
            deadline: Option<Timestamp>,
        ) -> Result<bool> {
            let own = key.clone();
            let touch = move |driver: &B| driver.touch(&own, from, to, deadline);
            self.change(Operation::Touch, Some(key), touch).await
        }
        async fn purge(&self, limit: usize) -> Result<Purged> {
            self.change(Operation::Purge, None, move |driver| driver.purge(limit)).await
        }
        async fn flush(&self) -> Result<()> {
            self.read(Operation::Flush, |driver| driver.flush()).await
        }
        async fn close(&self) -> Result<()> {
            self.0.late.all_ended().await;
            self.read(Operation::Close, |driver| driver.close()).await
        }
        fn capabilities(&self) -> Capabilities {
            self.0.driver.capabilities()
        }
        fn clock(&self) -> Arc<dyn Clock> {
            self.0.driver.clock()
        }
    }
}

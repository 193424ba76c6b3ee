//! Models of plain blocking functions.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use session_core::{
    Applied, BlockingDriver, Capabilities, Change, Clock, Condition, Cursor, Driver, Entry, Key, Operation,
    Page, Prefix, Purged, Record, Result, StoreError, StoreErrorKind, Timestamp, Touch,
};

use crate::config::DelegateConfig;
use crate::delegate::Delegate;
use crate::mapping::Location;
use crate::model::{Flushed, Model};
use crate::store::DelegateStore;

/// [`Model`] as plain functions, with the same contract for each.
///
/// # For authors of models
/// Implement this if your objects come from rusqlite, Diesel, a map or files. [`DelegateStore::in_place`] opens a store
/// whose calls take microseconds, and `DelegateStore::pooled` one whose calls may wait.
pub trait BlockingModel: Send + Sync + 'static {
    /// See [`Model::Delegate`].
    type Delegate: Delegate<Error = Self::Error>;
    /// See [`Model::Error`].
    type Error: StdError + Send + Sync + 'static;

    /// See [`Model::delegate`].
    ///
    /// # Errors
    /// The same.
    fn delegate(&self, location: &Location) -> Result<Self::Delegate, Self::Error>;

    /// See [`Model::flush`].
    ///
    /// # Errors
    /// The same.
    fn flush(
        &self,
        location: &Location,
        delegate: Self::Delegate,
        expected: Condition,
    ) -> Result<Flushed, Self::Error>;

    /// See [`Model::capabilities`].
    fn capabilities(&self) -> Capabilities;

    /// See [`Model::classify`].
    fn classify(&self, error: &Self::Error) -> (StoreErrorKind, Applied) {
        let _ = error;
        (StoreErrorKind::Backend, Applied::Unknown)
    }

    /// See [`Model::list`].
    ///
    /// # Errors
    /// The same.
    fn list(
        &self,
        prefix: &Prefix,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Option<Vec<Entry>>, Self::Error> {
        let _ = (prefix, after, limit);
        Ok(None)
    }

    /// See [`Model::expired`].
    ///
    /// # Errors
    /// The same.
    fn expired(
        &self,
        now: Timestamp,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Option<Vec<Key>>, Self::Error> {
        let _ = (now, after, limit);
        Ok(None)
    }

    /// See [`Model::sync`].
    ///
    /// # Errors
    /// The same.
    fn sync(&self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// A [`BlockingModel`] as a [`Model`]. Each call runs on the thread that polls, and the future is never pending.
#[derive(Clone, Debug)]
pub struct InPlace<M>(M);

impl<M> InPlace<M> {
    /// The blocking model.
    #[must_use]
    pub fn get_ref(&self) -> &M {
        &self.0
    }
}

impl<M: BlockingModel> Model for InPlace<M> {
    type Delegate = M::Delegate;
    type Error = M::Error;

    async fn delegate(&self, location: &Location) -> Result<M::Delegate, M::Error> {
        self.0.delegate(location)
    }
    async fn flush(
        &self,
        location: &Location,
        delegate: M::Delegate,
        expected: Condition,
    ) -> Result<Flushed, M::Error> {
        self.0.flush(location, delegate, expected)
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn classify(&self, error: &M::Error) -> (StoreErrorKind, Applied) {
        self.0.classify(error)
    }
    async fn list(
        &self,
        prefix: &Prefix,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Option<Vec<Entry>>, M::Error> {
        self.0.list(prefix, after, limit)
    }
    async fn expired(
        &self,
        now: Timestamp,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Option<Vec<Key>>, M::Error> {
        self.0.expired(now, after, limit)
    }
    async fn sync(&self) -> Result<(), M::Error> {
        self.0.sync()
    }
}

impl<M: BlockingModel> DelegateStore<InPlace<M>> {
    /// A store in the objects of a blocking model whose calls run on the caller's thread. Only for models that answer
    /// within microseconds, such as a map in memory, or on a thread that serves no other task.
    #[must_use]
    pub fn in_place(config: DelegateConfig<M>) -> Self {
        Self::open(config.with_model(InPlace))
    }

    /// A store in the objects of a blocking model that may wait for a disk, a lock or a network. Each operation runs on
    /// a worker thread; see [`Blocking`](session_core::Blocking) for dropped futures.
    #[cfg(feature = "offload")]
    #[must_use]
    pub fn pooled(config: DelegateConfig<M>) -> session_core::Blocking<Self> {
        session_core::Blocking::new(Self::in_place(config))
    }
}

/// The operations of [`Driver`] as plain functions. Applications without a runtime use it. One poll finishes each
/// operation, because [`InPlace`] never waits.
impl<M: BlockingModel> BlockingDriver for DelegateStore<InPlace<M>> {
    fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        at_once(Operation::Retrieve, Driver::retrieve(self, key))
    }
    fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        at_once(Operation::Store, Driver::store(self, key, record, condition))
    }
    fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        at_once(Operation::Remove, Driver::remove(self, key, condition))
    }
    fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        at_once(Operation::Traverse, Driver::traverse(self, prefix, from, limit))
    }
    fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        at_once(Operation::Touch, Driver::touch(self, key, touch))
    }
    fn purge(&self, limit: usize) -> Result<Purged> {
        at_once(Operation::Purge, Driver::purge(self, limit))
    }
    fn flush(&self) -> Result<()> {
        at_once(Operation::Flush, Driver::flush(self))
    }
    fn close(&self) -> Result<()> {
        at_once(Operation::Close, Driver::close(self))
    }
    fn capabilities(&self) -> Capabilities {
        Driver::capabilities(self)
    }
    fn clock(&self) -> Arc<dyn Clock> {
        Driver::clock(self)
    }
}

fn at_once<T>(operation: Operation, future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => Err(StoreError::new(StoreErrorKind::Backend, operation).applied_unknown()),
    }
}

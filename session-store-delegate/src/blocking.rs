//! Models that only know plain functions, which is what most of them are.

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
use crate::mapping::Place;
use crate::model::{Flushed, Model};
use crate::store::DelegateStore;

/// [`Model`] as plain functions, with the same contract for each.
///
/// # For authors of models
/// Implement this where the objects come from rusqlite, Diesel, a map or files. A store in them is made by
/// [`DelegateStore::in_place`], where a call takes microseconds, or by `DelegateStore::pooled`, where it may wait.
pub trait BlockingModel: Send + Sync + 'static {
    /// See [`Model::Delegate`].
    type Delegate: Delegate<Error = Self::Error>;
    /// See [`Model::Error`].
    type Error: StdError + Send + Sync + 'static;

    /// See [`Model::delegate`].
    ///
    /// # Errors
    /// The same.
    fn delegate(&self, place: &Place) -> Result<Self::Delegate, Self::Error>;

    /// See [`Model::flush`].
    ///
    /// # Errors
    /// The same.
    fn flush(
        &self,
        place: &Place,
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

/// A [`BlockingModel`] as a [`Model`] that never waits: each call is made at once, by the thread that polls.
#[derive(Clone, Debug)]
pub struct InPlace<M>(M);

impl<M> InPlace<M> {
    /// The model itself.
    #[must_use]
    pub fn get_ref(&self) -> &M {
        &self.0
    }
}

impl<M: BlockingModel> Model for InPlace<M> {
    type Delegate = M::Delegate;
    type Error = M::Error;

    async fn delegate(&self, place: &Place) -> Result<M::Delegate, M::Error> {
        self.0.delegate(place)
    }
    async fn flush(
        &self,
        place: &Place,
        delegate: M::Delegate,
        expected: Condition,
    ) -> Result<Flushed, M::Error> {
        self.0.flush(place, delegate, expected)
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
    /// A store in the objects of a model that blocks. Its calls are made on the caller's thread: only for models that
    /// answer within microseconds, in memory for instance, or where no other task waits for that thread.
    #[must_use]
    pub fn in_place(config: DelegateConfig<M>) -> Self {
        Self::new(config.with_model(InPlace))
    }

    /// A store in the objects of a model that may wait, for a disk, a lock or a network: each operation is made whole
    /// on tokio's blocking pool. If its future is dropped, it is not made if it has not begun, and otherwise goes on to its
    /// end there.
    #[cfg(feature = "offload")]
    #[must_use]
    pub fn pooled(config: DelegateConfig<M>) -> session_core::Blocking<Plain<M>> {
        session_core::Blocking::new(Plain::new(config))
    }
}

/// A store in the objects of a model that blocks, as plain functions, for whoever has no runtime or a pool of their own.
///
/// Each operation is that of [`DelegateStore`], made to its end by one poll, so that the logic stands once.
#[derive(Debug)]
pub struct Plain<M>(DelegateStore<InPlace<M>>);

impl<M: BlockingModel> Plain<M> {
    /// A store in the objects of `config`'s model.
    #[must_use]
    pub fn new(config: DelegateConfig<M>) -> Self {
        Self(DelegateStore::in_place(config))
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &M {
        self.0.model().get_ref()
    }
}

impl<M> Clone for Plain<M> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: BlockingModel> BlockingDriver for Plain<M> {
    fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        at_once(Operation::Retrieve, self.0.retrieve(key))
    }
    fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        at_once(Operation::Store, self.0.store(key, record, when))
    }
    fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        at_once(Operation::Remove, self.0.remove(key, when))
    }
    fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        at_once(Operation::Traverse, self.0.traverse(prefix, from, limit))
    }
    fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Touch { from, to, deadline } = touch;
        at_once(Operation::Touch, self.0.touch(key, Touch { from, to, deadline }))
    }
    fn purge(&self, limit: usize) -> Result<Purged> {
        at_once(Operation::Purge, self.0.purge(limit))
    }
    fn flush(&self) -> Result<()> {
        at_once(Operation::Flush, self.0.flush())
    }
    fn close(&self) -> Result<()> {
        at_once(Operation::Close, self.0.close())
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock()
    }
}

/// Polls a future that never waits.
fn at_once<T>(operation: Operation, future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        // The driver awaits its model and nothing else, and no future of `InPlace` is ever pending.
        Poll::Pending => Err(StoreError::new(StoreErrorKind::Backend, operation).applied_unknown()),
    }
}

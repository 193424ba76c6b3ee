//! The handle and its `Driver`.

use std::fmt;
use std::sync::Arc;

use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Driver, Gate, Key, Operation, Page,
    Prefix, Purged, Record, Result, StoreError, Touch, check_record_bytes, yield_now,
};

use crate::config::DelegateConfig;
use crate::model::Model;
use crate::unit::Inner;
use crate::{change, purge, read, traverse};

/// A session store in the objects of a [`Model`]. Clones share one store.
///
/// It has no lock and no state besides the model, so a call that panics or is dropped blocks no other call.
pub struct DelegateStore<M>(Arc<Inner<M>>);

impl<M: Model> DelegateStore<M> {
    /// A store in the objects of a model that is asynchronous or answers within microseconds.
    #[must_use]
    pub fn open(config: DelegateConfig<M>) -> Self {
        Self(Arc::new(Inner { config, gate: Gate::new() }))
    }

    /// A store in the objects of a model whose functions may block: on a disk, a lock or a network. Each operation runs
    /// on a worker thread; see [`Blocking`](session_core::Blocking) for dropped futures.
    #[cfg(feature = "offload")]
    #[must_use]
    pub fn pooled(config: DelegateConfig<M>) -> session_core::Blocking<Self> {
        session_core::Blocking::new(Self::open(config))
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.0.config.model
    }

    async fn change(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        let operation = request.operation();
        let store = self.0.check(operation)?;
        let Capabilities { conditional, max_record_bytes, .. } = store.config.model.capabilities();
        check_record_bytes(request.data_len(), max_record_bytes)?;
        let unconditional = matches!(
            request,
            ChangeRequest::Store { condition: Condition::Any, .. }
                | ChangeRequest::Remove { condition: Condition::Any }
        );
        if !conditional && !unconditional {
            return Err(StoreError::unsupported(operation));
        }
        let step = |delegate: &mut M::Delegate, fields: &_, now| {
            change::change(delegate, fields, now, conditional, &request)
        };
        store.work(key, operation, step).await
    }
}

impl<M: Model> Driver for DelegateStore<M> {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let look = |delegate: &M::Delegate, fields: &_, now| read::retrieve(delegate, fields, now);
        self.0.check(Operation::Retrieve)?.look(key, Operation::Retrieve, look).await
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.change(key, ChangeRequest::Store { record, condition }).await
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.change(key, ChangeRequest::Remove { condition }).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        Ok(self.change(key, ChangeRequest::Touch(touch)).await?.is_applied())
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let store = self.0.check(Operation::Traverse)?;
        let page = traverse::page(store, prefix, from.key(prefix)?.as_ref(), limit).await?;
        if page.next.is_some() {
            yield_now().await;
        }
        Ok(page)
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        let store = self.0.check(Operation::Purge)?;
        if !store.config.model.capabilities().conditional {
            return Err(StoreError::unsupported(Operation::Purge));
        }
        purge::purge(store, limit).await
    }

    async fn flush(&self) -> Result<()> {
        self.0.check(Operation::Flush)?.sync(Operation::Flush).await
    }

    async fn close(&self) -> Result<()> {
        self.0.gate.close();
        self.0.sync(Operation::Close).await
    }

    fn capabilities(&self) -> Capabilities {
        self.0.config.model.capabilities().at_once(false)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.config.clock)
    }
}

impl<M> Clone for DelegateStore<M> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<M> fmt::Debug for DelegateStore<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closed = self.0.gate.is_closed();
        f.debug_struct("DelegateStore").field("closed", &closed).finish_non_exhaustive()
    }
}

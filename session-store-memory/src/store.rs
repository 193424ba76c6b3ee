//! The handle, and the driver's methods.

use std::sync::Arc;

use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Driver, Gate, Key, OnFull, Operation,
    Page, Prefix, Purged, Record, Result, Touch, yield_now,
};

use crate::bounds::Usage;
use crate::table::Table;

/// A session store in the memory of this process. Clones are handles on the same store.
#[derive(Clone, Debug)]
pub struct MemoryStore(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) table: Table,
    pub(crate) usage: Usage,
    pub(crate) on_full: OnFull,
    pub(crate) max_record_bytes: Option<u64>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) gate: Gate,
    pub(crate) capabilities: Capabilities,
}

impl Driver for MemoryStore {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.0.gate.check(Operation::Retrieve)?;
        Ok(self.0.retrieve(key))
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.0.gate.check(Operation::Store)?;
        self.0.change(key, ChangeRequest::Store { record, condition })
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.0.gate.check(Operation::Remove)?;
        self.0.change(key, ChangeRequest::Remove { condition })
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.gate.check(Operation::Traverse)?;
        let page = self.0.page(prefix, &from, limit)?;
        if page.next.is_some() {
            yield_now().await;
        }
        Ok(page)
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.0.gate.check(Operation::Touch)?;
        Ok(self.0.change(key, ChangeRequest::Touch(touch))?.is_applied())
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.0.purge(limit).await
    }

    async fn flush(&self) -> Result<()> {
        self.0.gate.check(Operation::Flush)
    }

    async fn close(&self) -> Result<()> {
        self.0.gate.close();
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities.clone()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.clock)
    }
}

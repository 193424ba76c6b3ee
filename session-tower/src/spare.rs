//! The session of a request whose own could not be loaded, where the policy is to go on without.

use std::sync::Arc;

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, Key, Operation, Page, Prefix, Record, Result,
    StoreError, StoreErrorKind,
};
use session_manager::{RequestInfo, Sessions};

use crate::engine::Commit;

/// Makes sessions that are empty and usable but can never be stored.
///
/// They are real sessions over a store that is always down, so that what depends on being stored fails by the same
/// code as ever: an explicit commit is an error, and so is a privilege rotation at the end of the request. An empty
/// session over the real store would rather be worse than none: as soon as the store is back, its first write would
/// replace the client's good cookie by that of an empty session.
#[derive(Clone)]
pub(crate) struct Spare(Option<Sessions<Down>>);

impl Spare {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        // Default options over a conditional driver are never refused; without it, requests are refused instead.
        Self(Sessions::new(Down(clock)).ok())
    }

    pub(crate) fn begin(&self) -> Option<session_manager::Session> {
        self.0.as_ref().map(|sessions| sessions.lazy(RequestInfo::default()))
    }

    pub(crate) fn finish(&self, session: session_manager::Session) -> Option<Commit> {
        let sessions = self.0.clone()?;
        Some(Box::pin(async move { sessions.finish(&session).await }))
    }
}

struct Down(Arc<dyn Clock>);

fn down<T>(operation: Operation) -> Result<T> {
    Err(StoreError::new(StoreErrorKind::Unavailable, operation).with_detail("this session is not kept"))
}

impl Driver for Down {
    async fn retrieve(&self, _: &Key) -> Result<Option<Record>> {
        down(Operation::Retrieve)
    }
    async fn store(&self, _: &Key, _: Record, _: Condition) -> Result<Change> {
        down(Operation::Store)
    }
    async fn remove(&self, _: &Key, _: Condition) -> Result<Change> {
        down(Operation::Remove)
    }
    async fn traverse(&self, _: &Prefix, _: Cursor, _: usize) -> Result<Page> {
        down(Operation::Traverse)
    }
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.conditional = true;
        capabilities
    }
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0)
    }
}

//! The system that is replaced, whose live sessions become sessions of ours.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::backend::{Boxed, Loading};
use crate::error::Error;
use crate::request::OldId;
use crate::session::Session;
use crate::work::Work;

/// The live sessions of a system that the application replaces.
///
/// # For applications
/// Pass one to [`SessionsBuilder::handover`](crate::SessionsBuilder::handover).
///
/// # For authors of sources
/// A source MUST NOT execute or instantiate what it reads, and SHOULD bound the time and the bytes of each call: a request
/// waits for it. It SHOULD respect the locks of the old system.
pub trait HandoverSource: Send + Sync + 'static {
    /// The content of an old session.
    type Old: Send + 'static;

    /// The id of the old session that these headers present, or `None`. Called for each request, so it does no I/O.
    fn find(&self, headers: &HeaderMap) -> Option<OldId>;

    /// The live session under `id`. Called only if the request has no live session of ours, or for each request if the old
    /// system [owns the logins](crate::SessionsBuilder::old_owns).
    ///
    /// # Errors
    /// `Corrupt` if the session does not decode or its signature is wrong: the request has no session then, and an event
    /// reports it. All other errors are failures of a store, and the request's policy for them applies.
    fn read(&self, id: &OldId) -> impl Future<Output = session_core::Result<Option<Self::Old>>> + Send;

    /// Ends the session under `id` in the old system. An absent session is no error.
    ///
    /// # Errors
    /// Failures of the old system's store.
    fn end(&self, id: &OldId) -> impl Future<Output = session_core::Result<()>> + Send;
}

/// When the old session ends that a request took over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndOld {
    /// The old system alone ends it.
    Never,
    /// At once. If that fails, an event says so, and the logout tries again.
    Now,
    /// When [`Session::destroy`] is called by a request that presents it: a logout here is a logout there.
    #[default]
    AtLogout,
}

/// What happens to a request if the old system's store fails while it [owns the logins](crate::SessionsBuilder::old_owns).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnOldFailure {
    /// The load fails, and the request's policy for store failures applies.
    #[default]
    Fail,
    /// The session of ours stays as it is. A logout over there has no effect here until the store answers again.
    Keep,
}

/// The result of [`Sessions::prepare`](crate::Sessions::prepare).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prepared {
    /// The session is stored for its client.
    Stored,
    /// It was prepared, taken over or closed before. Nothing changed.
    Known,
    /// The mapping refused it or wrote nothing.
    Refused,
    /// Its end has passed.
    Expired,
}

/// The options of a handover.
#[derive(Clone)]
pub(crate) struct Takeover {
    pub(crate) old: Arc<dyn OldSystem>,
    pub(crate) end: EndOld,
    /// How long an old id that was taken over is refused.
    pub(crate) memory: Duration,
    /// Whether the session of ours keeps the old id for its logout.
    pub(crate) keep_id: bool,
    /// The old system owns the logins; and what happens if it cannot be read.
    pub(crate) owns: Option<OnOldFailure>,
}

/// A source and the application's mapping, without their types.
pub(crate) trait OldSystem: Send + Sync {
    fn find(&self, headers: &HeaderMap) -> Option<OldId>;
    /// Writes the old session into `session`. Returns whether there is one that the application accepts.
    fn map<'a>(&'a self, id: &'a OldId, session: &'a Session) -> Boxed<'a, bool>;
    fn end<'a>(&'a self, id: &'a OldId) -> Boxed<'a, ()>;
}

/// A source with the application's mapping.
pub(crate) struct Mapped<S, M> {
    pub(crate) source: S,
    pub(crate) map: M,
}

impl<S, M> OldSystem for Mapped<S, M>
where
    S: HandoverSource,
    M: Fn(S::Old, &Session) -> Result<bool, Error> + Send + Sync,
{
    fn find(&self, headers: &HeaderMap) -> Option<OldId> {
        self.source.find(headers)
    }

    fn map<'a>(&'a self, id: &'a OldId, session: &'a Session) -> Boxed<'a, bool> {
        Box::pin(async move {
            match self.source.read(id).await? {
                Some(old) => (self.map)(old, session),
                None => Ok(false),
            }
        })
    }

    fn end<'a>(&'a self, id: &'a OldId) -> Boxed<'a, ()> {
        Box::pin(async move { Ok(self.source.end(id).await?) })
    }
}

impl Session {
    /// Reads the session of the request. If there is none, or if the old system owns the logins, that is asked.
    pub(crate) fn first_load(&self) -> Loading<'_, Box<Work>> {
        let loading = self.backend().load(self.request());
        if self.request().old_id().is_none() {
            return loading;
        }
        Loading::Pending(Box::pin(async move { self.take_over(loading.done().await?).await }))
    }

    async fn take_over(&self, work: Box<Work>) -> Result<Box<Work>, Error> {
        if work.loaded().is_some() && !self.backend().old_owns() {
            return Ok(work);
        }
        self.backend().take_over(Arc::clone(self.backend()), self.request(), work).await
    }
}

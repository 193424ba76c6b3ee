//! A layer's `Sessions` and `State`, without their types.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::header::USER_AGENT;
use http::{Extensions, HeaderMap, Method, Uri};
use session_core::{Candidates, Driver, State};
use session_manager::{
    Closed, Committed, Error, IdUpdate, OnHandlerError, OnNotStored, OnStoreError, RequestInfo, Session,
    Sessions,
};

use crate::clear::ClearSiteData;
use crate::client::ClientAddress;
use crate::headers;
use crate::mistakes::Mistakes;

pub(crate) type Commit = Pin<Box<dyn Future<Output = Result<Committed, Error>> + Send>>;

/// Begins the requests of a layer.
pub(crate) trait Source: Send + Sync {
    /// The session of a request, not loaded, and the engine that completes the request. No I/O.
    fn begin(self: Arc<Self>, request: Head<'_>) -> (Begun, Arc<dyn Engine>);

    fn mistakes(&self) -> &Mistakes;
}

/// Completes a request, or all requests of a layer.
pub(crate) trait Engine: Send + Sync {
    /// Closes an unchanged session.
    fn try_finish(&self, session: &Session) -> Option<Closed>;

    /// The commit that the response waits for.
    fn finish(self: Arc<Self>, session: Session) -> Commit;

    /// Adds to the response what the client must know: a new id, a new deadline, or that its id is void.
    ///
    /// # Errors
    /// The state could not write a new id into these headers, so the client would lose its session.
    fn write(&self, update: IdUpdate, headers: &mut HeaderMap) -> session_core::Result<()>;

    /// Says that this response depends on the client's id.
    fn vary(&self, headers: &mut HeaderMap);

    fn mistakes(&self) -> &Mistakes;
}

/// The head of a request.
pub(crate) struct Head<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) extensions: &'a Extensions,
}

/// A request that has begun.
pub(crate) struct Begun {
    pub(crate) session: Session,
    /// Its response has no body, so the client sees no flash value.
    pub(crate) is_head: bool,
    /// Why the client may drop a new id, if that is worth a warning.
    pub(crate) objection: Option<&'static str>,
}

impl Begun {
    pub(crate) fn new<D: Driver>(
        sessions: &Sessions<D>,
        request: RequestInfo,
        head: &Head<'_>,
        mistakes: &Mistakes,
        objection: impl FnOnce() -> Option<&'static str>,
    ) -> Self {
        // A client that sends an id keeps its cookies.
        let watched = request.candidates.is_empty() && mistakes.watches_cookie();
        let objection = if watched { objection() } else { None };
        Self { session: sessions.lazy(request), is_head: *head.method == Method::HEAD, objection }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) on_store_error: OnStoreError,
    pub(crate) on_handler_error: OnHandlerError,
    pub(crate) on_not_stored: OnNotStored,
    pub(crate) no_store: bool,
    pub(crate) clear: ClearSiteData,
    pub(crate) address: Option<ClientAddress>,
}

impl Options {
    pub(crate) const fn new() -> Self {
        Self {
            on_store_error: OnStoreError::Reject,
            on_handler_error: OnHandlerError::Discard,
            on_not_stored: OnNotStored::Continue,
            no_store: true,
            clear: ClearSiteData::new(),
            address: None,
        }
    }

    pub(crate) fn request<D: Driver>(
        &self,
        candidates: Candidates,
        sessions: &Sessions<D>,
        head: &Head<'_>,
    ) -> RequestInfo {
        let mut request = RequestInfo::new(candidates);
        request.address =
            self.address.as_ref().and_then(|address| address.find(head.headers, head.extensions));
        if sessions.checks_user_agent() {
            request.user_agent = head.headers.get(USER_AGENT).map(|agent| agent.as_bytes().to_vec().into());
        }
        request.on_store_error = self.on_store_error;
        request.on_handler_error = self.on_handler_error;
        request.on_not_stored = self.on_not_stored;
        request
    }
}

/// The parts of a layer.
pub(crate) struct Parts<D, S> {
    sessions: Sessions<D>,
    state: Arc<S>,
    pub(crate) options: Options,
    pub(crate) mistakes: Arc<Mistakes>,
}

impl<D, S> Clone for Parts<D, S> {
    fn clone(&self) -> Self {
        let Self { sessions, state, options, mistakes } = self;
        Self {
            sessions: sessions.clone(),
            state: Arc::clone(state),
            options: options.clone(),
            mistakes: Arc::clone(mistakes),
        }
    }
}

impl<D: Driver, S: State> Parts<D, S> {
    pub(crate) fn new(sessions: Sessions<D>, state: S) -> Self {
        Self {
            sessions,
            state: Arc::new(state),
            options: Options::new(),
            mistakes: Arc::new(Mistakes::new()),
        }
    }

    /// Whether the sessions check an address that the layer cannot find.
    pub(crate) fn misses_address(&self) -> bool {
        self.sessions.checks_address() && self.options.address.is_none()
    }
}

impl<D: Driver, S: State> Source for Parts<D, S> {
    fn begin(self: Arc<Self>, head: Head<'_>) -> (Begun, Arc<dyn Engine>) {
        let request = self.options.request(self.state.read(head.headers), &self.sessions, &head);
        let objection = || self.state.objection(head.uri, head.headers);
        (Begun::new(&self.sessions, request, &head, &self.mistakes, objection), self)
    }

    fn mistakes(&self) -> &Mistakes {
        &self.mistakes
    }
}

impl<D: Driver, S: State> Engine for Parts<D, S> {
    fn try_finish(&self, session: &Session) -> Option<Closed> {
        self.sessions.try_finish(session)
    }

    fn finish(self: Arc<Self>, session: Session) -> Commit {
        Box::pin(async move { self.sessions.finish(&session).await })
    }

    fn write(&self, update: IdUpdate, headers: &mut HeaderMap) -> session_core::Result<()> {
        let now = || self.sessions.now();
        let written = match update {
            IdUpdate::Set { id, deadline, persistence } => {
                self.state.write(&id, deadline, persistence, now(), headers)?;
                Ok(())
            }
            IdUpdate::Extend { id, deadline, persistence } if self.state.follows_deadline(persistence) => {
                self.state.write(&id, deadline, persistence, now(), headers)
            }
            IdUpdate::Clear => {
                self.options.clear.write(headers);
                self.state.erase(headers)
            }
            _ => return Ok(()),
        };
        match written {
            Ok(()) if self.options.no_store => headers::no_store(headers),
            Ok(()) => {}
            // Harmless: a cookie that is not extended ends before its session, and the id of an ended session opens
            // nothing.
            Err(error) => tracing::warn!(%error, "session cookie could not be updated"),
        }
        Ok(())
    }

    fn vary(&self, headers: &mut HeaderMap) {
        headers::vary(headers, self.state.varies_on());
    }

    fn mistakes(&self) -> &Mistakes {
        &self.mistakes
    }
}

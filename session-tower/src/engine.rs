//! A layer's `Sessions` and `State`, without their types.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::header::USER_AGENT;
use http::{Extensions, HeaderMap, Method, Uri};
use session_core::{Candidates, Driver, State};
use session_manager::{Closed, Committed, Error, IdUpdate, RequestInfo, Session, Sessions};

use crate::headers;
use crate::mistakes::Mistakes;
use crate::options::{Options, Parts};

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
    /// [`erase_others`](Self::erase_others) comes after it.
    ///
    /// # Errors
    /// The state could not write a new id into these headers, so the client would lose its session.
    fn write(&self, update: IdUpdate, headers: &mut HeaderMap) -> session_core::Result<()>;

    /// Adds to the response that what the client keeps elsewhere is void.
    ///
    /// # Errors
    /// A session that the client keeps would stay alive.
    fn erase_others(&self, headers: &mut HeaderMap) -> session_core::Result<()>;

    /// Adds the data that the browser clears.
    fn clear_site_data(&self, sets_cookie: bool, headers: &mut HeaderMap);

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
        let objection = if mistakes.watches_cookie() { objection() } else { None };
        let is_head = *head.method == Method::HEAD;
        Self { session: sessions.lazy(request), is_head, objection }
    }
}

/// The parts of a request that its session needs.
pub(crate) fn request_info<D: Driver>(
    options: &Options,
    candidates: Candidates,
    sessions: &Sessions<D>,
    head: &Head<'_>,
) -> RequestInfo {
    let mut request = RequestInfo::new(candidates);
    request.address =
        options.address.as_ref().and_then(|address| address.find(head.headers, head.extensions));
    if sessions.checks_user_agent() {
        request.user_agent = head.headers.get(USER_AGENT).map(|agent| agent.as_bytes().to_vec().into());
    }
    request.old = sessions.old_session(head.headers);
    request.on_store_error = options.on_store_error;
    request.on_handler_error = options.on_handler_error;
    request.on_not_stored = options.on_not_stored;
    request
}

impl<D: Driver, S: State> Source for Parts<Sessions<D>, S> {
    fn begin(self: Arc<Self>, head: Head<'_>) -> (Begun, Arc<dyn Engine>) {
        let request = request_info(&self.options, self.exchange.read(head.headers), &self.sessions, &head);
        // A client that sends an id keeps its cookies.
        let is_new = request.candidates.is_empty();
        let objection = || if is_new { self.exchange.objection(head.uri, head.headers) } else { None };
        (Begun::new(&self.sessions, request, &head, &self.mistakes, objection), self)
    }

    fn mistakes(&self) -> &Mistakes {
        &self.mistakes
    }
}

impl<D: Driver, S: State> Engine for Parts<Sessions<D>, S> {
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
                self.exchange.write(&id, deadline, persistence, now(), headers)?;
                Ok(())
            }
            IdUpdate::Extend { id, deadline, persistence } if self.exchange.follows_deadline(persistence) => {
                self.exchange.write(&id, deadline, persistence, now(), headers)
            }
            IdUpdate::Clear => self.exchange.erase(headers),
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

    #[cold]
    fn erase_others(&self, headers: &mut HeaderMap) -> session_core::Result<()> {
        match self.exchange.erase_others(headers) {
            Ok(()) if self.options.no_store => headers::no_store(headers),
            Ok(()) => {}
            // Harmless: the ids open nothing.
            Err(error) => tracing::warn!(%error, "further session cookies could not be deleted"),
        }
        Ok(())
    }

    #[cold]
    fn clear_site_data(&self, sets_cookie: bool, headers: &mut HeaderMap) {
        self.options.clear.write(sets_cookie, headers);
    }

    fn vary(&self, headers: &mut HeaderMap) {
        headers::vary(headers, self.exchange.varies_on());
    }

    fn mistakes(&self) -> &Mistakes {
        &self.mistakes
    }
}

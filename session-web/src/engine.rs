//! A layer's sessions, and what exchanges them with clients, without their types.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::header::USER_AGENT;
use http::{Extensions, HeaderMap, HeaderName, Uri};
use session_core::{Candidates, Driver};
use session_manager::{Closed, Committed, Error, IdUpdate, RequestInfo, Session, Sessions};

use crate::mistakes::Mistakes;
use crate::options::LayerOptions;

/// A commit that a response waits for.
pub type Commit = Pin<Box<dyn Future<Output = Result<Committed, Error>> + Send>>;

/// Begins the requests of a layer. [`LayerParts`](crate::LayerParts) is one.
pub trait SessionSource: Send + Sync {
    /// The session of a request, not loaded, and the engine that completes the request. No I/O.
    fn begin(self: Arc<Self>, request: RequestHead<'_>) -> (Begun, Arc<dyn SessionEngine>);

    /// The headers that [`begin`](Self::begin) reads, for frameworks that have to convert them.
    fn headers_read(&self) -> HeadersRead;

    /// The layer's reports of mistakes.
    fn mistakes(&self) -> &Mistakes;
}

/// Completes a request, or all requests of a layer.
pub trait SessionEngine: Send + Sync {
    /// Closes an unchanged session.
    fn try_finish(&self, session: &mut Session) -> Option<Closed>;

    /// The commit, if it needs no waiting.
    fn finish_at_once(&self, session: &Session) -> Option<Result<Committed, Error>>;

    /// The commit that the response waits for.
    fn finish(self: Arc<Self>, session: Session) -> Commit;

    /// Why the sender of this request will probably drop a new id. Reads any header.
    fn objection(&self, uri: &Uri, request: &HeaderMap) -> Option<&'static str>;

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

    /// The request header that the responses depend on.
    fn varies_on(&self) -> HeaderName;

    /// The layer's reports of mistakes.
    fn mistakes(&self) -> &Mistakes;
}

/// The head of a request.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::exhaustive_structs, reason = "every web layer makes one")]
pub struct RequestHead<'a> {
    /// Whether the method is `HEAD`.
    pub is_head: bool,
    /// At least the headers that [`SessionSource::headers_read`] names, with all their values in their order.
    pub headers: &'a HeaderMap,
    /// What [`ClientAddress::extension`](crate::ClientAddress::extension) finds; may be empty unless
    /// [`HeadersRead::All`] is read.
    pub extensions: &'a Extensions,
}

/// The headers of a request that its session depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadersRead {
    /// All headers, because a function of the application looks at them; also the extensions.
    All,
    /// This one, and another one.
    Named(HeaderName, Option<HeaderName>),
}

/// A request that has begun.
#[derive(Debug)]
pub struct Begun {
    /// The session, not loaded.
    pub session: Session,
    /// The client sent no id, and no dropped cookie was reported yet: [`SessionEngine::objection`] is worth a call.
    pub may_drop_cookie: bool,
}

impl Begun {
    #[inline]
    pub(crate) fn new<D: Driver>(
        sessions: &Sessions<D>,
        request: RequestInfo,
        mistakes: &Mistakes,
        is_new: impl FnOnce() -> bool,
    ) -> Self {
        let may_drop_cookie = mistakes.watches_cookie() && is_new();
        Self { session: sessions.lazy(request), may_drop_cookie }
    }
}

/// The parts of a request that its session needs.
#[inline]
pub(crate) fn request_info<D: Driver>(
    options: &LayerOptions,
    candidates: Candidates,
    sessions: &Sessions<D>,
    head: &RequestHead<'_>,
) -> RequestInfo {
    let mut request = RequestInfo::new(candidates);
    if let Some(address) = &options.address {
        request = request.address(address.find(head.headers, head.extensions));
    }
    if sessions.checks_user_agent() {
        let agent = head.headers.get(USER_AGENT).map(|agent| agent.as_bytes().to_vec().into());
        request = request.user_agent(agent);
    }
    // axum runs the handler of GET for HEAD. The response has no body, so the client sees no flash value.
    request.keep_flash = head.is_head;
    if sessions.takes_over() {
        request = request.old(sessions.old_session(head.headers));
    }
    request.on_store_error = options.on_store_error;
    request.on_handler_error = options.on_handler_error;
    request.on_not_stored = options.on_not_stored;
    request
}

/// The headers that [`request_info`] and a state read.
pub(crate) fn headers_read<D: Driver>(
    options: &LayerOptions,
    sessions: &Sessions<D>,
    varies_on: HeaderName,
) -> HeadersRead {
    if options.address.is_some() || sessions.takes_over() {
        return HeadersRead::All;
    }
    HeadersRead::Named(varies_on, sessions.checks_user_agent().then_some(USER_AGENT))
}

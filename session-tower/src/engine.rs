//! What a layer needs of its `Sessions` and its `State`, with their types erased.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{Extensions, HeaderMap, HeaderValue};
use session_core::{Candidates, Driver, State};
use session_manager::{Committed, IdUpdate, RequestInfo, Sessions};

use crate::client::ClientAddress;
use crate::headers;
use crate::policy::Policy;
use crate::spare::Spare;

pub(crate) type Commit = Pin<Box<dyn Future<Output = Result<Committed, session_manager::Error>> + Send>>;

pub(crate) trait Engine: Send + Sync {
    /// What the request says about its client. No I/O.
    fn read(&self, headers: &HeaderMap, extensions: &Extensions) -> Client;

    /// The request's session, not loaded.
    fn begin(&self, client: &Client, extend: bool) -> session_manager::Session;

    /// An empty session that is never saved.
    fn spare(&self) -> Option<session_manager::Session>;

    /// What the response has to wait for: `None` where there is nothing to store.
    fn finish(self: Arc<Self>, session: &session_manager::Session) -> Option<Commit>;

    /// As `finish`, for a session that [`spare`](Self::spare) made: it must never reach the store.
    fn finish_spare(&self, session: session_manager::Session) -> Option<Commit>;

    /// Tells the client what it must know: a new id, a new deadline, or that it should forget.
    ///
    /// # Errors
    /// The state could not put it into these headers, and the client would go on without its session.
    fn tell(&self, session: &session_manager::Session, headers: &mut HeaderMap) -> session_core::Result<()>;

    /// Says that this response depends on what the client sent.
    fn vary(&self, headers: &mut HeaderMap);

    /// The settings with which every request starts.
    fn policy(&self) -> Policy;
}

/// What a request says about its client, kept until somebody asks for the session.
pub(crate) struct Client {
    candidates: Candidates,
    address: Option<IpAddr>,
    /// Shared with the request as a rule, and copied only when the session is asked for.
    user_agent: Option<HeaderValue>,
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) policy: Policy,
    pub(crate) no_store: bool,
    pub(crate) address: Option<ClientAddress>,
}

/// The parts of a layer.
pub(crate) struct Parts<D, S> {
    sessions: Sessions<D>,
    state: Arc<S>,
    spare: Spare,
    pub(crate) options: Options,
}

impl<D, S> Clone for Parts<D, S> {
    fn clone(&self) -> Self {
        Self {
            sessions: self.sessions.clone(),
            state: Arc::clone(&self.state),
            spare: self.spare.clone(),
            options: self.options.clone(),
        }
    }
}

impl<D: Driver, S: State> Parts<D, S> {
    pub(crate) fn new(sessions: Sessions<D>, state: Arc<S>) -> Self {
        let spare = Spare::new(sessions.driver().clock());
        let options = Options { policy: Policy::default(), no_store: true, address: None };
        Self { sessions, state, spare, options }
    }

    /// Whether an address is to be checked and none is ever found.
    pub(crate) fn misses_address(&self) -> bool {
        self.sessions.checks_address() && self.options.address.is_none()
    }

    fn no_store(&self, headers: &mut HeaderMap) {
        if self.options.no_store {
            headers::no_store(headers);
        }
    }
}

impl<D: Driver, S: State> Engine for Parts<D, S> {
    fn read(&self, headers: &HeaderMap, extensions: &Extensions) -> Client {
        Client {
            candidates: self.state.read(headers),
            address: self.options.address.as_ref().and_then(|address| address.find(headers, extensions)),
            user_agent: headers.get(USER_AGENT).cloned(),
        }
    }

    fn begin(&self, client: &Client, extend: bool) -> session_manager::Session {
        let user_agent = client.user_agent.as_ref().map(|agent| Bytes::copy_from_slice(agent.as_bytes()));
        let request = RequestInfo::new(client.candidates).address(client.address).user_agent(user_agent);
        self.sessions.lazy(request.extend(extend))
    }

    fn spare(&self) -> Option<session_manager::Session> {
        self.spare.begin()
    }

    fn finish(self: Arc<Self>, session: &session_manager::Session) -> Option<Commit> {
        if self.sessions.try_finish(session).is_some() {
            return None;
        }
        let session = session.clone();
        Some(Box::pin(async move { self.sessions.finish(&session).await }))
    }

    fn finish_spare(&self, session: session_manager::Session) -> Option<Commit> {
        self.spare.finish(session)
    }

    fn tell(&self, session: &session_manager::Session, headers: &mut HeaderMap) -> session_core::Result<()> {
        match session.id_update() {
            IdUpdate::Set { id, deadline } => {
                self.state.write(&id, deadline, self.sessions.now(), headers)?;
            }
            IdUpdate::Extend { id, deadline } if self.state.follows_deadline() => {
                // The client has the id: if this fails, its cookie ends sooner than its session, no more.
                if let Err(error) = self.state.write(&id, deadline, self.sessions.now(), headers) {
                    tracing::warn!(%error, "a session cookie could not be extended");
                    return Ok(());
                }
            }
            IdUpdate::Clear => {
                // The session is over in the store: an id that stays with the client opens nothing.
                if let Err(error) = self.state.erase(headers) {
                    tracing::warn!(%error, "the cookie of a session that ended could not be deleted");
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
        self.no_store(headers);
        Ok(())
    }

    fn vary(&self, headers: &mut HeaderMap) {
        headers::vary(headers, self.state.varies_on());
    }

    fn policy(&self) -> Policy {
        self.options.policy.clone()
    }
}

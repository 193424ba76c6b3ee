//! The parts of a request that a session needs.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use session_core::{Candidates, SessionId};

use crate::policy::{OnHandlerError, OnNotStored, OnStoreError};

/// The parts of a request that a session needs: its ids, its client, and its settings.
#[derive(Clone)]
#[non_exhaustive]
pub struct RequestInfo {
    /// The ids, as a [`State`](session_core::State) read them.
    pub candidates: Candidates,
    /// Boxed, because most requests set none of these.
    rare: Option<Box<Rare>>,
    /// Whether the request moves the session's deadline. A poll that runs by itself should not.
    pub extend: bool,
    /// Whether the request uses no flash value up, because its response shows none: that of `HEAD` has no body.
    pub keep_flash: bool,
    /// What happens when the store fails. [`Session::load`](crate::Session::load) and web layers follow it.
    pub on_store_error: OnStoreError,
    /// Whether a web layer commits the changes of a handler that fails.
    pub on_handler_error: OnHandlerError,
    /// What a web layer does with the response if recorded writes were not stored.
    pub on_not_stored: OnNotStored,
}

#[derive(Clone, Default)]
struct Rare {
    address: Option<IpAddr>,
    user_agent: Option<Bytes>,
    old: Option<OldId>,
}

/// The id of a session of another system, as a request presents it. It is as secret as an id of ours, so `Debug` does not
/// show it.
#[derive(Clone, PartialEq, Eq)]
pub struct OldId(Arc<[u8]>);

impl OldId {
    /// An id from its bytes. Use the part of the cookie that stays the same as long as the session does.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, if they are UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl std::fmt::Debug for OldId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OldId(..)")
    }
}

impl RequestInfo {
    /// A request with these ids.
    #[must_use]
    pub fn new(candidates: impl Into<Candidates>) -> Self {
        Self {
            candidates: candidates.into(),
            rare: None,
            extend: true,
            keep_flash: false,
            on_store_error: OnStoreError::Reject,
            on_handler_error: OnHandlerError::Discard,
            on_not_stored: OnNotStored::Continue,
        }
    }

    /// Sets the client's address, for [`AddressCheck`](crate::AddressCheck). Take it from a proxy's header only if every
    /// request passes that proxy.
    #[must_use]
    pub fn address(self, address: Option<IpAddr>) -> Self {
        self.set(address.is_some(), |rare| rare.address = address)
    }

    /// Sets the bytes of the User-Agent header, which the user-agent check compares.
    #[must_use]
    pub fn user_agent(self, header: Option<Bytes>) -> Self {
        self.set(header.is_some(), |rare| rare.user_agent = header)
    }

    /// Sets whether the request moves the session's deadline.
    #[must_use]
    pub fn extend(mut self, yes: bool) -> Self {
        self.extend = yes;
        self
    }

    /// Sets whether the request uses no flash value up.
    #[must_use]
    pub fn keep_flash(mut self, yes: bool) -> Self {
        self.keep_flash = yes;
        self
    }

    /// Sets what happens when the store fails.
    #[must_use]
    pub fn on_store_error(mut self, policy: OnStoreError) -> Self {
        self.on_store_error = policy;
        self
    }

    /// Sets what a web layer does with the changes of a handler that fails.
    #[must_use]
    pub fn on_handler_error(mut self, policy: OnHandlerError) -> Self {
        self.on_handler_error = policy;
        self
    }

    /// Sets what a web layer does with the response if recorded writes were not stored.
    #[must_use]
    pub fn on_not_stored(mut self, policy: OnNotStored) -> Self {
        self.on_not_stored = policy;
        self
    }

    /// Sets the session of another system that the request presents:
    /// [`Sessions::old_session`](crate::Sessions::old_session).
    #[must_use]
    pub fn old(self, old: Option<OldId>) -> Self {
        self.set(old.is_some(), |rare| rare.old = old)
    }

    fn set(mut self, is_some: bool, set: impl FnOnce(&mut Rare)) -> Self {
        if is_some || self.rare.is_some() {
            set(self.rare.get_or_insert_default());
        }
        self
    }

    pub(crate) fn client_address(&self) -> Option<IpAddr> {
        self.rare.as_ref()?.address
    }

    pub(crate) fn client_agent(&self) -> Option<&[u8]> {
        self.rare.as_ref()?.user_agent.as_deref()
    }

    pub(crate) fn old_id(&self) -> Option<&OldId> {
        self.rare.as_ref()?.old.as_ref()
    }
}

impl Default for RequestInfo {
    fn default() -> Self {
        Self::new(Candidates::none())
    }
}

impl std::fmt::Debug for RequestInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestInfo").field("extend", &self.extend).finish_non_exhaustive()
    }
}

impl From<Candidates> for RequestInfo {
    fn from(candidates: Candidates) -> Self {
        Self::new(candidates)
    }
}

impl From<SessionId> for RequestInfo {
    fn from(id: SessionId) -> Self {
        Self::new(id)
    }
}

impl From<Option<SessionId>> for RequestInfo {
    fn from(id: Option<SessionId>) -> Self {
        Self::new(id)
    }
}

//! What happens when the store or the handler fails. A web layer sets it; a route or a handler may override it.

/// What happens to a request when the session store fails.
///
/// A request that never asks for its session is not affected. A privilege change (a rotation, a bound user, a taken
/// value) that was not stored always replaces the response: a login page must not say "welcome" in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnStoreError {
    /// The response is `503 Service Unavailable`, so that no page claims to have saved lost data. The default.
    #[default]
    Reject,
    /// The request continues without its session.
    ///
    /// If loading fails, the handler gets an empty, detached session that is never stored: see
    /// [`Session::is_detached`](crate::Session::is_detached). If the commit fails, the response is sent and its changes
    /// are lost, with an event. The client keeps its cookie. Use it for public pages, never for pages whose content
    /// depends on the visitor's rights.
    Continue,
}

/// What happens to the response if its request has recorded writes and the commit did not store them, because the
/// session has ended or has a new id: another request logged out, rotated or logged in meanwhile, or the request came
/// with an id that was replaced before.
///
/// A privilege change that was not stored always replaces the response, and a failing store follows
/// [`OnStoreError`]. With `Reject` here, writes that a failing store has lost replace the response too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnNotStored {
    /// The response goes out. A layer outside finds the marker [`NotStored`](crate::NotStored) in its extensions. The
    /// default.
    #[default]
    Continue,
    /// The response is replaced by `409 Conflict`: no page says "saved" in vain.
    Reject,
}

/// What happens to the changes of a handler that answers with a server error (5xx).
///
/// Changes that the handler committed or destroyed itself are final, and the client is told about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnHandlerError {
    /// They are dropped: a handler that failed half-way leaves the session unchanged, including its flash messages.
    /// The default.
    #[default]
    Discard,
    /// They are committed as after any other response.
    Commit,
}

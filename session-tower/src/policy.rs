//! What happens when something fails: settings of the layer that a route may overrule.

use std::sync::atomic::{AtomicU8, Ordering};

/// What a visitor gets when the session store fails.
///
/// Whatever is set, a request that never asks for its session is not affected, and a change of privilege (a rotation,
/// a bound user, a value taken) that was not stored always replaces the response: nobody is told "welcome" who is
/// not logged in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnStoreError {
    /// `503 Service Unavailable`: no page claims to have saved what it has not. The default.
    #[default]
    Reject,
    /// The page goes out without its session. Where loading fails, the handler gets an empty session that is never
    /// saved ([`Session::is_detached`](crate::Session::is_detached)); where saving fails, the response goes out and
    /// its changes are lost, with an event. The client keeps the cookie that it has. For pages that show something
    /// to everybody, never for those that decide by the session what a visitor may do.
    Continue,
}

/// What happens to the changes of a handler that answers with a server error (5xx).
///
/// What a handler committed or destroyed by itself has happened, and the client is told so, in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnHandlerError {
    /// They are dropped: a handler that failed half-way leaves the session as it was, its flash messages included.
    /// The default.
    #[default]
    Discard,
    /// They are committed as after any other response.
    Commit,
}

const GO_ON: u8 = 1;
const COMMIT_FAILED: u8 = 2;
const DO_NOT_EXTEND: u8 = 4;

/// The settings of one request, in one byte that the layer, a route and a handler may change in turn.
///
/// Relaxed suffices: whoever reads it after the handler was handed the response by it.
#[derive(Debug, Default)]
pub(crate) struct Policy(AtomicU8);

impl Policy {
    pub(crate) fn on_store_error(&self, what: OnStoreError) {
        self.set(GO_ON, what == OnStoreError::Continue);
    }

    pub(crate) fn on_handler_error(&self, what: OnHandlerError) {
        self.set(COMMIT_FAILED, what == OnHandlerError::Commit);
    }

    pub(crate) fn do_not_extend(&self) {
        self.set(DO_NOT_EXTEND, true);
    }

    pub(crate) fn goes_on(&self) -> bool {
        self.has(GO_ON)
    }

    pub(crate) fn commits_failed(&self) -> bool {
        self.has(COMMIT_FAILED)
    }

    pub(crate) fn extends(&self) -> bool {
        !self.has(DO_NOT_EXTEND)
    }

    fn set(&self, bit: u8, on: bool) {
        if on {
            self.0.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.0.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    fn has(&self, bit: u8) -> bool {
        self.0.load(Ordering::Relaxed) & bit != 0
    }
}

impl Clone for Policy {
    fn clone(&self) -> Self {
        Self(AtomicU8::new(self.0.load(Ordering::Relaxed)))
    }
}

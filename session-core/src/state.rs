//! How a client is made to repeat the session id.

use arrayvec::ArrayVec;
use http::{HeaderMap, HeaderName, Uri};

use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::SessionId;

/// Carries the session id to the client and back, for example in a cookie or a custom header.
///
/// # For driver authors
/// A state does no I/O. Each call depends only on its arguments and the configuration.
///
/// # For applications
/// Use `session-state-cookie` for browsers.
pub trait State: Send + Sync + 'static {
    /// Returns the ids of the request, in the order in which to try them. Malformed values are counted and skipped. They
    /// are never an error and are never echoed.
    fn read(&self, request: &HeaderMap) -> Candidates;

    /// Adds the header that makes the client repeat `id`. `deadline` is the moment at which the session expires, for
    /// states that tell the client. `persistence` is the session's own choice of how long the client keeps the id; a state
    /// whose clients decide that by themselves ignores it. Other headers stay unchanged.
    ///
    /// # Errors
    /// `TooLarge` or `Misconfigured` if the headers cannot hold it. The response is then unchanged.
    fn write(
        &self,
        id: &SessionId,
        deadline: Option<Timestamp>,
        persistence: Persistence,
        now: Timestamp,
        response: &mut HeaderMap,
    ) -> Result<()>;

    /// Adds the header that makes the client forget the id.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn erase(&self, response: &mut HeaderMap) -> Result<()>;

    /// Adds the headers that make the client forget ids that [`read`](Self::read) finds and [`write`](Self::write) does
    /// not replace, such as a cookie of the same name for another path. A web layer calls it after a logout that ended
    /// several sessions of the request. The ids that the client keeps open no session. By default this adds nothing.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn erase_others(&self, response: &mut HeaderMap) -> Result<()> {
        let _ = response;
        Ok(())
    }

    /// Whether the header of [`write`](Self::write) depends on the deadline. The session layer then writes it again
    /// whenever the deadline moves.
    fn follows_deadline(&self, persistence: Persistence) -> bool {
        let _ = persistence;
        false
    }

    /// Why the sender of this request will probably drop the header of [`write`](Self::write), with a remedy.
    ///
    /// A web layer reports it as a warning, and uses it for nothing else. So it may believe headers that a client can
    /// forge.
    fn objection(&self, uri: &Uri, request: &HeaderMap) -> Option<&'static str> {
        let _ = (uri, request);
        None
    }

    /// The request header that [`read`](Self::read) uses, for `Vary`.
    fn varies_on(&self) -> HeaderName {
        http::header::COOKIE
    }
}

/// How long the client keeps the id of one session. The session stores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Persistence {
    /// As the state is configured for all sessions.
    #[default]
    Configured,
    /// Until the client closes.
    Browser,
    /// Until the deadline of the session.
    Session,
}

/// The session ids of a request, at most four. The session layer tries them in order, and a logout ends the sessions of
/// all of them.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    first: Option<SessionId>,
    /// Boxed, because most requests have one id or none.
    rest: Option<Box<Rest>>,
}

/// What few requests have.
#[derive(Clone, Debug, Default)]
struct Rest {
    ids: ArrayVec<SessionId, { Candidates::MAX - 1 }>,
    malformed: usize,
    ignored: usize,
}

impl Candidates {
    /// The largest number of ids.
    pub const MAX: usize = 4;

    /// No ids.
    #[must_use]
    #[inline]
    pub const fn none() -> Self {
        Self { first: None, rest: None }
    }

    /// Adds an id. Duplicates are dropped, and ids beyond the fourth are only counted.
    #[inline]
    pub fn push(&mut self, id: SessionId) {
        match &self.first {
            None => self.first = Some(id),
            Some(first) if *first == id => {}
            Some(_) => self.push_further(id),
        }
    }

    #[cold]
    fn push_further(&mut self, id: SessionId) {
        let rest = self.rest.get_or_insert_default();
        if !rest.ids.contains(&id) && rest.ids.try_push(id).is_err() {
            rest.ignored = rest.ignored.saturating_add(1);
        }
    }

    /// Counts a malformed id.
    #[cold]
    pub fn push_malformed(&mut self) {
        let rest = self.rest.get_or_insert_default();
        rest.malformed = rest.malformed.saturating_add(1);
    }

    /// The ids, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &SessionId> {
        (0..Self::MAX).map_while(|at| self.get(at))
    }

    #[inline]
    fn get(&self, at: usize) -> Option<&SessionId> {
        match at.checked_sub(1) {
            None => self.first.as_ref(),
            Some(at) => self.rest.as_ref()?.ids.get(at),
        }
    }

    /// Whether the list of valid ids is empty.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The number of malformed ids.
    #[must_use]
    #[inline]
    pub fn malformed(&self) -> usize {
        self.rest.as_ref().map_or(0, |rest| rest.malformed)
    }

    /// The number of well-formed ids beyond the fourth, which are not looked at. Repetitions of one of them count too.
    #[must_use]
    #[inline]
    pub fn ignored(&self) -> usize {
        self.rest.as_ref().map_or(0, |rest| rest.ignored)
    }

    /// Whether there are two valid ids or more.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.get(1).is_some()
    }
}

impl From<SessionId> for Candidates {
    fn from(id: SessionId) -> Self {
        let mut candidates = Self::none();
        candidates.push(id);
        candidates
    }
}

impl From<Option<SessionId>> for Candidates {
    fn from(id: Option<SessionId>) -> Self {
        id.map_or_else(Self::none, Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_four_different_ids_are_kept_in_order() {
        let mut candidates = Candidates::none();
        for n in [1, 2, 1, 3, 4, 5] {
            candidates.push(SessionId::from_bytes([n; 24]));
        }
        let seen: Vec<_> = candidates.iter().copied().collect();
        assert_eq!(seen, [1, 2, 3, 4].map(|n| SessionId::from_bytes([n; 24])));
        assert_eq!((candidates.ignored(), candidates.are_several()), (1, true));
        assert!(!Candidates::from(seen[0]).are_several() && Candidates::from(seen[0]).ignored() == 0);
    }
}

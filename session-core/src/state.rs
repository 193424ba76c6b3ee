//! How a client is made to repeat the session id.

use http::{HeaderMap, HeaderName};

use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::SessionId;

/// Gets a client to repeat the session id: a cookie, a header of one's own.
///
/// # For driver authors
/// A state has no store and does no I/O; every call is a pure function of its arguments and its configuration.
///
/// # For applications
/// `session-state-cookie` has the one that browsers want.
pub trait State: Send + Sync + 'static {
    /// The ids that the request brings, in the order in which they are to be tried. What is malformed is counted and
    /// left out; it is never an error and never echoed.
    fn read(&self, request: &HeaderMap) -> Candidates;

    /// Adds to the response what makes the client repeat `id` from now on. `deadline` is the moment from which on
    /// the session is expired, for states that tell the client. Other headers are left alone.
    ///
    /// # Errors
    /// `TooLarge` or `Misconfigured` where the headers cannot carry it; the response is then unchanged.
    fn write(
        &self,
        id: &SessionId,
        deadline: Option<Timestamp>,
        now: Timestamp,
        response: &mut HeaderMap,
    ) -> Result<()>;

    /// Adds to the response what makes the client forget the id.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn erase(&self, response: &mut HeaderMap) -> Result<()>;

    /// Whether what [`write`](Self::write) adds depends on the deadline, so that it must be repeated when that moves.
    fn follows_deadline(&self) -> bool {
        false
    }

    /// The request header that [`read`](Self::read) looks at, for `Vary`.
    fn varies_on(&self) -> HeaderName {
        http::header::COOKIE
    }
}

/// The ids that a request brings: four at the most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Candidates {
    ids: [Option<SessionId>; Self::MAX],
    malformed: usize,
}

impl Candidates {
    /// How many ids of one request are tried.
    pub const MAX: usize = 4;

    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds an id. One that is there already, or a fifth, is left out.
    pub fn push(&mut self, id: SessionId) {
        for slot in &mut self.ids {
            match slot {
                Some(known) if *known == id => return,
                Some(_) => {}
                None => {
                    *slot = Some(id);
                    return;
                }
            }
        }
    }

    /// Counts something that was no id.
    pub fn push_malformed(&mut self) {
        self.malformed += 1;
    }

    /// The ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = &SessionId> {
        self.ids.iter().flatten()
    }

    /// Whether there is no valid id.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids[0].is_none()
    }

    /// How many values of the right name were no id.
    #[must_use]
    pub const fn malformed(&self) -> usize {
        self.malformed
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
    fn four_different_ids_at_most_in_order() {
        let mut candidates = Candidates::none();
        for n in [1, 2, 1, 3, 4, 5] {
            candidates.push(SessionId::from_bytes([n; 24]));
        }
        let seen: Vec<_> = candidates.iter().copied().collect();
        assert_eq!(seen, [1, 2, 3, 4].map(|n| SessionId::from_bytes([n; 24])));
    }
}

//! How a client is made to keep the whole session.

use http::{HeaderMap, HeaderName, Uri};

use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::SessionId;
use crate::record::Record;
use crate::state::{Candidates, Persistence};

/// Carries whole sessions to the client and back, for example in an encrypted cookie. A [`State`](crate::State) carries
/// ids only.
///
/// # For driver authors
/// A carrier does no I/O. Each call depends only on its arguments and the configuration. It MUST return only records that
/// it has sealed itself: the session layer believes their content, because no store has a copy to compare.
///
/// # For applications
/// Use `SealedCookie` of `session-state-cookie`.
pub trait Carrier: Send + Sync + 'static {
    /// Returns the sessions of the request, in the order in which to try them, expired ones included. Values that do not
    /// open are counted and skipped. They are never an error and are never echoed.
    ///
    /// A session layer calls it when the session is first asked for, with the header of [`varies_on`](Self::varies_on)
    /// only.
    fn open(&self, request: &HeaderMap) -> Carried;

    /// Adds the headers that make the client keep this session. `parts` are those that [`open`](Self::open) found in the request.
    /// Other headers stay unchanged.
    ///
    /// # Errors
    /// `TooLarge` if the headers cannot hold the data, `Entropy`, `Misconfigured`. The response is then unchanged.
    fn write(&self, session: Outgoing<'_>, parts: Parts, response: &mut HeaderMap) -> Result<()>;

    /// Adds the headers that make the client forget the session.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn erase(&self, parts: Parts, response: &mut HeaderMap) -> Result<()>;

    /// Adds the headers that make the client forget copies that [`open`](Self::open) finds and [`write`](Self::write) does
    /// not replace, such as a cookie of the same name for another path. A session layer calls it after each logout, because
    /// no store could end the session of such a copy.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn erase_others(&self, parts: Parts, response: &mut HeaderMap) -> Result<()>;

    /// The longest [`Record::data`] that the session layer stores, in bytes. Sessions of an earlier configuration may be
    /// longer: [`write`](Self::write) accepts all that [`open`](Self::open) reads, so that they stay usable.
    fn max_data_bytes(&self) -> usize;

    /// Whether the request has a value that [`open`](Self::open) would try. A session layer calls it before it knows
    /// whether the session is needed, so it should not open the value.
    fn is_sent(&self, request: &HeaderMap) -> bool;

    /// As [`State::objection`](crate::State::objection).
    fn objection(&self, uri: &Uri, request: &HeaderMap) -> Option<&'static str> {
        let _ = (uri, request);
        None
    }

    /// The request header that [`open`](Self::open) uses, for `Vary`.
    fn varies_on(&self) -> HeaderName {
        http::header::COOKIE
    }
}

/// The sessions that a request carried.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Carried {
    /// The ids of the sessions, in order, and how many values did not open.
    pub candidates: Candidates,
    /// The sessions, at most one for each id.
    pub sessions: Vec<(SessionId, Record)>,
    /// The further parts that the client keeps.
    pub parts: Parts,
}

impl Carried {
    /// Adds a session. A second one with the same id, and any after the fourth, is ignored.
    pub fn push(&mut self, id: SessionId, record: Record) {
        let known = self.candidates.iter().count();
        self.candidates.push(id);
        if self.candidates.iter().count() > known {
            self.sessions.push((id, record));
        }
    }
}

/// A session on its way to the client.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Outgoing<'a> {
    /// Its id.
    pub id: &'a SessionId,
    /// Its content, deadline and revision.
    pub record: &'a Record,
    /// How long the client keeps it.
    pub persistence: Persistence,
    /// The current time.
    pub now: Timestamp,
}

impl<'a> Outgoing<'a> {
    /// A session that the client keeps as configured.
    #[must_use]
    pub const fn new(id: &'a SessionId, record: &'a Record, now: Timestamp) -> Self {
        Self { id, record, persistence: Persistence::Configured, now }
    }

    /// Sets how long the client keeps it.
    #[must_use]
    pub const fn persistence(mut self, persistence: Persistence) -> Self {
        self.persistence = persistence;
        self
    }
}

/// Which parts of a divided session a client keeps, as a set of numbers below 8. Part 0 is not in it.
///
/// A session that becomes smaller, or ends, removes the parts that it no longer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts(u8);

impl Parts {
    /// Adds a part. Numbers of 8 and more are ignored.
    pub const fn insert(&mut self, part: u8) {
        if part < 8 {
            self.0 |= 1 << part;
        }
    }

    /// Whether the client keeps this part.
    #[must_use]
    pub const fn contains(self, part: u8) -> bool {
        part < 8 && self.0 & 1 << part != 0
    }
}

//! A login: what a session keeps when its user changes.

use bytes::Bytes;
use session_core::Timestamp;

use crate::entry::{RawEntry, VALUE};
use crate::table::{Draft, Header, Table};

/// A call of [`Session::login`](crate::Session::login).
pub(crate) struct Login {
    pub(crate) user: Bytes,
    /// The keys whose values stay if another user was logged in.
    pub(crate) keep: Box<[Box<str>]>,
    /// The header of a new session.
    pub(crate) fresh: Header,
    pub(crate) at: Timestamp,
}

impl Login {
    /// Whether a session with this header belongs to another user.
    pub(crate) fn replaces(&self, header: &Header) -> bool {
        header.user().is_some_and(|user| user.as_bytes() != self.user)
    }

    pub(crate) fn keeps(&self, entry: &RawEntry<'_>) -> bool {
        entry.class() == VALUE && self.keep.iter().any(|key| key.as_bytes() == entry.key())
    }

    /// The header of the session that replaces another user's session in the same client.
    pub(crate) fn header_over(&self, old: &Header) -> Header {
        let mut header = self.fresh.clone();
        (header.created, header.updated, header.started) = (self.at, old.updated, self.at);
        header.bind_to(old.network(), old.agent());
        header.set_lifetime(header.lifetime);
        header
    }

    /// The session of another user without that user's values, except for those to keep and those that `needed` names.
    pub(crate) fn without_user(&self, table: &Table, needed: impl Fn(&RawEntry<'_>) -> bool) -> Table {
        let keep = |entry: &RawEntry<'_>| self.keeps(entry) || needed(entry);
        Draft::filtered(self.header_over(&table.header), table.body(), keep).stamped(self.at)
    }
}

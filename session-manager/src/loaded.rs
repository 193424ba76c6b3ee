//! The record behind a session, and a store call that is to replace it.

use session_core::{Key, Record, Revision, SessionId, Timestamp};

use crate::forward::is_forwarder;
use crate::table::Table;

/// The stored record behind a session.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) id: SessionId,
    pub(crate) key: Key,
    pub(crate) revision: Revision,
    pub(crate) expires: Option<Timestamp>,
}

/// A store call that has begun and whose answer has not been seen.
#[derive(Clone)]
pub(crate) struct Pending {
    /// The record behind the session if the call was applied.
    pub(crate) next: Loaded,
    pub(crate) table: Table,
    /// The revision that was replaced; `None` for a creation.
    pub(crate) before: Option<Revision>,
    /// For a rotation or a renewal: the old key, and what it leaves there.
    pub(crate) tombstone: Option<Box<(Key, Record)>>,
    /// How many operations of the log it contains.
    pub(crate) ops: usize,
    /// How many calls of `rotate` it contains.
    pub(crate) rotations: u32,
}

impl Pending {
    /// Whether the call is one that places a forwarder.
    pub(crate) fn is_renewal(&self) -> bool {
        self.tombstone.as_deref().is_some_and(|(_, placed)| is_forwarder(&placed.data))
    }

    pub(crate) fn record(&self) -> Record {
        Record { data: self.table.data().clone(), expires: self.next.expires, revision: self.next.revision }
    }
}

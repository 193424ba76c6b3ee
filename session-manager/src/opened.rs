//! The sessions that a request carried, opened when the session is first asked for.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use session_core::{Candidates, Carried, Key, Parts, Record};

/// Not opened yet, or opened.
pub(crate) type Opening = LazyLock<Opened, Box<dyn FnOnce() -> Opened + Send>>;

pub(crate) struct Opened {
    pub(crate) candidates: Candidates,
    pub(crate) parts: Parts,
    /// The length of the longest session.
    pub(crate) longest: usize,
    records: Mutex<Vec<(Key, Record)>>,
}

impl Opened {
    pub(crate) fn later(open: impl FnOnce() -> Carried + Send + 'static) -> Opening {
        LazyLock::new(Box::new(move || Self::of(open())))
    }

    fn of(carried: Carried) -> Self {
        let longest = carried.sessions.iter().map(|(_, record)| record.data.len()).max().unwrap_or(0);
        let records = carried.sessions.into_iter().map(|(id, record)| (id.key(), record)).collect();
        Self { candidates: carried.candidates, parts: carried.parts, longest, records: Mutex::new(records) }
    }

    pub(crate) fn records(&self) -> MutexGuard<'_, Vec<(Key, Record)>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

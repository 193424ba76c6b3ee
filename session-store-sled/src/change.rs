//! Changes: one `compare_and_swap` of the whole frame, again until nobody else was faster.

use session_core::frame::{self, FrameError, WORDS_AT, WORDS_LEN};
use session_core::{
    Change, Condition, Key, OldDecision, Operation, Record, Result, Revision, StoreError, StoreErrorKind,
    Timestamp, is_live,
};
use sled::{IVec, Tree};

use crate::error::from_sled;
use crate::store::{read, times};

/// What a store or a removal is to do.
pub(crate) struct ChangeRequest<'a> {
    pub(crate) key: &'a Key,
    pub(crate) when: Condition,
    /// The record of a store; a removal has none.
    pub(crate) record: Option<&'a Record>,
    pub(crate) now: Timestamp,
}

/// An answer, and whether anything was written.
pub(crate) struct Done<T> {
    pub(crate) answer: T,
    pub(crate) wrote: bool,
}

impl<T> Done<T> {
    fn unchanged(answer: T) -> Result<Self> {
        Ok(Self { answer, wrote: false })
    }

    fn wrote(answer: T) -> Result<Self> {
        Ok(Self { answer, wrote: true })
    }
}

impl ChangeRequest<'_> {
    fn operation(&self) -> Operation {
        if self.record.is_some() { Operation::Store } else { Operation::Remove }
    }

    pub(crate) fn make(&self, tree: &Tree) -> Result<Done<Change>> {
        let operation = self.operation();
        let fail = |cause| from_sled(cause, operation);
        let damaged = |cause| corrupt(cause, operation);
        let kept = self.record.filter(|record| record.is_live(self.now));
        let frame = kept.map(|record| IVec::from(frame::encode(self.key, record)));
        let offered = self.record.map(|record| record.revision);
        let mut there = read_from(tree, self.key, operation)?;
        loop {
            let live = match &there {
                None => None,
                // What is damaged may be replaced and removed, but nothing can be compared with it.
                Some(frame) if self.when == Condition::Any => times(frame).ok(),
                Some(frame) => Some(times(frame).map_err(damaged)?),
            };
            let live = live.filter(|(expires, _)| is_live(*expires, self.now));
            match self.when.decide(live.map(|(_, revision)| revision), offered) {
                OldDecision::AlreadyApplied => return Done::unchanged(Change::Applied),
                OldDecision::Conflict => {
                    let record = match (&there, live) {
                        (Some(frame), Some(_)) => Some(read(frame.clone(), self.key, operation)?),
                        _ => None,
                    };
                    return Done::unchanged(Change::Conflict(record));
                }
                OldDecision::Apply => {}
            }
            // A removal says whether there was anything to remove. Damage was there, and is gone afterwards.
            let nothing = there.is_none() || live.is_none() && there.as_deref().is_some_and(is_whole);
            let missed = self.record.is_none() && self.when != Condition::Absent && nothing;
            let answer = if missed { Change::Conflict(None) } else { Change::Applied };
            if there.is_none() && frame.is_none() {
                return Done::unchanged(answer);
            }
            match tree.compare_and_swap(self.key.as_bytes(), there.as_ref(), frame.clone()).map_err(fail)? {
                Ok(()) => return Done::wrote(answer),
                Err(lost) => there = lost.current,
            }
        }
    }
}

/// Moves the deadline of the record at revision `from`. sled cannot change part of a value, so the frame is written
/// again; its data is neither decoded nor checked.
pub(crate) fn touch(
    tree: &Tree,
    key: &Key,
    (from, to): (Revision, Revision),
    deadline: Option<Timestamp>,
    now: Timestamp,
) -> Result<Done<bool>> {
    let mut there = read_from(tree, key, Operation::Touch)?;
    loop {
        let Some(frame) = &there else { return Done::unchanged(false) };
        let (expires, revision) = times(frame).map_err(|cause| corrupt(cause, Operation::Touch))?;
        if !is_live(expires, now) || (revision != from && revision != to) {
            return Done::unchanged(false);
        }
        if revision == to {
            return Done::unchanged(true);
        }
        // A deadline that has passed ends the record.
        let touched = if is_live(deadline, now) { Some(rewrite(frame, deadline, to)?) } else { None };
        let swapped = tree.compare_and_swap(key.as_bytes(), Some(frame), touched);
        match swapped.map_err(|cause| from_sled(cause, Operation::Touch))? {
            Ok(()) => return Done::wrote(true),
            Err(lost) => there = lost.current,
        }
    }
}

/// What is there before a change. An error here has changed nothing yet.
fn read_from(tree: &Tree, key: &Key, operation: Operation) -> Result<Option<IVec>> {
    tree.get(key.as_bytes()).map_err(|cause| from_sled(cause, Operation::Retrieve).during(operation))
}

fn is_whole(frame: &[u8]) -> bool {
    times(frame).is_ok()
}

/// The same frame with another deadline and revision.
fn rewrite(frame: &IVec, deadline: Option<Timestamp>, revision: Revision) -> Result<IVec> {
    let short = || corrupt(FrameError::Short, Operation::Touch);
    let mut touched = frame.to_vec();
    let check = *touched.get(16..24).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
    let words = touched.get_mut(WORDS_AT..WORDS_AT + WORDS_LEN).ok_or_else(short)?;
    words.copy_from_slice(&frame::encode_words(check, deadline, revision));
    Ok(touched.into())
}

pub(crate) fn corrupt(cause: FrameError, operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, operation).with_source(cause)
}

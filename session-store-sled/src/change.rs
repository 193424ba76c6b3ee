//! Changes: a `compare_and_swap` of the whole frame, repeated until no other change comes between.

use session_core::frame::{self, FrameError, WORDS_AT, WORDS_LEN};
use session_core::{Change, ChangeRequest, Decision, Found, Key, Operation, Result, Timestamp, Touch};
use sled::{IVec, Tree};

use crate::error::from_sled;
use crate::read::{self, corrupt};

/// The answer to a change, and whether it wrote to the tree.
pub(crate) struct Done {
    pub(crate) change: Change,
    pub(crate) wrote: bool,
}

/// Makes a change. Answers a touch as [`Change::Applied`] or `Conflict(None)`.
pub(crate) fn make(tree: &Tree, key: &Key, request: &ChangeRequest, now: Timestamp) -> Result<Done> {
    let operation = request.operation();
    // An error of this read leaves the store unchanged.
    let stored = tree.get(key.as_bytes());
    let mut stored = stored.map_err(|cause| from_sled(cause, Operation::Retrieve).during(operation))?;
    let mut encoded = None;
    let unchanged = |change| Ok(Done { change, wrote: false });
    loop {
        let words = stored.as_deref().map(|frame| read::words_for(frame, key)).transpose();
        let found = match words {
            Ok(None) => Found::Nothing,
            Ok(Some((expires, revision))) => Found::at(expires, revision, now),
            Err(_) => Found::Damaged,
        };
        let replacement = match (request.decide(found, now), request, &stored) {
            (Decision::Write, ChangeRequest::Store { record, .. }, _) => {
                Some(encoded.get_or_insert_with(|| IVec::from(frame::encode(key, record))).clone())
            }
            (Decision::Write, ChangeRequest::Touch(touch), Some(frame)) => Some(rewrite(frame, *touch)?),
            (Decision::Write | Decision::Delete, ..) => None,
            (Decision::AlreadyApplied | Decision::AlreadyAbsent, ..) => return unchanged(Change::Applied),
            (Decision::Conflict, ChangeRequest::Store { .. } | ChangeRequest::Remove { .. }, Some(frame))
                if matches!(found, Found::Live(_)) =>
            {
                let live = read::record(frame.clone(), key, operation)?;
                return unchanged(Change::Conflict(Some(live)));
            }
            (Decision::Conflict, ..) => return unchanged(Change::Conflict(None)),
            (Decision::Corrupt, ..) => {
                return Err(corrupt(words.err().unwrap_or(FrameError::Damaged), operation));
            }
        };
        let swapped = tree.compare_and_swap(key.as_bytes(), stored.as_ref(), replacement);
        match swapped.map_err(|cause| from_sled(cause, operation))? {
            Ok(()) => return Ok(Done { change: Change::Applied, wrote: true }),
            Err(lost) => stored = lost.current,
        }
    }
}

/// The frame with another deadline and revision. The data is neither decoded nor checked. sled cannot change a part of
/// a value, so the whole frame is stored again.
fn rewrite(frame: &IVec, touch: Touch) -> Result<IVec> {
    let short = || corrupt(FrameError::Short, Operation::Touch);
    let mut touched = frame.to_vec();
    let check = *touched.get(16..24).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
    let words = touched.get_mut(WORDS_AT..WORDS_AT + WORDS_LEN).ok_or_else(short)?;
    words.copy_from_slice(&frame::encode_words(check, touch.deadline, touch.to));
    Ok(touched.into())
}

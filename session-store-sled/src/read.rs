//! Decoding what is stored under a key.

use bytes::Bytes;
use session_core::frame::{self, FrameError};
use session_core::{Key, Operation, Record, Result, Revision, StoreError, StoreErrorKind, Timestamp};
use sled::IVec;

/// Deadline and revision of a frame. The rest is not checked.
pub(crate) fn words(frame: &[u8]) -> Result<(Option<Timestamp>, Revision), FrameError> {
    frame::decode_words(frame.first_chunk().ok_or(FrameError::Short)?)
}

/// The same, of a frame with this key: after damage, sled may find the frame of another one.
pub(crate) fn words_for(frame: &[u8], key: &Key) -> Result<(Option<Timestamp>, Revision), FrameError> {
    if frame::has_key(frame, key) { words(frame) } else { Err(FrameError::Foreign) }
}

/// The whole record. Its data shares sled's bytes.
pub(crate) fn record(frame: IVec, key: &Key, operation: Operation) -> Result<Record> {
    let record =
        frame::decode_for(&Bytes::from_owner(frame), key).map_err(|cause| corrupt(cause, operation))?;
    record.ok_or_else(|| corrupt(FrameError::Foreign, operation))
}

pub(crate) fn corrupt(cause: FrameError, operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, operation).with_source(cause)
}

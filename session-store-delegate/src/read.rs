//! Retrieve.

use session_core::{Record, Timestamp};

use crate::delegate::Delegate;
use crate::error::UnitError;
use crate::fields::{Outcome, Stored, data, look};
use crate::mapping::Fields;

/// The live record.
pub(crate) fn retrieve<D: Delegate>(
    delegate: &D,
    fields: &Fields,
    now: Timestamp,
) -> Outcome<Option<Record>, D> {
    match look(delegate, fields, now)? {
        Stored::Nothing | Stored::Expired(_) => Ok(None),
        Stored::Damaged(field) => Err(UnitError::Corrupt(field)),
        Stored::Live { expires, revision } => {
            Ok(Some(Record { data: data(delegate, fields)?, expires, revision }))
        }
    }
}

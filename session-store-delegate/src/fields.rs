//! The three fields of a record: reading and setting them.

use bytes::Bytes;
use session_core::{Condition, Found, Record, Revision, Timestamp, is_live};

use crate::delegate::{Delegate, Value};
use crate::error::UnitError;
use crate::mapping::Fields;

pub(crate) type Outcome<T, D> = Result<T, UnitError<<D as Delegate>::Error>>;

/// The state of the fields, without reading the data.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored {
    Nothing,
    Live {
        expires: Option<Timestamp>,
        revision: Revision,
    },
    /// With the condition of a flush over it: `Revision`; `Absent` if the revision is missing; `Any` if the revision is
    /// damaged, so that a flush cannot compare it.
    Expired(Condition),
    Damaged(&'static str),
}

impl Stored {
    pub(crate) fn found(self) -> Found {
        match self {
            Self::Nothing => Found::Nothing,
            Self::Live { revision, .. } => Found::Live(revision),
            Self::Expired(_) => Found::Expired,
            Self::Damaged(_) => Found::Damaged,
        }
    }
}

pub(crate) const REVISION: &str = "revision is not 8 bytes";
const EXPIRES: &str = "deadline is not a number";
const DATA: &str = "data is not bytes";
const NO_REVISION: &str = "revision is missing beside data or deadline";

pub(crate) fn look<D: Delegate>(delegate: &D, fields: &Fields, now: Timestamp) -> Outcome<Stored, D> {
    let expires = match delegate.get(&fields.expires)? {
        None => Ok(None),
        Some(Value::Number(millis)) => Ok(Some(Timestamp::from_millis(millis))),
        Some(_) => Err(EXPIRES),
    };
    let revision = match delegate.get(&fields.revision)? {
        None => Ok(None),
        Some(Value::Bytes(bytes)) => {
            bytes[..].try_into().map(|bytes| Some(Revision::from_bytes(bytes))).map_err(|_| REVISION)
        }
        Some(_) => Err(REVISION),
    };
    Ok(match (expires, revision) {
        (Ok(expires), Ok(Some(revision))) if is_live(expires, now) => Stored::Live { expires, revision },
        (Ok(_), Ok(Some(revision))) => Stored::Expired(Condition::Revision(revision)),
        // An expired record is absent, even if it is damaged otherwise.
        (Ok(Some(expires)), Ok(None)) if !is_live(Some(expires), now) => Stored::Expired(Condition::Absent),
        (Ok(Some(expires)), Err(_)) if !is_live(Some(expires), now) => Stored::Expired(Condition::Any),
        (Err(field), _) | (_, Err(field)) => Stored::Damaged(field),
        (Ok(None), Ok(None)) if delegate.get(&fields.data)?.is_none() => Stored::Nothing,
        (Ok(_), Ok(None)) => Stored::Damaged(NO_REVISION),
    })
}

pub(crate) fn data<D: Delegate>(delegate: &D, fields: &Fields) -> Outcome<Bytes, D> {
    match delegate.get(&fields.data)? {
        Some(Value::Bytes(bytes)) => Ok(bytes),
        _ => Err(UnitError::Corrupt(DATA)),
    }
}

pub(crate) fn write<D: Delegate>(delegate: &mut D, fields: &Fields, record: &Record) -> Outcome<(), D> {
    delegate.set(&fields.data, Value::Bytes(record.data.clone()))?;
    set_state(delegate, fields, record.expires, record.revision)
}

pub(crate) fn set_state<D: Delegate>(
    delegate: &mut D,
    fields: &Fields,
    expires: Option<Timestamp>,
    revision: Revision,
) -> Outcome<(), D> {
    match expires {
        Some(expires) => delegate.set(&fields.expires, Value::Number(expires.as_millis()))?,
        None => delegate.delete(&fields.expires)?,
    }
    let bytes = Bytes::copy_from_slice(&revision.to_bytes());
    Ok(delegate.set(&fields.revision, Value::Bytes(bytes))?)
}

pub(crate) fn empty<D: Delegate>(delegate: &mut D, fields: &Fields) -> Outcome<(), D> {
    delegate.delete(&fields.data)?;
    delegate.delete(&fields.expires)?;
    Ok(delegate.delete(&fields.revision)?)
}

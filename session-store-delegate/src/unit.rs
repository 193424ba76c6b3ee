//! What a unit of work does with its delegate, between taking and flushing it. Nothing here waits, and none of it knows
//! whether the model does.

use bytes::Bytes;
use session_core::{Change, Condition, OldDecision, Record, Revision, Timestamp, is_live};

use crate::delegate::{Delegate, Value};
use crate::error::Trouble;
use crate::mapping::Fields;

/// How a unit of work goes on.
pub(crate) enum Step<T> {
    /// Nothing is to be changed: this is the answer, and the delegate is dropped as it is.
    Done(T),
    /// The delegate is to be flushed.
    Flush {
        expected: Condition,
        /// The answer where it was written.
        yes: T,
        /// The answer where it was not. Without one, another writer came between, and it is for a new unit of work to
        /// say what is there now.
        conflict: Option<T>,
    },
}

/// A change that a caller asks for.
#[derive(Clone, Debug)]
pub(crate) enum ChangeRequest {
    Store(Record, Condition),
    Remove(Condition),
}

type Outcome<T, D> = Result<T, Trouble<<D as Delegate>::Error>>;

/// What the fields hold, the data aside.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Nothing,
    Live {
        expires: Option<Timestamp>,
        revision: Revision,
    },
    /// What a flush over it is to expect: its revision; that there is none, where none is there; or anything, where what
    /// is there is none and cannot be compared with.
    Expired(Condition),
    Damaged(&'static str),
}

/// The deadline of the live record, if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    pub(crate) expires: Option<Timestamp>,
    pub(crate) revision: Revision,
}

/// The live record.
pub(crate) fn retrieve<D: Delegate>(
    delegate: &D,
    fields: &Fields,
    now: Timestamp,
) -> Outcome<Option<Record>, D> {
    match look(delegate, fields, now)? {
        Seen::Nothing | Seen::Expired(_) => Ok(None),
        Seen::Damaged(what) => Err(Trouble::Corrupt(what)),
        Seen::Live { expires, revision } => {
            Ok(Some(Record { data: data(delegate, fields)?, expires, revision }))
        }
    }
}

/// The live record, without its data. What is damaged is none.
pub(crate) fn live<D: Delegate>(delegate: &D, fields: &Fields, now: Timestamp) -> Outcome<Option<Live>, D> {
    Ok(match look(delegate, fields, now)? {
        Seen::Live { expires, revision } => Some(Live { expires, revision }),
        _ => None,
    })
}

/// A store or a removal. `conditional` says whether the model compares.
pub(crate) fn change<D: Delegate>(
    delegate: &mut D,
    fields: &Fields,
    now: Timestamp,
    conditional: bool,
    change: &ChangeRequest,
) -> Outcome<Step<Change>, D> {
    match change {
        // Whatever is there: nothing is read, and what is damaged is repaired.
        ChangeRequest::Store(record, Condition::Any) if record.is_live(now) => {
            write(delegate, fields, record)?;
            Ok(Step::Flush { expected: Condition::Any, yes: Change::Applied, conflict: None })
        }
        ChangeRequest::Store(_, Condition::Any) => {
            empty(delegate, fields)?;
            Ok(Step::Flush {
                expected: Condition::Any,
                yes: Change::Applied,
                conflict: Some(Change::Applied),
            })
        }
        ChangeRequest::Store(record, when) => compare(delegate, fields, now, Some(record), *when),
        ChangeRequest::Remove(Condition::Any) => {
            let gone = Change::Conflict(None);
            let (expected, yes) = match look(delegate, fields, now)? {
                Seen::Nothing => return Ok(Step::Done(gone)),
                // A whole one is left to the purge. One that a purge may never be told of goes now, and was none.
                Seen::Expired(Condition::Revision(_)) => return Ok(Step::Done(gone)),
                Seen::Expired(expected) => (expected, gone.clone()),
                Seen::Live { revision, .. } => (Condition::Revision(revision), Change::Applied),
                // There is nothing to compare with: a damaged record can be removed like any other.
                Seen::Damaged(_) => (Condition::Any, Change::Applied),
            };
            let expected = if conditional { expected } else { Condition::Any };
            empty(delegate, fields)?;
            let conflict = (expected == Condition::Any).then_some(gone);
            Ok(Step::Flush { expected, yes, conflict })
        }
        ChangeRequest::Remove(when) => compare(delegate, fields, now, None, *when),
    }
}

/// A change on a condition. The flush expects what was seen, so that it is made only where that still holds.
fn compare<D: Delegate>(
    delegate: &mut D,
    fields: &Fields,
    now: Timestamp,
    new: Option<&Record>,
    when: Condition,
) -> Outcome<Step<Change>, D> {
    let seen = look(delegate, fields, now)?;
    let live = match seen {
        Seen::Damaged(what) => return Err(Trouble::Corrupt(what)),
        Seen::Live { expires, revision } => Some(Live { expires, revision }),
        Seen::Nothing | Seen::Expired(_) => None,
    };
    match when.decide(live.map(|live| live.revision), new.map(|record| record.revision)) {
        OldDecision::AlreadyApplied => return Ok(Step::Done(Change::Applied)),
        OldDecision::Conflict => {
            let record = match live {
                None => None,
                Some(Live { expires, revision }) => {
                    Some(Record { data: data(delegate, fields)?, expires, revision })
                }
            };
            return Ok(Step::Done(Change::Conflict(record)));
        }
        OldDecision::Apply => {}
    }
    match new.filter(|record| record.is_live(now)) {
        Some(record) => write(delegate, fields, record)?,
        // What has expired is as good as removed, and left to the purge.
        None if live.is_none() => return Ok(Step::Done(Change::Applied)),
        None => empty(delegate, fields)?,
    }
    let expected = match seen {
        Seen::Live { revision, .. } => Condition::Revision(revision),
        Seen::Nothing => Condition::Absent,
        // Written over without comparing, it might be another caller's new record by now.
        Seen::Expired(Condition::Any) | Seen::Damaged(_) => return Err(Trouble::Corrupt(REVISION)),
        Seen::Expired(expected) => expected,
    };
    Ok(Step::Flush { expected, yes: Change::Applied, conflict: None })
}

/// Moves the deadline of the live record, and leaves its data alone.
pub(crate) fn touch<D: Delegate>(
    delegate: &mut D,
    fields: &Fields,
    now: Timestamp,
    from: Revision,
    to: Revision,
    deadline: Option<Timestamp>,
) -> Outcome<Step<bool>, D> {
    match look(delegate, fields, now)? {
        Seen::Damaged(what) => return Err(Trouble::Corrupt(what)),
        Seen::Live { revision, .. } if revision == to => return Ok(Step::Done(true)),
        Seen::Live { revision, .. } if revision == from => {}
        _ => return Ok(Step::Done(false)),
    }
    if is_live(deadline, now) {
        set_expires(delegate, fields, deadline)?;
        set_revision(delegate, fields, to)?;
    } else {
        empty(delegate, fields)?;
    }
    Ok(Step::Flush { expected: Condition::Revision(from), yes: true, conflict: None })
}

/// Removes what has expired, and answers whether it did.
pub(crate) fn purge<D: Delegate>(
    delegate: &mut D,
    fields: &Fields,
    now: Timestamp,
) -> Outcome<Step<bool>, D> {
    let Seen::Expired(expected) = look(delegate, fields, now)? else { return Ok(Step::Done(false)) };
    empty(delegate, fields)?;
    // Where somebody came between, it is gone or stored anew, and a purge has nothing more to do with it.
    Ok(Step::Flush { expected, yes: true, conflict: Some(false) })
}

const REVISION: &str = "the revision is not 8 bytes";
const EXPIRES: &str = "the deadline is no number";
const DATA: &str = "the data is no bytes";
const HALF: &str = "there is no revision beside the data or the deadline";

fn look<D: Delegate>(delegate: &D, fields: &Fields, now: Timestamp) -> Outcome<Seen, D> {
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
        (Ok(expires), Ok(Some(revision))) if is_live(expires, now) => Seen::Live { expires, revision },
        (Ok(_), Ok(Some(revision))) => Seen::Expired(Condition::Revision(revision)),
        // What has expired is absent, whatever else is wrong with it.
        (Ok(Some(expires)), Ok(None)) if !is_live(Some(expires), now) => Seen::Expired(Condition::Absent),
        (Ok(Some(expires)), Err(_)) if !is_live(Some(expires), now) => Seen::Expired(Condition::Any),
        (Err(what), _) | (_, Err(what)) => Seen::Damaged(what),
        (Ok(None), Ok(None)) if delegate.get(&fields.data)?.is_none() => Seen::Nothing,
        (Ok(_), Ok(None)) => Seen::Damaged(HALF),
    })
}

fn data<D: Delegate>(delegate: &D, fields: &Fields) -> Outcome<Bytes, D> {
    match delegate.get(&fields.data)? {
        Some(Value::Bytes(bytes)) => Ok(bytes),
        _ => Err(Trouble::Corrupt(DATA)),
    }
}

fn write<D: Delegate>(delegate: &mut D, fields: &Fields, record: &Record) -> Outcome<(), D> {
    delegate.set(&fields.data, Value::Bytes(record.data.clone()))?;
    set_expires(delegate, fields, record.expires)?;
    set_revision(delegate, fields, record.revision)
}

fn set_expires<D: Delegate>(delegate: &mut D, fields: &Fields, expires: Option<Timestamp>) -> Outcome<(), D> {
    match expires {
        Some(expires) => delegate.set(&fields.expires, Value::Number(expires.as_millis()))?,
        None => delegate.delete(&fields.expires)?,
    }
    Ok(())
}

fn set_revision<D: Delegate>(delegate: &mut D, fields: &Fields, revision: Revision) -> Outcome<(), D> {
    let bytes = Bytes::copy_from_slice(&revision.to_bytes());
    Ok(delegate.set(&fields.revision, Value::Bytes(bytes))?)
}

fn empty<D: Delegate>(delegate: &mut D, fields: &Fields) -> Outcome<(), D> {
    delegate.delete(&fields.data)?;
    delegate.delete(&fields.expires)?;
    Ok(delegate.delete(&fields.revision)?)
}

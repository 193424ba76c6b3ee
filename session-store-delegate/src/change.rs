//! Store, remove and touch: the unit of work between loading an object and flushing it.

use session_core::{Change, ChangeRequest, Condition, Decision, Record, Timestamp, is_live};

use crate::delegate::Delegate;
use crate::error::UnitError;
use crate::fields::{Outcome, REVISION, Stored, data, empty, look, set_state, write};
use crate::mapping::Fields;
use crate::unit::Step;

/// `conditional` says whether the model compares. Where it does not, only changes on `Any` come here.
pub(crate) fn change<D: Delegate>(
    delegate: &mut D,
    fields: &Fields,
    now: Timestamp,
    conditional: bool,
    request: &ChangeRequest,
) -> Outcome<Step<Change>, D> {
    if let ChangeRequest::Store { record, condition: Condition::Any } = request {
        return replace(delegate, fields, now, record);
    }
    let stored = look(delegate, fields, now)?;
    let (expected, yes) = match (request.decide(stored.found(), now), stored) {
        (Decision::Corrupt, Stored::Damaged(field)) => return Err(UnitError::Corrupt(field)),
        (Decision::AlreadyApplied | Decision::AlreadyAbsent, _) => return Ok(Step::Done(Change::Applied)),
        // An expired record is left to the purge.
        (Decision::Delete, Stored::Expired(_)) => return Ok(Step::Done(Change::Applied)),
        // Except one that the purge may never find, because its revision is missing or damaged.
        (Decision::Conflict, Stored::Expired(expected @ (Condition::Any | Condition::Absent)))
            if matches!(request, ChangeRequest::Remove { condition: Condition::Any }) =>
        {
            (expected, Change::Conflict(None))
        }
        (Decision::Conflict, Stored::Live { expires, revision })
            if !matches!(request, ChangeRequest::Touch(_)) =>
        {
            let record = Record { data: data(delegate, fields)?, expires, revision };
            return Ok(Step::Done(Change::Conflict(Some(record))));
        }
        (Decision::Conflict, _) => return Ok(Step::Done(Change::Conflict(None))),
        (_, Stored::Live { revision, .. }) => (Condition::Revision(revision), Change::Applied),
        (_, Stored::Nothing) => (Condition::Absent, Change::Applied),
        // Without a comparison, the flush might overwrite another caller's new record.
        (Decision::Write, Stored::Expired(Condition::Any)) => return Err(UnitError::Corrupt(REVISION)),
        (_, Stored::Expired(expected)) => (expected, Change::Applied),
        (_, Stored::Damaged(_)) => (Condition::Any, Change::Applied),
    };
    match request {
        ChangeRequest::Store { record, .. } if record.is_live(now) => write(delegate, fields, record)?,
        ChangeRequest::Touch(touch) if is_live(touch.deadline, now) => {
            set_state(delegate, fields, touch.deadline, touch.to)?;
        }
        _ => empty(delegate, fields)?,
    }
    let expected = if conditional { expected } else { Condition::Any };
    // Only a removal expects `Any` here. After a conflict another caller has removed the record.
    let conflict = (expected == Condition::Any).then_some(Change::Conflict(None));
    Ok(Step::Flush { expected, yes, conflict })
}

/// A store without a condition. It reads no field and repairs damage.
fn replace<D: Delegate>(
    delegate: &mut D,
    fields: &Fields,
    now: Timestamp,
    record: &Record,
) -> Outcome<Step<Change>, D> {
    let conflict = if record.is_live(now) {
        write(delegate, fields, record)?;
        None
    } else {
        empty(delegate, fields)?;
        Some(Change::Applied)
    };
    Ok(Step::Flush { expected: Condition::Any, yes: Change::Applied, conflict })
}

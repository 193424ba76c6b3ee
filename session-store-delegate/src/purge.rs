//! Removing expired records, one unit of work each.

use session_core::{Operation, Purged, Result, StoreError, StoreErrorKind, Timestamp};

use crate::delegate::Delegate;
use crate::error::before_flush;
use crate::fields::{Outcome, Stored, empty, look};
use crate::mapping::Fields;
use crate::model::Model;
use crate::unit::{Inner, Step, wrong_list};

/// A record that cannot be removed does not stop the purge. The first error is the answer only if nothing was removed;
/// otherwise the next purge meets it.
pub(crate) async fn purge<M: Model>(store: &Inner<M>, limit: usize) -> Result<Purged> {
    let mut purged = Purged::default();
    match purge_into(store, &mut purged, limit).await {
        Err(error) if purged.removed == 0 => Err(error),
        _ => Ok(purged),
    }
}

async fn purge_into<M: Model>(store: &Inner<M>, purged: &mut Purged, limit: usize) -> Result<()> {
    let model = &store.config.model;
    let remove = |delegate: &mut M::Delegate, fields: &Fields, now| remove_expired(delegate, fields, now);
    let mut failed = Ok(());
    let mut after = None;
    loop {
        // One more than may be removed shows whether there is more.
        let left = usize::try_from(purged.removed).map_or(0, |removed| limit.saturating_sub(removed));
        let listed = model.expired(store.now(), after.as_ref(), left.saturating_add(1)).await;
        // If this fails, there may be further expired records.
        purged.more = purged.removed > 0;
        let listed = listed.map_err(|cause| before_flush(model, cause, Operation::Purge))?;
        let listed = listed.ok_or_else(|| StoreError::unsupported(Operation::Purge))?;
        let Some(last) = listed.last().cloned() else { break };
        if after.as_ref() == Some(&last) {
            return Err(wrong_list(Operation::Purge));
        }
        for key in &listed {
            if purged.removed >= limit as u64 {
                purged.more = true;
                return Ok(());
            }
            match store.work(key, Operation::Purge, remove).await {
                Ok(removed) => purged.removed += u64::from(removed),
                // The store does not answer, so the other keys would fail too.
                Err(error)
                    if matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::Timeout) =>
                {
                    purged.more = true;
                    return Err(error);
                }
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        after = Some(last);
    }
    purged.more = false;
    failed
}

/// Answers whether it removed the record.
fn remove_expired<D: Delegate>(delegate: &mut D, fields: &Fields, now: Timestamp) -> Outcome<Step<bool>, D> {
    let Stored::Expired(expected) = look(delegate, fields, now)? else { return Ok(Step::Done(false)) };
    empty(delegate, fields)?;
    // After a conflict the record is gone or new, and does not concern the purge any more.
    Ok(Step::Flush { expected, yes: true, conflict: Some(false) })
}

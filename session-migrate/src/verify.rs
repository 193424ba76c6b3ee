//! `verify`: whether the new store has what the old one has.

use std::pin::pin;

use futures_util::StreamExt as _;
use session_core::{Driver, Key, Record, Result, StoreErrorKind};

use crate::config::VerifyOptions;
use crate::error::{MigrateError, On as _, Side, Sided};
use crate::pair::Pair;
use crate::report::{CopyReport, VerifyReport};
use crate::reservation::real;
use crate::walk::{Walk, at_once};

/// Compares every live record of the old store with the new store's, and reads every record of the new store.
///
/// It changes nothing. Applications may use both stores through [`Migrating`](crate::Migrating) meanwhile: a record that
/// leaves the old store during the comparison is not counted. After a copy with
/// [`Originals::Remove`](crate::Originals::Remove) the old store is empty, so a clean comparison says that nothing was
/// left behind and that all of the new store is readable; the copy itself has compared each record before it removed the
/// old one.
///
/// # Errors
/// [`MigrateError`] where a store fails.
pub async fn verify<O: Driver, N: Driver>(
    old: &O,
    new: &N,
    options: VerifyOptions,
    mut progress: impl FnMut(&VerifyReport) + Send,
) -> Result<VerifyReport, MigrateError> {
    let mut report = VerifyReport::default();
    let pair = Pair { old, new };
    let failed = |error| MigrateError::new(error, None, CopyReport::default());
    for side in [Side::Old, Side::New] {
        let walk = Walk::new(options.prefixes.clone(), options.page, None).on(side);
        let mut walk = walk.map_err(failed)?;
        loop {
            let page = match side {
                Side::Old => walk.next(old).await,
                Side::New => walk.next(new).await,
            };
            let Some(keys) = page.on(side).map_err(failed)? else { break };
            let mut answers = pin!(at_once(keys, options.concurrency, |key| pair.compare(side, key)));
            while let Some(found) = answers.next().await {
                found.map_err(failed)?.count(&mut report);
            }
            progress(&report);
        }
    }
    Ok(report)
}

/// What one key has shown.
enum Comparison {
    Equal,
    Missing,
    OtherData,
    OtherDeadline,
    OtherRevision,
    DamagedOld,
    DamagedNew,
    /// A readable record of the new store.
    InNew,
    /// The record was removed, changed or moved meanwhile.
    Gone,
}

impl Comparison {
    fn of(old: &Record, new: Option<&Record>) -> Self {
        match new {
            None => Self::Missing,
            Some(new) if new.data != old.data => Self::OtherData,
            Some(new) if new.expires != old.expires => Self::OtherDeadline,
            Some(new) if new.revision != old.revision => Self::OtherRevision,
            Some(_) => Self::Equal,
        }
    }

    fn count(&self, report: &mut VerifyReport) {
        let number = match self {
            Self::Equal => &mut report.equal,
            Self::Missing => &mut report.missing,
            Self::OtherData => &mut report.other_data,
            Self::OtherDeadline => &mut report.other_deadline,
            Self::OtherRevision => &mut report.other_revision,
            Self::DamagedOld => &mut report.damaged_old,
            Self::DamagedNew => &mut report.damaged_new,
            Self::InNew => &mut report.in_new,
            Self::Gone => return,
        };
        *number += 1;
    }
}

impl<O: Driver, N: Driver> Pair<'_, O, N> {
    async fn compare(&self, side: Side, key: Key) -> Sided<Comparison> {
        match side {
            Side::Old => self.compare_old(&key).await,
            Side::New => match readable(self.new.retrieve(&key).await).on(Side::New)? {
                Ok(found) => Ok(real(found).map_or(Comparison::Gone, |_| Comparison::InNew)),
                Err(Damaged) => Ok(Comparison::DamagedNew),
            },
        }
    }

    async fn compare_old(&self, key: &Key) -> Sided<Comparison> {
        let old = match readable(self.old.retrieve(key).await).on(Side::Old)? {
            Ok(Some(old)) => old,
            Ok(None) => return Ok(Comparison::Gone),
            Err(Damaged) => return Ok(Comparison::DamagedOld),
        };
        // A damaged record is counted when the new store is read.
        let Ok(new) = readable(self.new.retrieve(key).await).on(Side::New)? else {
            return Ok(Comparison::Gone);
        };
        let found = Comparison::of(&old, real(new).as_ref());
        if matches!(found, Comparison::Equal) {
            return Ok(found);
        }
        // The new record may differ because an application has moved and changed it since the old one was read.
        let still = readable(self.old.retrieve(key).await).on(Side::Old)?;
        Ok(if matches!(still, Ok(Some(still)) if still == old) { found } else { Comparison::Gone })
    }
}

struct Damaged;

/// Separates a damaged record from a store that fails.
fn readable(found: Result<Option<Record>>) -> Result<Result<Option<Record>, Damaged>> {
    match found {
        Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(Err(Damaged)),
        other => other.map(Ok),
    }
}

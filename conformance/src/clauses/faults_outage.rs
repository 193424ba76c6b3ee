//! A backend that is gone, or that the driver may not use: every call does its work or says why not.

use std::collections::BTreeMap;
use std::fmt::Debug;

use session_core::{
    Applied, Change, Condition, Driver, DriverExt, DynDriver, Key, Prefix, Record, StoreError,
    StoreErrorKind, Touch,
};

use crate::common::{expiring, in_time, put, record, recovered, rev};
use crate::failure::{Check, Failure, ensure, unmet};
use crate::level::Requirement;
use crate::role::RoleStage;
use crate::stage::Stage;

const GONE: &[StoreErrorKind] = &[StoreErrorKind::Unavailable, StoreErrorKind::Timeout];
/// A server may also close its door without a word.
const DENIED: &[StoreErrorKind] =
    &[StoreErrorKind::Misconfigured, StoreErrorKind::Unavailable, StoreErrorKind::Timeout];

/// What there may be under each key, after calls of which some failed: several records where it is not known whether a
/// change happened.
#[derive(Default)]
struct Ledger(BTreeMap<Key, Vec<Option<Record>>>);

impl Ledger {
    /// Stores what the trouble is then tried on: one record for each kind of change and round.
    async fn begin(stage: &Stage, driver: &DynDriver, rounds: u64) -> Result<Self, Failure> {
        let mut ledger = Self::default();
        for round in 0..rounds {
            for (number, name) in ["kept", "replaced", "touched", "removed"].iter().enumerate() {
                let key = stage.key(&format!("{name}-{round}"));
                let record = expiring(round * 16 + number as u64 + 1, stage.later());
                put(driver, &key, &record).await?;
                ledger.0.insert(key, vec![Some(record)]);
            }
        }
        Ok(ledger)
    }

    fn record(&self, key: &Key) -> Result<Record, Failure> {
        let known = self.0.get(key).and_then(|states| states.first()).cloned().flatten();
        known.ok_or_else(|| unmet("a record that was stored before", "none"))
    }

    /// Notes what a change to `new` came to.
    fn note<T>(&mut self, key: &Key, new: Option<Record>, answer: &Result<T, StoreError>) {
        let states = self.0.entry(key.clone()).or_insert_with(|| vec![None]);
        match answer {
            Ok(_) => *states = vec![new],
            Err(error) if error.applied() == Applied::No => {}
            Err(_) => states.push(new),
        }
    }

    /// Fails unless everything is as it may be, asking again for a while where a call fails.
    async fn holds(&self, driver: &DynDriver, kinds: &[StoreErrorKind], when: &str) -> Check {
        for (key, states) in &self.0 {
            let found = recovered(kinds, || driver.retrieve(key)).await?;
            ensure(states.contains(&found), format!("{when}, {}: one of {states:?}", key.as_str()), || {
                format!("{found:?}")
            })?;
        }
        Ok(())
    }
}

/// Makes every kind of call, each once, while something is wrong. Gives how many of them failed.
async fn try_everything(
    stage: &Stage,
    driver: &DynDriver,
    ledger: &mut Ledger,
    kinds: &[StoreErrorKind],
    round: u64,
) -> Result<usize, Failure> {
    let mut failed = 0;
    let key = |name: &str| stage.key(&format!("{name}-{round}"));

    let kept = ledger.record(&key("kept"))?;
    let answer = in_time(driver.retrieve(&key("kept"))).await?;
    served(&answer, kinds, &mut failed, "retrieving what is stored", |found| *found == Some(kept.clone()))?;
    let answer = in_time(driver.retrieve(&key("never-stored"))).await?;
    served(&answer, kinds, &mut failed, "retrieving what is not stored", |found| found.is_none())?;

    let new = record(round * 16 + 9);
    let answer = in_time(driver.store(&key("new"), new.clone(), Condition::Absent)).await?;
    served(&answer, kinds, &mut failed, "creating a record", Change::is_applied)?;
    ledger.note(&key("new"), Some(new), &answer);

    let (old, new) = (ledger.record(&key("replaced"))?, record(round * 16 + 10));
    let at = Condition::Revision(old.revision);
    let answer = in_time(driver.store(&key("replaced"), new.clone(), at)).await?;
    served(&answer, kinds, &mut failed, "replacing a record", Change::is_applied)?;
    ledger.note(&key("replaced"), Some(new), &answer);

    let old = ledger.record(&key("touched"))?;
    let new = Record { revision: rev(round * 16 + 11), ..old.clone() };
    let answer = in_time(
        driver.touch(&key("touched"), Touch { from: old.revision, to: new.revision, deadline: old.expires }),
    )
    .await?;
    served(&answer, kinds, &mut failed, "touching a record", |touched| *touched)?;
    ledger.note(&key("touched"), Some(new), &answer);

    let answer = in_time(driver.remove(&key("removed"), Condition::Any)).await?;
    served(&answer, kinds, &mut failed, "removing a record", Change::is_applied)?;
    ledger.note(&key("removed"), None, &answer);

    if !stage.lacks(Requirement::Traverse) {
        let answer = in_time(driver.count(&Prefix::SESSION)).await?;
        let least = ledger.0.values().filter(|states| states.iter().all(Option::is_some)).count() as u64;
        served(&answer, kinds, &mut failed, "counting", |count| *count >= least)?;
    }
    if !stage.lacks(Requirement::Purge) {
        let answer = in_time(driver.purge(10)).await?;
        served(&answer, kinds, &mut failed, "purging", |purged| purged.removed == 0)?;
    }
    let answer = in_time(driver.flush()).await?;
    served(&answer, kinds, &mut failed, "flushing", |()| true)?;
    Ok(failed)
}

fn served<T: Debug>(
    answer: &Result<T, StoreError>,
    kinds: &[StoreErrorKind],
    failed: &mut usize,
    what: &str,
    right: impl FnOnce(&T) -> bool,
) -> Check {
    match answer {
        Ok(answer) if right(answer) => Ok(()),
        Err(error) if kinds.contains(&error.kind()) => {
            *failed += 1;
            Ok(())
        }
        other => Err(unmet(format!("{what} is done, or fails as one of {kinds:?}"), format!("{other:?}"))),
    }
}

pub(crate) async fn f04_outage_is_served_or_a_typed_error(stage: &Stage) -> Check {
    let stage = Stage::alone(std::sync::Arc::clone(&stage.context)).await?;
    let (driver, other) = (stage.open().await?, stage.open().await?);
    let mut ledger = Ledger::begin(&stage, &driver, 2).await?;
    driver.flush().await?;
    stage.start_outage().await?;
    let tried = async {
        let failed = try_everything(&stage, &driver, &mut ledger, GONE, 0).await?;
        Ok::<_, Failure>(failed + try_everything(&stage, &other, &mut ledger, GONE, 1).await?)
    };
    let failed = tried.await;
    stage.end_outage().await?;
    if failed? == 0 {
        return Err(Failure::Harness("every call was served: start_outage() took nothing away".into()));
    }
    ledger.holds(&driver, GONE, "once the backend is back").await
}

pub(crate) async fn f05_handle_recovers_after_outage(stage: &Stage) -> Check {
    let stage = Stage::alone(std::sync::Arc::clone(&stage.context)).await?;
    let (used, idle) = (stage.open().await?, stage.open().await?);
    let mut ledger = Ledger::begin(&stage, &used, 2).await?;
    for round in 0..2 {
        used.flush().await?;
        stage.start_outage().await?;
        // Calls that meet the outage, so that whatever they do to the handle is done.
        let tried = try_everything(&stage, &used, &mut ledger, GONE, round).await;
        stage.end_outage().await?;
        tried?;
        for (number, driver) in [&used, &idle].into_iter().enumerate() {
            ledger.holds(driver, GONE, "once the backend is back").await?;
            let (key, new) = (stage.key(&format!("after-{round}-{number}")), record(round * 16 + 12));
            let answer = recovered(GONE, || driver.store(&key, new.clone(), Condition::Absent)).await?;
            ensure(answer.is_applied(), "a new record, once the backend is back", || format!("{answer:?}"))?;
            ledger.0.insert(key, vec![Some(new)]);
        }
    }
    Ok(())
}

/// Runs a program as root without the rights by which root passes over the modes of files.
const BOUND_BY_MODES: &[&str] = &["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"];

pub(crate) async fn f08_lost_permission_is_a_typed_error(stage: &Stage) -> Check {
    let wrapper = if is_root() { BOUND_BY_MODES } else { &[] };
    let mut child = stage.wrapped_child("denied", &[], wrapper).map_err(|failure| match failure {
        Failure::Harness(text) => {
            Failure::Harness(format!("root is tried under setpriv (util-linux): {text}"))
        }
        other => other,
    })?;
    child.ready().await?;
    child.go()?;
    child.finish().await.map(drop)
}

/// Whether the modes of files do not bind this process. Where there is no such file to ask they are taken to bind it; if
/// they do not, nothing is denied, and that is trouble.
fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .any(|line| line.strip_prefix("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0")))
}

/// The role of F08: loses the permission, tries everything, gets it back.
pub(crate) async fn denied(role: &RoleStage) -> Check {
    let stage = &role.stage;
    let driver = stage.open().await?;
    let mut ledger = Ledger::begin(stage, &driver, 2).await?;
    role.ready().await;
    stage.revoke_access().await?;
    let tried = async {
        let failed = try_everything(stage, &driver, &mut ledger, DENIED, 0).await?;
        // Files that are open stay open; then it is a new handle that shows whether anything was denied.
        Ok::<_, Failure>(match stage.open().await {
            Ok(anew) => failed + try_everything(stage, &anew, &mut ledger, DENIED, 1).await?,
            Err(_) => failed + 1,
        })
    };
    let failed = tried.await;
    stage.restore_access().await?;
    if failed? == 0 {
        return Err(Failure::Harness("every call was served: deny() denied nothing".into()));
    }
    ledger.holds(&driver, DENIED, "once the permission is back").await?;
    let (key, new) = (stage.key("after"), record(7));
    let answer = recovered(DENIED, || driver.store(&key, new.clone(), Condition::Absent)).await?;
    ensure(answer.is_applied(), "a new record, once the permission is back", || format!("{answer:?}"))
}

//! A backend that is away, or that the driver may not use: every call is served or fails with a typed error.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use session_core::{Applied, Touch};

use crate::common::*;
use crate::harness::Kind;
use crate::level::Requirement;
use crate::role::RoleStage;
use crate::testing::Shortage;

const GONE: &[StoreErrorKind] = &[StoreErrorKind::Unavailable, StoreErrorKind::Timeout];
/// A server may also close the connection silently.
const DENIED: &[StoreErrorKind] =
    &[StoreErrorKind::Misconfigured, StoreErrorKind::Unavailable, StoreErrorKind::Timeout];

/// The possible records of each key after calls that may have failed: several if a change may or may not have happened.
struct Ledger {
    states: BTreeMap<Key, Vec<Option<Record>>>,
    recovery: Duration,
}

impl Ledger {
    /// Stores one record for each kind of change and round.
    async fn begin(stage: &Stage, driver: &DynDriver, rounds: u64) -> Result<Self, Failure> {
        let mut ledger = Self { states: BTreeMap::new(), recovery: stage.recovery() };
        for round in 0..rounds {
            for (number, name) in ["kept", "replaced", "touched", "removed"].iter().enumerate() {
                let key = stage.key(&format!("{name}-{round}"));
                let record = expiring(round * 16 + number as u64 + 1, stage.later());
                put(driver, &key, &record).await?;
                ledger.states.insert(key, vec![Some(record)]);
            }
        }
        Ok(ledger)
    }

    fn record(&self, key: &Key) -> Result<Record, Failure> {
        let known = self.states.get(key).and_then(|states| states.first()).cloned().flatten();
        known.ok_or_else(|| unmet("a record that was stored before", "none"))
    }

    /// Notes the answer of a change to `new`.
    fn note<T>(&mut self, key: &Key, new: Option<Record>, answer: &Result<T, StoreError>) {
        let states = self.states.entry(key.clone()).or_insert_with(|| vec![None]);
        match answer {
            Ok(_) => *states = vec![new],
            Err(error) if error.applied() == Applied::No => {}
            Err(_) => states.push(new),
        }
    }

    /// Fails unless every key has a possible record. Retries failed calls.
    async fn holds(&self, driver: &DynDriver, kinds: &[StoreErrorKind], when: &str) -> Check {
        for (key, states) in &self.states {
            let found = recovered(self.recovery, kinds, || driver.retrieve(key)).await?;
            ensure(states.contains(&found), format!("{when}, {}: one of {states:?}", key.as_str()), &found)?;
        }
        Ok(())
    }
}

/// Makes every kind of call once, all at the same time, during a failure. Returns how many of them failed.
async fn try_everything(
    stage: &Stage,
    driver: &DynDriver,
    ledger: &mut Ledger,
    kinds: &[StoreErrorKind],
    round: u64,
) -> Result<usize, Failure> {
    let key = |name: &str| stage.key(&format!("{name}-{round}"));
    let kept = Some(ledger.record(&key("kept"))?);
    let old = (ledger.record(&key("replaced"))?, ledger.record(&key("touched"))?);
    let (created, replaced) = (record(round * 16 + 9), record(round * 16 + 10));
    let touched = Record { revision: rev(round * 16 + 11), ..old.1.clone() };
    let touch = Touch { from: old.1.revision, to: touched.revision, deadline: touched.expires };
    let sure = |ledger: &Ledger| -> Vec<Key> {
        let sure = ledger.states.iter().filter(|(_, states)| states.iter().all(Option::is_some));
        sure.map(|(key, _)| key.clone()).collect()
    };
    let before = sure(ledger);

    let keys = ["kept", "never-stored", "new", "replaced", "touched", "removed"].map(key);
    let answers = tokio::join!(
        in_time(driver.retrieve(&keys[0])),
        in_time(driver.retrieve(&keys[1])),
        in_time(driver.store(&keys[2], created.clone(), Condition::Absent)),
        in_time(driver.store(&keys[3], replaced.clone(), Condition::Revision(old.0.revision))),
        in_time(driver.touch(&keys[4], touch)),
        in_time(driver.remove(&keys[5], Condition::Any)),
        in_time(driver.flush()),
        in_time(driver.count(&Prefix::SESSION)),
        in_time(driver.purge(10)),
    );

    let (created_answer, replaced_answer) = (answers.2?, answers.3?);
    let (touched_answer, removed_answer) = (answers.4?, answers.5?);
    ledger.note(&keys[2], Some(created), &created_answer);
    ledger.note(&keys[3], Some(replaced), &replaced_answer);
    ledger.note(&keys[4], Some(touched), &touched_answer);
    ledger.note(&keys[5], None, &removed_answer);
    let after = sure(ledger);
    let least = before.iter().filter(|key| after.contains(key)).count() as u64;

    let mut failed = 0;
    served(&answers.0?, kinds, &mut failed, "retrieving a stored record", |found| *found == kept)?;
    served(&answers.1?, kinds, &mut failed, "retrieving an unknown key", |found| found.is_none())?;
    served(&created_answer, kinds, &mut failed, "creating a record", Change::is_applied)?;
    served(&replaced_answer, kinds, &mut failed, "replacing a record", Change::is_applied)?;
    served(&touched_answer, kinds, &mut failed, "touching a record", |touched| *touched)?;
    served(&removed_answer, kinds, &mut failed, "removing a record", Change::is_applied)?;
    served(&answers.6?, kinds, &mut failed, "flushing", |()| true)?;
    if !stage.lacks(Requirement::Traverse) {
        served(&answers.7?, kinds, &mut failed, "counting", |count| *count >= least)?;
    }
    if !stage.lacks(Requirement::Purge) {
        served(&answers.8?, kinds, &mut failed, "purging", |purged| purged.removed == 0)?;
    }
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
        other => Err(unmet(format!("{what} succeeds, or fails with one of {kinds:?}"), format!("{other:?}"))),
    }
}

pub(crate) async fn f04_outage_is_served_or_a_typed_error(stage: &Stage) -> Check {
    let stage = stage.fresh(Kind::Isolated).await?;
    let (driver, other) = (stage.open().await?, stage.open().await?);
    let mut ledger = Ledger::begin(&stage, &driver, 2).await?;
    driver.flush().await?;
    stage.storage.start_outage().await?;
    let tried = async {
        let failed = try_everything(&stage, &driver, &mut ledger, GONE, 0).await?;
        Ok::<_, Failure>(failed + try_everything(&stage, &other, &mut ledger, GONE, 1).await?)
    };
    let failed = tried.await;
    stage.storage.end_outage().await?;
    if failed? == 0 {
        return Err(Failure::Harness(
            "every call was served: start_outage() did not stop the backend".into(),
        ));
    }
    ledger.holds(&driver, GONE, "after the outage").await
}

pub(crate) async fn f05_handle_recovers_after_outage(stage: &Stage) -> Check {
    let stage = stage.fresh(Kind::Isolated).await?;
    let (used, idle) = (stage.open().await?, stage.open().await?);
    let mut ledger = Ledger::begin(&stage, &used, 2).await?;
    for round in 0..2 {
        used.flush().await?;
        stage.storage.start_outage().await?;
        // Makes calls during the outage, because they may break the handle.
        let tried = try_everything(&stage, &used, &mut ledger, GONE, round).await;
        stage.storage.end_outage().await?;
        tried?;
        for (number, driver) in [&used, &idle].into_iter().enumerate() {
            ledger.holds(driver, GONE, "after the outage").await?;
            let (key, new) = (stage.key(&format!("after-{round}-{number}")), record(round * 16 + 12));
            works_again(&stage, driver, GONE, &key, &new).await?;
            ledger.states.insert(key, vec![Some(new)]);
        }
    }
    Ok(())
}

/// Fails unless the handle creates a record within the time that it has to recover.
async fn works_again(
    stage: &Stage,
    driver: &DynDriver,
    kinds: &[StoreErrorKind],
    key: &Key,
    new: &Record,
) -> Check {
    let create = || driver.store(key, new.clone(), Condition::Absent);
    yes(&recovered(stage.recovery(), kinds, create).await?, "a new record, after the failure")
}

/// Runs a program as root without the rights by which root ignores file modes.
const BOUND_BY_MODES: &[&str] = &["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"];

pub(crate) async fn f08_lost_permission_is_a_typed_error(stage: &Stage) -> Check {
    let wrapper = if is_root() { BOUND_BY_MODES } else { &[] };
    let mut child = stage.child("denied", &[], wrapper).map_err(|failure| match failure {
        Failure::Harness(text) => {
            Failure::Harness(format!("install setpriv (util-linux) to run this clause as root: {text}"))
        }
        other => other,
    })?;
    child.begin().await?;
    child.finish().await.map(drop)
}

/// Whether this process ignores file modes. Without `/proc` the answer is `false`; if that is wrong, no call fails, and
/// the clause reports the harness.
fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
}

/// The role of F08: loses the permission, tries everything, gets it back.
pub(crate) async fn denied(role: &RoleStage) -> Check {
    let stage = &role.stage;
    let driver = stage.open().await?;
    let mut ledger = Ledger::begin(stage, &driver, 2).await?;
    role.ready().await;
    stage.storage.revoke_access().await?;
    let tried = async {
        let failed = try_everything(stage, &driver, &mut ledger, DENIED, 0).await?;
        // Open files stay open, so only a new handle shows whether the right is gone.
        Ok::<_, Failure>(match stage.open().await {
            Ok(anew) => failed + try_everything(stage, &anew, &mut ledger, DENIED, 1).await?,
            Err(_) => failed + 1,
        })
    };
    let failed = tried.await;
    stage.storage.restore_access().await?;
    if failed? == 0 {
        return Err(Failure::Harness(
            "every call was served: revoke_access() did not take the right away".into(),
        ));
    }
    ledger.holds(&driver, DENIED, "after the right is back").await?;
    works_again(stage, &driver, DENIED, &stage.key("after"), &record(7)).await
}

pub(crate) async fn f10_shortage_of_descriptors_passes(stage: &Stage) -> Check {
    stage.started("short", &[]).await?.finish().await.map(drop)
}

/// Calls the driver while this process can open no file, and then again.
pub(crate) async fn short(role: &RoleStage) -> Check {
    let (driver, key) = role.stage.open_one().await?;
    put(&driver, &key, &record(1)).await?;
    role.ready().await;
    for number in 2..5 {
        let shortage = Shortage::begin();
        if let Some(found) = passing(in_time(driver.retrieve(&key)).await?)? {
            ensure(found.is_some(), "a retrieve finds the record, while no file can be opened", &found)?;
        }
        let fresh = role.stage.key(&format!("fresh-{number}"));
        passing(in_time(driver.store(&fresh, record(number), Condition::Any)).await?)?;
        passing(in_time(driver.remove(&fresh, Condition::Any)).await?)?;
        passing(in_time(driver.flush()).await?)?;
        passing(in_time(driver.traverse(&Prefix::SESSION, Cursor::start(), 5)).await?)?;
        if let Err(Failure::Harness(text)) = role.stage.open().await {
            let kinds = [StoreErrorKind::Unavailable, StoreErrorKind::Timeout].map(|kind| kind.to_string());
            let open = "opening a handle works or is `Unavailable`, while no file can be opened";
            ensure(kinds.iter().any(|kind| text.contains(kind)), open, text)?;
        }
        drop(shortage);
        let kinds = [StoreErrorKind::Unavailable, StoreErrorKind::Timeout];
        recovered(role.stage.recovery(), &kinds, || driver.flush()).await?;
        set(&driver, &key, &record(number)).await?;
        holds(&driver, &key, &record(number), "after the shortage").await?;
    }
    Ok(())
}

/// The answer of a call, or `None` for a failure that passes by itself.
fn passing<T>(answer: Result<T, StoreError>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_retryable() || error.kind() == StoreErrorKind::Unsupported => Ok(None),
        Err(error) => Err(unmet(
            "a call succeeds or is `Unavailable`, while no file can be opened",
            format!("{error:?}"),
        )),
    }
}

/// How long a lost file may stay unnoticed. The clause says a second; the rest is for a busy machine.
const NOTICED: Duration = Duration::from_secs(5);

pub(crate) async fn f11_lost_files_are_noticed(stage: &Stage) -> Check {
    let stage = stage.fresh(Kind::Isolated).await?;
    let (driver, key) = stage.open_one().await?;
    put(&driver, &key, &record(1)).await?;
    driver.flush().await?;
    for (number, replace) in [(2, false), (3, true)] {
        stage.storage.take_away(replace).await?;
        let tried = lost(&stage, &driver, &key, number).await;
        stage.storage.put_back().await?;
        tried?;
        // The driver may find out as late as it noticed the loss.
        let found = recovered(stage.recovery(), GONE, || driver.retrieve(&key)).await?;
        ensure(found.is_some(), "a retrieve finds the record once the files are back", &found)?;
        recovered(stage.recovery(), GONE, || driver.flush()).await?;
        works_again(&stage, &driver, GONE, &stage.key(&format!("after-{number}")), &record(9)).await?;
    }
    // A close says so too, and loses nothing that a flush has promised.
    stage.storage.take_away(false).await?;
    let closed = gone(&in_time(driver.close()).await?, "closing a store without files");
    stage.storage.put_back().await?;
    closed?;
    drop(driver);
    switched_link(&stage).await
}

/// The path leads through a symbolic link that is switched to another store, as a deploy does. A driver that finds every
/// record by its path uses the other store from then on.
async fn switched_link(stage: &Stage) -> Check {
    let (mine, other) = (stage.fresh(Kind::Isolated).await?, stage.fresh(Kind::Isolated).await?);
    let (key, foreign) = (stage.key("mine"), stage.key("of-another"));
    for (storage, key) in [(&mine, &key), (&other, &foreign)] {
        let driver = storage.open().await?;
        put(&driver, key, &record(5)).await?;
        driver.close().await?;
    }
    let trouble = |cause: std::io::Error| Failure::Harness(format!("a symbolic link: {cause}"));
    let home = tempfile::tempdir().map_err(trouble)?;
    let link = home.path().join("link");
    let lead_to = |target: &Stage| {
        let address = target.storage.address();
        let missing =
            || Failure::Harness("the harness has no address(), which is the path of the files".into());
        let next = home.path().join("next");
        let made = std::os::unix::fs::symlink(address.ok_or_else(missing)?, &next);
        made.and_then(|()| std::fs::rename(&next, &link)).map_err(trouble)
    };
    lead_to(&mine)?;
    let linked = Stage::attached(Arc::clone(&stage.context), &link.to_string_lossy(), stage.now())?;
    let driver = linked.reopen().await?;
    let found = driver.retrieve(&key).await?;
    ensure(found.is_some(), "the record, through a link", &found)?;
    lead_to(&other)?;
    let noticed = async {
        loop {
            match driver.retrieve(&key).await {
                Ok(Some(_)) => nap(Duration::from_millis(5)).await,
                Ok(None) => return Ok(()),
                other => return gone(&other, "retrieving a record through a link that leads elsewhere"),
            }
        }
    };
    let late =
        |_| unmet("a switched link is noticed within a second", format!("all is well after {NOTICED:?}"));
    tokio::time::timeout(NOTICED, noticed).await.map_err(late)??;
    let fresh = stage.key("through-the-link");
    let stored = driver.store(&fresh, record(6), Condition::Any).await;
    if stored.is_err() {
        gone(&stored, "storing through a link that leads elsewhere")?;
    }
    lead_to(&mine)?;
    let found = recovered(stage.recovery(), GONE, || driver.retrieve(&key)).await?;
    ensure(found.is_some(), "the record, once the link leads back", &found)?;
    // It was refused, or it went to the other store.
    let found = recovered(stage.recovery(), GONE, || driver.retrieve(&fresh)).await?;
    ensure(found.is_none(), "no record of the time in which the link led elsewhere", (stored, found))
}

/// Waits until the driver notices that its files are gone, and then makes every kind of call.
async fn lost(stage: &Stage, driver: &DynDriver, key: &Key, number: u64) -> Check {
    // Without a flush in the first round, which may notice at once.
    if number > 2 {
        gone(&in_time(driver.flush()).await?, "flushing a store without files")?;
    }
    let noticed = async {
        loop {
            match driver.retrieve(key).await {
                Ok(Some(_)) => nap(Duration::from_millis(5)).await,
                other => return gone(&other, "retrieving a record of a store without files"),
            }
        }
    };
    let late = |_| unmet("a lost file is noticed within a second", format!("calls succeed for {NOTICED:?}"));
    tokio::time::timeout(NOTICED, noticed).await.map_err(late)??;
    let fresh = stage.key(&format!("fresh-{number}"));
    let touch = Touch { from: rev(1), to: rev(number), deadline: None };
    gone(&in_time(driver.retrieve(&fresh)).await?, "retrieving an unknown key")?;
    gone(&in_time(driver.store(&fresh, record(number), Condition::Any)).await?, "storing")?;
    gone(&in_time(driver.touch(key, touch)).await?, "touching")?;
    gone(&in_time(driver.remove(key, Condition::Any)).await?, "removing")?;
    gone(&in_time(driver.flush()).await?, "flushing")?;
    if !stage.lacks(Requirement::Traverse) {
        gone(&in_time(driver.traverse(&Prefix::SESSION, Cursor::start(), 5)).await?, "traversing")?;
    }
    if !stage.lacks(Requirement::Purge) {
        gone(&in_time(driver.purge(5)).await?, "purging")?;
    }
    Ok(())
}

fn gone<T: Debug>(answer: &Result<T, StoreError>, what: &str) -> Check {
    let refused = |error: &StoreError| GONE.contains(&error.kind()) && error.applied() == Applied::No;
    let right = answer.as_ref().is_err_and(refused);
    ensure(right, format!("{what} is `Unavailable` and changes nothing"), format!("{answer:?}"))
}

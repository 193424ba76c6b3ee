//! A store without room.

use std::time::Duration;

use session_core::{Applied, Survives};

use crate::common::*;
use crate::harness::Kind;
use crate::level::Requirement;

/// The size of the records that fill a store, in bytes.
const SIZE: usize = 16 << 10;
/// How many of them fit into storage of `create_bounded`: minimum and maximum.
const LEAST: usize = 20;
const MOST: usize = 2_000;

fn large(number: u64) -> Record {
    Record::new(sized(number, SIZE), None, rev(number))
}

fn key(stage: &Stage, number: u64) -> Key {
    stage.key(&format!("large-{number}"))
}

/// Bounded storage, a handle on it, and the number of records that filled it.
async fn filled(context: &Stage) -> Result<(Stage, DynDriver, u64), Failure> {
    let stage = context.fresh(Kind::Bounded).await?;
    let driver = stage.open().await?;
    for number in 0..=MOST as u64 {
        if !taken(driver.store(&key(&stage, number), large(number), Condition::Absent).await)? {
            let room = format!("create_bounded() has room for {LEAST} records of {SIZE} bytes");
            ensure(number as usize >= LEAST, room, format_args!("`Full` after {number}"))?;
            absent(&driver, &key(&stage, number), "a record that was refused").await?;
            return Ok((stage, driver, number));
        }
        holds(&driver, &key(&stage, number), &large(number), "a record that a store has just taken").await?;
    }
    Err(Failure::Harness(format!("the storage of create_bounded() has room for {MOST} records")))
}

/// Whether a change was made; `Full` must change nothing.
fn taken(answer: Result<Change, StoreError>) -> Result<bool, Failure> {
    match answer {
        Ok(Change::Applied) => Ok(true),
        Err(error) if error.kind() == StoreErrorKind::Full && error.applied() == Applied::No => Ok(false),
        other => Err(unmet(
            "a change of a full store is `Applied`, or `Full` with `Applied::No`",
            format!("{other:?}"),
        )),
    }
}

pub(crate) async fn f06_full_store_keeps_its_records(stage: &Stage) -> Check {
    let (stage, driver, count) = filled(stage).await?;
    for number in 0..count {
        holds(&driver, &key(&stage, number), &large(number), "a record of a full store").await?;
    }
    let mut there = Vec::new();
    // Replacing a record by a larger one leaves the old record or, if it fits, the new one.
    for number in 0..10 {
        let (place, grown) = (key(&stage, number), sized(number + 10_000, 2 * SIZE));
        let new = Record::new(grown, None, rev(number + 10_000));
        let at = Condition::Revision(rev(number));
        let now = if taken(driver.store(&place, new.clone(), at).await)? { new } else { large(number) };
        holds(&driver, &place, &now, "a record that was to be replaced in a full store").await?;
        there.push((place, now));
    }
    for number in 10..LEAST as u64 {
        let place = key(&stage, number);
        let touch = touching(number, number + 20_000, Some(stage.later()));
        let touched = driver.touch(&place, touch).await;
        let touched = touched.map(|done| if done { Change::Applied } else { Change::Conflict(None) });
        let now = match taken(touched)? {
            true => Record { expires: touch.deadline, revision: touch.to, ..large(number) },
            false => large(number),
        };
        holds(&driver, &place, &now, "a record that was to be touched in a full store").await?;
        there.push((place, now));
    }
    if !stage.lacks(Requirement::Traverse) {
        let found = keys_of(&walk(&driver, &Prefix::SESSION, 16).await?);
        equal("how many keys a traversal of a full store reports", &(found.len() as u64), &count)?;
    }
    there.extend((LEAST as u64..count).map(|number| (key(&stage, number), large(number))));
    served(driver.flush().await, "a flush of a full store")?;
    if !stage.lacks(Requirement::Purge) {
        served(driver.purge(1_000).await, "a purge of a full store")?;
    }
    let fresh = stage.reopen().await?;
    hold_these(&fresh, &there, "a full store in another handle").await?;
    if driver.capabilities().survives < Survives::Close {
        return Ok(());
    }
    served(fresh.close().await, "the close of a full store")?;
    served(driver.close().await, "the close of its last handle")?;
    drop((fresh, driver));
    let again = match stage.open().await {
        Ok(driver) => driver,
        // The kind is lost in the harness; its text is there.
        Err(Failure::Harness(text)) => {
            let full = StoreErrorKind::Full.to_string();
            ensure(text.contains(&full), "a full store opens, or fails with `Full`", text)?;
            ensure(
                stage.storage.free_space().await?,
                "a full store opens, or opens after free_space()",
                "`Full`",
            )?;
            stage.reopen().await?
        }
        Err(failure) => return Err(failure),
    };
    hold_these(&again, &there, "a full store after it was closed").await
}

async fn hold_these(driver: &DynDriver, records: &[(Key, Record)], what: &str) -> Check {
    for (place, record) in records {
        holds(driver, place, record, what).await?;
    }
    Ok(())
}

/// A call that stores nothing of a caller is served, or says that the store is full.
fn served<T: std::fmt::Debug>(answer: session_core::Result<T>, what: &str) -> Check {
    match answer {
        Err(error) if error.kind() != StoreErrorKind::Full => {
            Err(unmet(format!("{what} is served or fails with `Full`"), format!("{error:?}")))
        }
        _ => Ok(()),
    }
}

pub(crate) async fn f07_full_store_recovers_when_freed(stage: &Stage) -> Check {
    let (stage, driver, count) = filled(stage).await?;
    let mut progress = Progress::default();
    let to_remove = count / 2;
    for number in 0..to_remove {
        let place = key(&stage, number);
        let removal = || driver.remove(&place, Condition::Revision(rev(number)));
        if !taken(in_time(removal()).await?)? {
            // An engine that needs room for a removal must have changed nothing.
            holds(&driver, &place, &large(number), "a record that was to be removed from a full store")
                .await?;
            let freed = progress.free_space(&stage).await?;
            progress.ensure(freed, "a full store takes a removal, or one after free_space()")?;
            let fits = fits_within(stage.recovery(), removal).await?;
            let limit = stage.recovery().as_secs();
            let what = format!("removal {} of {to_remove} succeeds within {limit} s", number + 1);
            progress.ensure(fits, what)?;
        }
        absent(&driver, &place, "removed from a full store").await?;
        progress.removals += 1;
    }
    unless_unsupported(driver.purge(1_000).await)?;
    let place = stage.key("probe");
    if fits_within(REUSE, || driver.store(&place, large(40_000), Condition::Any)).await? {
        yes(&driver.remove(&place, Condition::Any).await?, "a removal of a record that fits")?;
    } else {
        let freed = progress.free_space(&stage).await?;
        progress.ensure(freed, "room for a record after removals, or after free_space()")?;
    }
    // Only half of the removed records, because an engine may need room for itself.
    let to_store = to_remove / 2;
    for number in 0..to_store {
        let (place, new) = (key(&stage, number), large(number + 30_000));
        let store = || driver.store(&place, new.clone(), Condition::Absent);
        let mut fits = fits_within(REUSE, store).await?;
        if !fits {
            // Also if the harness frees nothing: the engine may need more time.
            progress.free_space(&stage).await?;
            fits = fits_within(stage.recovery(), store).await?;
        }
        let limit = stage.recovery().as_secs();
        progress.ensure(fits, format!("record {} of {to_store} is stored within {limit} s", number + 1))?;
        holds(&driver, &place, &new, "a record stored where there is room again").await?;
    }
    for number in to_remove..count {
        holds(&driver, &key(&stage, number), &large(number), "a record that was there all the time").await?;
    }
    Ok(())
}

/// How long a store may be `Full` after removals before the harness has to free space. An engine may give the room of
/// removed records back much later, such as at a vacuum.
const REUSE: Duration = Duration::from_secs(1);

/// What has happened to the full store, for messages.
#[derive(Default)]
struct Progress {
    removals: u64,
    /// The last answer of `free_space`, if it was called.
    freed: Option<bool>,
}

impl Progress {
    async fn free_space(&mut self, stage: &Stage) -> Result<bool, Failure> {
        let freed = stage.storage.free_space().await?;
        self.freed = Some(freed);
        Ok(freed)
    }

    /// Fails with `Full` and the progress unless `fits`.
    fn ensure(&self, fits: bool, expected: impl std::fmt::Display) -> Check {
        let freed = match self.freed {
            None => "free_space() was not called",
            Some(false) => "free_space() was called and returned false",
            Some(true) => "free_space() was called and returned true",
        };
        let actual = format_args!("`Full` after {} removals; {freed}", self.removals);
        ensure(fits, expected, actual)
    }
}

/// Repeats a change of a full store until it is made. Returns whether that happened within `limit`.
async fn fits_within<F, Fut>(limit: Duration, mut change: F) -> Result<bool, Failure>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Change, StoreError>>,
{
    let end = tokio::time::Instant::now() + limit;
    while !taken(in_time(change()).await?)? {
        if tokio::time::Instant::now() >= end {
            return Ok(false);
        }
        nap(Duration::from_millis(50)).await;
    }
    Ok(true)
}

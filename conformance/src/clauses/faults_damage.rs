//! Level faults: damaged records.

use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use session_core::Applied;

use crate::common::*;
use crate::harness::FileRange;
use crate::level::Requirement;

/// The number of intact records beside the damaged one.
const NEIGHBOURS: usize = 5;

async fn store_neighbours(stage: &Stage, driver: &DynDriver) -> Check {
    put_all(driver, &stage.keys("neighbour", NEIGHBOURS), &record(1)).await
}

async fn neighbours_live(stage: &Stage, driver: &DynDriver) -> Check {
    let neighbours = stage.keys("neighbour", NEIGHBOURS);
    hold_all(driver, &neighbours, &record(1), "a neighbour of a damaged record").await
}

pub(crate) async fn f01_damaged_record_is_corrupt(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let key = stage.key("damaged");
    store_neighbours(stage, &driver).await?;
    put(&driver, &key, &record(77)).await?;
    stage.storage.damage(&key).await?;
    for _ in 0..2 {
        fails(driver.retrieve(&key).await, StoreErrorKind::Corrupt, "retrieving a damaged record")?;
    }
    neighbours_live(stage, &driver).await?;
    let other = stage.key("neighbour-0");
    let answer = driver.store(&other, record(9), Condition::Any).await?;
    yes(&answer, "a store next to a damaged record")?;
    if driver.capabilities().conditional {
        changes_leave_damage(stage, &driver, &key).await?;
    }
    fails(driver.retrieve(&key).await, StoreErrorKind::Corrupt, "retrieving the damaged record again")
}

/// A change on a condition never conflicts with nothing, and replaces nothing that it has not compared with.
async fn changes_leave_damage(stage: &Stage, driver: &DynDriver, key: &Key) -> Check {
    for condition in [Condition::Absent, Condition::Revision(rev(5))] {
        let stored = driver.store(key, record(6), condition).await;
        ensure(is_refused(&stored), "a store over a damaged record is `Corrupt`", (condition, stored))?;
        let removed = driver.remove(key, condition).await;
        ensure(is_refused(&removed), "a removal of a damaged record is `Corrupt`", (condition, removed))?;
    }
    // No record comes with the answer to a touch, so a driver that can read the revision need not read the data.
    let touched = driver.touch(key, touching(5, 6, None)).await;
    ensure(matches!(touched, Ok(false)) || is_refused(&touched), "no touch at another revision", &touched)?;
    // At the record's own revision, which a driver may still be able to read.
    let own = Condition::Revision(rev(77));
    let touched = driver.touch(key, touching(77, 77, None)).await;
    ensure(matches!(touched, Ok(true)) || is_refused(&touched), "a touch at its revision", &touched)?;
    fails(driver.retrieve(key).await, StoreErrorKind::Corrupt, "retrieving a damaged record after changes")?;
    let touched = driver.touch(key, touching(77, 79, None)).await;
    if is_refused(&touched) {
        fails(driver.retrieve(key).await, StoreErrorKind::Corrupt, "retrieving it after a refused touch")?;
    } else {
        ensure(matches!(touched, Ok(true)), "a touch at its revision is made or `Corrupt`", &touched)?;
        // A touch keeps the data, and with it the damage.
        fails(driver.retrieve(key).await, StoreErrorKind::Corrupt, "retrieving it after a touch")?;
        put(driver, key, &record(77)).await?;
        stage.storage.damage(key).await?;
    }
    let stored = driver.store(key, record(78), own).await;
    match &stored {
        Ok(Change::Applied) => {
            holds(driver, key, &record(78), "stored over a damaged record at its revision").await?;
            put(driver, key, &record(77)).await?;
            stage.storage.damage(key).await?;
        }
        stored => ensure(is_refused(stored), "a store at its revision is made or `Corrupt`", stored)?,
    }
    let removed = driver.remove(key, own).await;
    match &removed {
        Ok(Change::Applied) => {
            absent(driver, key, "removed at the revision of a damaged record").await?;
            put(driver, key, &record(77)).await?;
            Ok(stage.storage.damage(key).await?)
        }
        removed => ensure(is_refused(removed), "a removal at its revision is made or `Corrupt`", removed),
    }
}

fn is_refused<T>(answer: &session_core::Result<T>) -> bool {
    let corrupt = (StoreErrorKind::Corrupt, Applied::No);
    answer.as_ref().is_err_and(|error| (error.kind(), error.applied()) == corrupt)
}

pub(crate) async fn f02_any_damaged_byte_is_noticed(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let key = stage.key("bent");
    store_neighbours(stage, &driver).await?;
    let whole = Record { data: sized(78, 90), ..expiring(78, stage.later()) };
    put(&driver, &key, &whole).await?;
    let region = stage.storage.record_bytes(&key).await?;
    let larger = format!("record_bytes() names more than the {} bytes of the data", whole.data.len());
    ensure(region.len > whole.data.len(), larger, &region)?;
    let file = std::fs::File::options().read(true).write(true).open(&region.path);
    let file = file.map_err(|cause| Failure::Harness(format!("{}: {cause}", region.path.display())))?;
    let mut rng = stage.rng(2);
    let mut noticed = 0;
    for at in 0..region.len {
        // One bit, and the whole byte. All bits in a full run.
        let bit = rng.u64(..8);
        let bits = (0..8).filter(|one| stage.context.full || *one == bit).map(|bit| 1_u8 << bit);
        for mask in bits.chain([0xff]) {
            let place = format!("byte {at} of {} changed by {mask:#04x}", region.len);
            bend(&file, &region, at, mask)?;
            match driver.retrieve(&key).await {
                Ok(Some(found)) if found == whole => {}
                Err(error) if error.kind() == StoreErrorKind::Corrupt => noticed += 1,
                other => {
                    return Err(unmet(format!("{place}: `Corrupt`, or the record"), format!("{other:?}")));
                }
            }
            if at % 16 == 0 {
                neighbours_live(stage, &driver).await?;
            }
            bend(&file, &region, at, mask)?;
        }
        holds(&driver, &key, &whole, "with the byte put back").await?;
    }
    if noticed < whole.data.len() {
        let text = format!(
            "the driver noticed {noticed} changed bytes: record_bytes() names bytes that it does not read"
        );
        return Err(Failure::Harness(text));
    }
    neighbours_live(stage, &driver).await
}

/// Flips the bits of `mask` in one byte of the region. Doing it twice undoes it.
fn bend(file: &std::fs::File, region: &FileRange, at: usize, mask: u8) -> Check {
    let mut byte = [0];
    let at = region.from + at as u64;
    let done = file.read_exact_at(&mut byte, at).and_then(|()| file.write_all_at(&[byte[0] ^ mask], at));
    done.map_err(|cause| Failure::Harness(format!("{}: {cause}", region.path.display())))
}

pub(crate) async fn f03_damage_stops_no_traversal_or_purge(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    store_neighbours(stage, &driver).await?;
    for name in ["a-first", "neighbour-2-and-more", "z-last"] {
        put(&driver, &stage.key(name), &record(77)).await?;
        stage.storage.damage(&stage.key(name)).await?;
    }
    for limit in [1, 3, 100] {
        let found = keys_of(&walk(&driver, &Prefix::SESSION, limit).await?);
        let all = stage.keys("neighbour", NEIGHBOURS).iter().all(|neighbour| found.contains(neighbour));
        ensure(
            all,
            format!("a traversal in pages of {limit} reports the neighbours of damaged records"),
            shown(&found),
        )?;
    }
    let counted = driver.count(&Prefix::SESSION).await?;
    ensure(counted >= NEIGHBOURS as u64, "a count has at least the intact records", counted)?;
    if !stage.lacks(Requirement::Purge) && !stage.lacks(Requirement::VirtualTime) {
        purge_among_damage(stage, &driver).await?;
    }
    neighbours_live(stage, &driver).await
}

/// Every healthy record that has expired is removed, with damaged ones before, between and after them.
async fn purge_among_damage(stage: &Stage, driver: &DynDriver) -> Check {
    const HEALTHY: u64 = 12;
    const DAMAGED: u64 = 3;
    for number in 0..HEALTHY + DAMAGED {
        let key = stage.key(&format!("old-{number:02}"));
        put(driver, &key, &expiring(number + 1, stage.soon())).await?;
        if number % 5 == 0 {
            stage.storage.damage(&key).await?;
        }
    }
    stage.set(stage.soon());
    let removed = purge_all(driver, 4).await?;
    let right = (HEALTHY..=HEALTHY + DAMAGED).contains(&removed);
    ensure(right, format!("a purge of {HEALTHY} records among {DAMAGED} damaged ones"), removed)
}

/// How much later than [`Stage::soon`] half of the records end.
const LATER: Duration = Duration::from_millis(5);

/// The records of the storage, each with data of its own. If the suite can purge them, every other one ends soon, and the
/// others a little later.
fn own(stage: &Stage) -> Vec<(Key, Record)> {
    let deadline = |number| stage.soon().saturating_add(if number % 2 == 0 { Duration::ZERO } else { LATER });
    let own = |number| if purges(stage) { expiring(number, deadline(number)) } else { record(number) };
    stage.keys("indexed", 8).into_iter().zip(10..).map(|(key, number)| (key, own(number))).collect()
}

fn purges(stage: &Stage) -> bool {
    !stage.lacks(Requirement::Purge) && !stage.lacks(Requirement::VirtualTime)
}

pub(crate) async fn f09_damaged_index_mixes_no_records(stage: &Stage) -> Check {
    let records = own(stage);
    let driver = stage.open().await?;
    for (key, own) in &records {
        put(&driver, key, own).await?;
    }
    driver.close().await?;
    let (key, _) = &records[5];
    let region = stage.storage.index_bytes(key).await?;
    let trouble = |cause: std::io::Error| Failure::Harness(format!("{}: {cause}", region.path.display()));
    let intact = std::fs::read(&region.path).map_err(trouble)?;
    let from = usize::try_from(region.from).unwrap_or(usize::MAX);
    let mut bits: Vec<_> = (0..region.len * 8).map(|bit| (from + bit / 8, 1_u8 << (bit % 8))).collect();
    let inside = bits.iter().all(|(at, _)| *at < intact.len());
    ensure(inside, "index_bytes() names bytes inside of the file", &region)?;
    let mut rng = stage.rng(9);
    rng.shuffle(&mut bits);
    for (at, mask) in bits.into_iter().take(stage.amount(200, 5_000)) {
        let mut bytes = intact.clone();
        bytes[at] ^= mask;
        std::fs::write(&region.path, &bytes).map_err(trouble)?;
        let place = format!("with byte {at} changed by {mask:#04x}");
        // An open that fails is an answer too.
        let Ok(driver) = stage.open().await else { continue };
        mixes_nothing(&driver, &records, rng.usize(..records.len()), &place).await?;
        if purges(stage) {
            purge_takes_no_live_record(stage, &driver, &records, &place).await?;
        }
        // Closing writes, which the damage may prevent. What counts is the end, with the index put back.
        let _ = driver.close().await;
    }
    std::fs::write(&region.path, &intact).map_err(trouble)?;
    let driver = stage.reopen().await?;
    for (key, own) in &records {
        holds(&driver, key, own, "with the index put back").await?;
    }
    Ok(())
}

/// Whatever the index says, a key has its own record, none, or a damaged one; and so it stays after changes of another
/// key.
async fn mixes_nothing(driver: &DynDriver, records: &[(Key, Record)], any: usize, place: &str) -> Check {
    let corrupt = all_own(driver, records, place).await?;
    let (changed, before) = &records[corrupt.unwrap_or(any)];
    let others: Vec<_> = records.iter().filter(|(key, _)| key != changed).cloned().collect();
    let next = rev(1_000);
    let touched = Record { revision: next, ..before.clone() };
    let states = [before.clone(), touched, record(1_001), record(1_002)];
    let own = |answer: session_core::Result<Change>| own_answer(&answer, &states, place);
    let touch = session_core::Touch { from: before.revision, to: next, deadline: before.expires };
    let touched = driver.touch(changed, touch).await;
    own(touched.map(|done| if done { Change::Applied } else { Change::Conflict(None) }))?;
    own(driver.store(changed, record(1_001), Condition::Revision(next)).await)?;
    own(driver.store(changed, record(1_002), Condition::Revision(rev(1))).await)?;
    own(driver.store(changed, record(1_002), Condition::Any).await)?;
    all_own(driver, &others, &format!("{place}, after a store of another key")).await?;
    own(driver.remove(changed, Condition::Revision(rev(1_001))).await)?;
    own(driver.remove(changed, Condition::Any).await)?;
    all_own(driver, &others, &format!("{place}, after a removal of another key")).await?;
    // A walk may miss keys and list a damaged one, but it ends.
    let mut pages = Pages::new(3);
    while pages.read < 1_000 && matches!(pages.next(driver).await, Ok(Some(_))) {}
    ensure(pages.read < 1_000, format!("{place}: a walk ends"), "still more after 1,000 pages")
}

/// A purge removes no more records than have expired. A key may be out of reach after it: in an index that is out of order, a
/// search depends on what else is there.
async fn purge_takes_no_live_record(
    stage: &Stage,
    driver: &DynDriver,
    records: &[(Key, Record)],
    place: &str,
) -> Check {
    let start = stage.now();
    stage.set(stage.soon());
    let before = whereabouts(driver, records).await;
    let before = records.iter().zip(before).filter(|(_, before)| *before == Some(true));
    let before: Vec<Key> = before.map(|((key, _), _)| key.clone()).collect();
    let expired = records.iter().filter(|(_, own)| !own.is_live(stage.now())).count() as u64;
    match driver.purge(100).await {
        Ok(purged) => {
            let what = format!("{place}: a purge of at most {expired} expired records");
            ensure(purged.removed <= expired, what, purged)?;
        }
        Err(error) => fails::<()>(Err(error), StoreErrorKind::Corrupt, "a purge with a damaged index")?,
    }
    let live: Vec<_> = records.iter().filter(|(_, own)| own.is_live(stage.now())).cloned().collect();
    all_own(driver, &live, &format!("{place}, after a purge")).await?;
    let after = whereabouts(driver, &live).await;
    let lost =
        live.iter().zip(after).filter(|((key, _), after)| before.contains(key) && *after == Some(false));
    let lost: Vec<_> = lost.map(|((key, _), _)| key.clone()).collect();
    ensure(lost.is_empty(), format!("{place}: a purge removes no live record"), shown(&lost))?;
    stage.set(start);
    Ok(())
}

/// Whether a retrieve or a walk in one page finds each record, or `None` where one of them fails. A search may miss a key
/// of an index that is out of order, and a walk a key behind the damage.
async fn whereabouts(driver: &DynDriver, records: &[(Key, Record)]) -> Vec<Option<bool>> {
    let page = driver.traverse(&Prefix::SESSION, Cursor::start(), 100).await;
    let listed = page.map(|page| page.entries.into_iter().map(|entry| entry.key).collect::<Vec<_>>());
    let mut found = Vec::with_capacity(records.len());
    for (key, _) in records {
        let listed = listed.as_ref().ok().map(|keys| keys.contains(key));
        found.push(match (driver.retrieve(key).await, listed) {
            (Ok(Some(_)), _) | (_, Some(true)) => Some(true),
            (Ok(None), Some(false)) => Some(false),
            _ => None,
        });
    }
    found
}

/// A change is made, or conflicts with nothing or with a state of its own key, or fails with `Corrupt`.
fn own_answer(answer: &session_core::Result<Change>, states: &[Record], place: &str) -> Check {
    let right = match answer {
        Ok(Change::Applied | Change::Conflict(None)) => true,
        Ok(Change::Conflict(Some(found))) => states.contains(found),
        Err(error) => error.kind() == StoreErrorKind::Corrupt,
    };
    ensure(right, format!("{place}: a change of one key answers for this key, or `Corrupt`"), answer)
}

/// Returns a key whose record is damaged, by its number.
async fn all_own(
    driver: &DynDriver,
    records: &[(Key, Record)],
    place: &str,
) -> Result<Option<usize>, Failure> {
    let mut corrupt = None;
    for (number, (key, own)) in records.iter().enumerate() {
        match driver.retrieve(key).await {
            Ok(None) => {}
            Ok(Some(found)) if found == *own => {}
            Err(error) if error.kind() == StoreErrorKind::Corrupt => corrupt = Some(number),
            other => {
                return Err(unmet(
                    format!("{place}: each key has its own record, none or `Corrupt`"),
                    format!("{other:?}"),
                ));
            }
        }
    }
    Ok(corrupt)
}

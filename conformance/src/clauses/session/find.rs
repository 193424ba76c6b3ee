//! Finding sessions, and sweeping expired records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use session_manager::{Event, Sweep};

use super::common::*;

/// Sessions that hold their numbers.
async fn numbered(sessions: &Manager, count: u64) -> Result<Vec<SessionId>, Failure> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(begun(sessions, |session| session.insert("number", &number)).await?);
    }
    Ok(ids)
}

/// Fails unless a walk in pages of `limit` finds exactly the first `count` numbers. It may end each session.
async fn walk(probe: &Probe, sessions: &Manager, limit: usize, count: u64, ends: bool) -> Check {
    let mut found: BTreeMap<Option<u64>, usize> = BTreeMap::new();
    let mut next = Some(Cursor::start());
    for _ in 0..1_000 {
        let Some(from) = next.take() else { break };
        let page = sessions.find(from, limit).await?;
        for session in page.sessions {
            *found.entry(session.get::<u64>("number")?).or_insert(0) += 1;
            if ends {
                session.end("operator").await?;
            }
        }
        next = page.next;
    }
    ensure(next.is_none(), "find ends", "still more after 1,000 pages")?;
    let numbers: Vec<_> = found.keys().copied().collect();
    equal("the sessions that were found", &numbers, &(0..count).map(Some).collect())?;
    let once = !probe.inner().capabilities().exactly_once || found.values().all(|&times| times == 1);
    ensure(once, "each of them once", &found)
}

pub(crate) async fn s75_find_visits_every_session_unchanged(stage: &Stage) -> Check {
    const COUNT: u64 = 23;
    let (probe, sessions) = fresh(stage).await?;
    let ids = numbered(&sessions, COUNT).await?;
    let mut before = Vec::new();
    for id in &ids {
        before.push(stored(&probe, *id).await?);
    }
    for limit in [1, 4, 100] {
        probe.calls();
        walk(&probe, &sessions, limit, COUNT, false).await?;
        let writes = |operation: &Operation| !matches!(operation, Operation::Traverse | Operation::Retrieve);
        equal("its calls that write", &probe.operations().iter().filter(|&o| writes(o)).count(), &0)?;
    }
    for (id, record) in ids.iter().zip(&before) {
        equal("the record of a session that was found", &stored(&probe, *id).await?, record)?;
    }
    Ok(())
}

pub(crate) async fn s76_find_omits_what_is_no_live_session(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let short = begun(&sessions, |session| {
        session.insert("number", &100)?;
        session.set_idle_timeout(Duration::from_secs(10))
    })
    .await?;
    stage.set(stage.now().saturating_add(Duration::from_secs(10)));
    let ids = numbered(&sessions, 4).await?;
    let new = rotated(&sessions, ids[0]).await?;
    // The bytes of a session under another prefix, and bytes that do not form a session.
    let record = stored(&probe, ids[1]).await?;
    for (key, record) in [
        ("user:alice", record.clone()),
        ("index:session:a", record.clone()),
        ("session:garbage", Record { data: "no session".into(), revision: Revision::random()?, ..record }),
    ] {
        let key = Key::parse(key)?;
        yes(&probe.inner().store(&key, record, Condition::Absent).await?, "a store when absent")?;
    }
    walk(&probe, &sessions, 3, 4, false).await?;
    nothing(&probe, short, "of the session that has expired").await?;
    finds(&sessions, new, "number", Some(0_u64)).await
}

pub(crate) async fn s77_find_allows_ending_each_session(stage: &Stage) -> Check {
    const COUNT: u64 = 17;
    let (probe, sessions) = fresh(stage).await?;
    for limit in [1, 5, 100] {
        let ids = numbered(&sessions, COUNT).await?;
        let other = opened(&sessions, ids[3]).await?;
        walk(&probe, &sessions, limit, COUNT, true).await?;
        for id in &ids {
            nothing(&probe, *id, "of a session that was ended").await?;
        }
        other.insert("late", &1)?;
        let ended = Outcome::Ended(EndReason::Revoked);
        came_to(&sessions.finish(&other).await?, &ended, "a late write")?;
        nothing(&probe, ids[3], "after a late write").await?;
    }
    // A write after it was found does not save a session.
    let id = begun(&sessions, |session| session.insert("number", &0)).await?;
    let mut page = sessions.find(Cursor::start(), 10).await?;
    // The first pages may be empty.
    while page.sessions.is_empty()
        && let Some(next) = page.next
    {
        page = sessions.find(next, 10).await?;
    }
    does(&sessions, id, |session: &Session| session.insert("number", &1)).await?;
    for found in &page.sessions {
        equal("whether it was ended", &found.end("operator").await?, &true)?;
        equal("whether it was ended twice", &found.end("operator").await?, &false)?;
    }
    nothing(&probe, id, "of a session that was written to").await
}

/// Expired records, live ones, and some without a deadline. Returns the keys of the last two.
async fn stocked(stage: &Stage, driver: &DynDriver, expired: usize) -> Result<Vec<Key>, Failure> {
    let soon = stage.soon();
    let (later, never) = (stage.keys("later", 3), stage.keys("never", 3));
    put_all(driver, &stage.keys("expired", expired), &expiring(1, soon)).await?;
    put_all(driver, &later, &expiring(1, soon.saturating_add(MILLISECOND))).await?;
    put_all(driver, &never, &record(1)).await?;
    stage.set(soon);
    Ok([later, never].concat())
}

async fn are_there(driver: &DynDriver, keys: &[Key]) -> Check {
    for key in keys {
        ensure(driver.retrieve(key).await?.is_some(), "live records stay", "a live record is gone")?;
    }
    Ok(())
}

pub(crate) async fn s78_sweep_removes_expired_within_limit(stage: &Stage) -> Check {
    let (probe, sessions) = fresh(stage).await?;
    let live = begun(&sessions, |session| session.insert("a", &1)).await?;
    let kept = stocked(stage, probe.inner(), 9).await?;
    let mut removed = 0;
    for _ in 0..100 {
        let purged = sessions.sweep_once(4).await?;
        ensure(purged.removed <= 4, "at most four at a time", purged)?;
        removed += purged.removed;
        if !purged.more {
            break;
        }
    }
    equal("the removed record", &removed, &9)?;
    are_there(probe.inner(), &kept).await?;
    finds(&sessions, live, "a", Some(1)).await
}

pub(crate) async fn s79_scheduled_sweep_stops_when_told(stage: &Stage) -> Check {
    let ears = Arc::new(Ears::default());
    let (probe, sessions) = with(stage, |options| options.observer(Arc::clone(&ears) as _)).await?;
    let swept = || -> u64 {
        let removed = |(_, event)| if let Event::Swept { removed } = event { removed } else { 0 };
        ears.heard().into_iter().map(removed).sum()
    };
    let kept = stocked(stage, probe.inner(), 9).await?;
    let options = Sweep::default().every(Duration::from_millis(10)).batch(2).pause(Duration::from_millis(1));
    for drops in [false, true] {
        let sweeper = sessions.sweep(options);
        let mut limits = Vec::new();
        // It must happen by then; how long it takes does not matter.
        let end = tokio::time::Instant::now() + stage.recovery();
        while tokio::time::Instant::now() < end {
            limits.extend(probe.calls().iter().map(|call| call.limit));
            if swept() >= 9 && !limits.is_empty() {
                break;
            }
            nap(Duration::from_millis(5)).await;
        }
        equal("how many records were swept in time", &swept(), &9)?;
        if drops {
            drop(sweeper);
            nap(Duration::from_millis(60)).await;
        } else {
            sweeper.stop().await;
        }
        limits.extend(probe.calls().iter().map(|call| call.limit));
        ensure(limits.iter().all(|&limit| limit == Some(2)), "batches of two", &limits)?;
        // And this must not happen any more.
        nap(Duration::from_millis(60)).await;
        equal("calls after the end", &probe.operations().len(), &0)?;
    }
    are_there(probe.inner(), &kept).await
}

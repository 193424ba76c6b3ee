//! Level traverse: traverse, count, clear.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use session_core::EntryDeadline;

use crate::common::*;
use crate::testing::block_on;

fn prefix(text: &'static str) -> Prefix {
    Prefix::new(text).expect("the prefixes of the checks are valid")
}

const AT_ONCE: usize = 16;

/// Stores `count` records of `prefix` and returns their keys, sorted.
async fn fill(driver: &DynDriver, prefix: &Prefix, count: usize) -> Result<Vec<Key>, Failure> {
    let key = |number| Key::new(prefix, &format!("key-{number:05}")).expect("these are valid");
    let keys: Vec<Key> = (0..count).map(key).collect();
    // Several at a time, because a driver may wait for the disk after each store.
    for first in (0..count).step_by(AT_ONCE) {
        let some = AT_ONCE.min(count - first) as u64;
        let crowd = Crowd::start(some, (driver.clone(), keys.clone()), |task, (driver, keys)| async move {
            let at = first + task as usize;
            put(&driver, &keys[at], &record(at as u64 + 1)).await
        });
        crowd.join().await?;
    }
    Ok(keys)
}

/// The keys that a traversal of sessions in pages of `limit` reports.
async fn reported(driver: &DynDriver, limit: usize) -> Result<Vec<Key>, Failure> {
    Ok(keys_of(&walk(driver, &Prefix::SESSION, limit).await?))
}

fn all_there(found: &[Key], expected: &[Key], what: &str) -> Check {
    let missing: Vec<&Key> = expected.iter().filter(|key| !found.contains(key)).collect();
    let left_out = format!("left out {:?}", shown(missing.iter().copied()));
    ensure(missing.is_empty(), format!("{what} reports every live key"), format_args!("{left_out}"))?;
    let strange: Vec<&Key> = found.iter().filter(|key| !expected.contains(key)).collect();
    let more = format!("also reported {:?}", shown(strange.iter().copied()));
    ensure(strange.is_empty(), format!("{what} reports nothing else"), format_args!("{more}"))
}

pub(crate) async fn t01_traversal_reports_every_live_key(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for count in [1_usize, 2, 33, 300] {
        let keys = fill(&driver, &Prefix::SESSION, count).await?;
        let found = reported(&driver, 64).await?;
        all_there(&found, &keys, "a traversal")?;
    }
    let odd = ["/", "a:b", "\0", "é", "%", "_", "'"].map(|id| stage.key(id));
    put_all(&driver, &odd, &record(1)).await?;
    let found = reported(&driver, 64).await?;
    let missing = format!("left out {:?}", shown(odd.iter().filter(|key| !found.contains(key))));
    let all = odd.iter().all(|key| found.contains(key));
    ensure(all, "a traversal reports keys with any id", format_args!("{missing}"))
}

pub(crate) async fn t02_traversal_reports_only_its_prefix(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let prefixes = ["user", "use", "user2", "user-", "user_x", "userx", "u"].map(prefix);
    let mut all = BTreeMap::new();
    for prefix in &prefixes {
        all.insert(prefix.as_str().to_owned(), fill(&driver, prefix, 5).await?);
    }
    let tricky = Key::parse("use:r:key-00001").expect("this is valid");
    put(&driver, &tricky, &record(1)).await?;
    all.entry("use".into()).or_default().push(tricky);
    for prefix in &prefixes {
        let found = keys_of(&walk(&driver, prefix, 3).await?);
        all_there(&found, &all[prefix.as_str()], &format!("a traversal of {prefix}"))?;
    }
    Ok(())
}

pub(crate) async fn t03_any_limit_reaches_the_end(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let keys = fill(&driver, &Prefix::SESSION, 41).await?;
    for limit in [0, 1, 2, 7, 40, 41, 42, 1_000, usize::MAX] {
        let found = reported(&driver, limit).await?;
        all_there(&found, &keys, &format!("a traversal with limit {limit}"))?;
    }
    Ok(())
}

pub(crate) async fn t04_empty_prefix_has_no_entries(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let empty = walk(&driver, &prefix("nobody"), 10).await?;
    ensure(empty.is_empty(), "no entries in an empty store", &empty)?;
    fill(&driver, &Prefix::SESSION, 20).await?;
    let empty = walk(&driver, &prefix("nobody"), 10).await?;
    ensure(empty.is_empty(), "no entries of a prefix without keys", &empty)
}

pub(crate) async fn t05_entry_details_are_true(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let keys = fill(&driver, &Prefix::SESSION, 10).await?;
    let with_deadline = expiring(77, stage.later());
    put(&driver, &keys[3], &with_deadline).await?;
    for entry in walk(&driver, &Prefix::SESSION, 4).await? {
        let Some(record) = driver.retrieve(&entry.key).await? else {
            return Err(unmet("a reported key is live", format!("{:?} is absent", entry.key)));
        };
        let deadline = match entry.deadline {
            EntryDeadline::Unknown => record.expires,
            EntryDeadline::Never => None,
            EntryDeadline::At(deadline) => Some(deadline),
        };
        equal("the deadline of an entry", &deadline, &record.expires)?;
        if let Some(revision) = entry.revision {
            equal("the revision of an entry", &revision, &record.revision)?;
        }
        if let Some(size) = entry.size {
            equal("the size of an entry", &size, &(record.data.len() as u64))?;
        }
    }
    Ok(())
}

pub(crate) async fn t06_traversal_omits_expired_and_removed(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let keys = fill(&driver, &Prefix::SESSION, 12).await?;
    let soon = stage.soon();
    put_all(&driver, &keys[..4], &expiring(50, soon)).await?;
    yes(&driver.remove(&keys[4], Condition::Any).await?, "a removal")?;
    let found = reported(&driver, 5).await?;
    all_there(&found, &[&keys[..4], &keys[5..]].concat(), "a traversal before the deadline")?;
    stage.pass(&driver, soon).await;
    let found = reported(&driver, 5).await?;
    all_there(&found, &keys[5..], "a traversal after the deadline")
}

pub(crate) async fn t07_lasting_key_is_reported_despite_changes(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let stable = fill(&driver, &Prefix::SESSION, 60).await?;
    // In any order of a traversal, some of these keys come before a lasting key and some after it. More are removed than
    // added: an offset would skip keys, and a rebuilt order would shift.
    let (before, after) = (stage.keys("a", 60), stage.keys("z", 60));
    put_all(&driver, &before, &record(1)).await?;
    put_all(&driver, &after, &record(1)).await?;
    let mut found = Vec::new();
    let mut pages = Pages::new(7);
    while let Some(page) = pages.next(&driver).await? {
        found.extend(keys_of(&page));
        let step = pages.read;
        for key in [&before, &after].into_iter().flat_map(|keys| keys.iter().skip((step - 1) * 4).take(4)) {
            let _ = driver.remove(key, Condition::Any).await?;
        }
        put(&driver, &stage.key(&format!("a-new-{step}")), &record(1)).await?;
        put(&driver, &stage.key(&format!("key-new-{step}")), &record(1)).await?;
    }
    let missing: Vec<&Key> = stable.iter().filter(|key| !found.contains(key)).collect();
    let left_out = format!("left out {:?}", shown(missing.iter().copied()));
    ensure(missing.is_empty(), "a traversal reports every key that stays stored", format_args!("{left_out}"))
}

pub(crate) async fn t08_key_removed_before_its_page_is_skipped(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let keys = fill(&driver, &Prefix::SESSION, 60).await?;
    let mut pages = Pages::new(10);
    let first = keys_of(&pages.next(&driver).await?.unwrap_or_default());
    for key in keys.iter().filter(|key| !first.contains(key)) {
        yes(&driver.remove(key, Condition::Any).await?, "a removal between two pages")?;
    }
    while let Some(page) = pages.next(&driver).await? {
        let page = keys_of(&page);
        let ghosts: Vec<&Key> = page.iter().filter(|key| !first.contains(key)).collect();
        let reported = format!("it reports {:?}", shown(ghosts.iter().copied()));
        let none = "a page reports no key that was removed before the page was requested";
        ensure(ghosts.is_empty(), none, format_args!("{reported}"))?;
    }
    Ok(())
}

pub(crate) async fn t09_malformed_cursor_is_invalid(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    fill(&driver, &Prefix::SESSION, 5).await?;
    for garbage in [&[0xff; 3][..], b"garbage", &[0xa5; 1_024], &[0], &[0; 64]] {
        let answer = driver.traverse(&Prefix::SESSION, Cursor::from_bytes(garbage.to_vec()), 2).await;
        let what = format!("a cursor of {} foreign bytes", garbage.len());
        fails(answer, StoreErrorKind::InvalidCursor, &what)?;
    }
    // What several drivers return: the last key.
    let live = reported(&driver, 10).await?;
    match driver.traverse(&Prefix::SESSION, Cursor::after(&live[1]), 10).await {
        Err(error) if error.kind() == StoreErrorKind::InvalidCursor => Ok(()),
        Err(error) => Err(error.into()),
        Ok(page) => {
            let listed = keys_of(&page.entries);
            let right = listed.len() < live.len() && listed.iter().all(|key| live.contains(key));
            ensure(
                right,
                "a cursor of another driver is `InvalidCursor`, or lists live keys after it",
                shown(&listed),
            )
        }
    }
}

pub(crate) async fn t10_cursor_works_on_any_clone(stage: &Stage) -> Check {
    let (driver, clone) = stage.open_with_clone().await?;
    let keys = fill(&driver, &Prefix::SESSION, 50).await?;
    let (mut found, mut pages) = (Vec::new(), Pages::new(6));
    while let Some(page) = pages.next(if pages.read % 2 == 0 { &driver } else { &clone }).await? {
        found.extend(page);
    }
    all_there(&keys_of(&found), &keys, "a traversal by two handles in turn")
}

pub(crate) async fn t11_page_size_follows_the_limit(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    fill(&driver, &Prefix::SESSION, 2_000).await?;
    let mut pages = Pages::new(10);
    while let Some(page) = pages.next(&driver).await? {
        let length = page.len();
        ensure(length <= 1_000, "no page of limit 10 has half of 2,000 keys", format_args!("{length} keys"))?;
    }
    Ok(())
}

pub(crate) async fn t12_lasting_key_is_reported_once(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let keys = fill(&driver, &Prefix::SESSION, 150).await?;
    let mut counts: BTreeMap<Key, usize> = BTreeMap::new();
    let mut pages = Pages::new(9);
    // So much growth that any table has been rebuilt.
    while pages.read <= 30
        && let Some(page) = pages.next(&driver).await?
    {
        for entry in page {
            *counts.entry(entry.key).or_default() += 1;
        }
        put_all(&driver, &stage.keys(&format!("new-{}", pages.read), 40), &record(1)).await?;
    }
    for key in keys {
        let count = counts.get(&key).copied().unwrap_or(0);
        ensure(
            count <= 1,
            "a traversal that claims `exactly_once` reports each key once",
            format_args!("{} {count} times", key.as_str()),
        )?;
    }
    Ok(())
}

pub(crate) async fn t13_count_counts_live_keys(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let exact = driver.capabilities().exactly_once;
    let right = |counted: u64, total| {
        let right = counted == total || (!exact && counted > total);
        ensure(right, format!("a count of {total} live keys"), counted)
    };
    for total in [0_u64, 1, 300, 700] {
        fill(&driver, &Prefix::SESSION, total as usize).await?;
        fill(&driver, &prefix("user"), 3).await?;
        right(driver.count(&Prefix::SESSION).await?, total)?;
    }
    let soon = stage.soon();
    put(&driver, &stage.key("key-00000"), &expiring(1, soon)).await?;
    stage.pass(&driver, soon).await;
    // One of 700 has expired.
    right(driver.count(&Prefix::SESSION).await?, 699)
}

pub(crate) async fn t14_clear_removes_only_its_prefix(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let (user, user2) = (prefix("user"), prefix("user2"));
    let keys = fill(&driver, &user, 400).await?;
    let others = fill(&driver, &user2, 5).await?;
    let sessions = fill(&driver, &Prefix::SESSION, 5).await?;
    equal("the number that clear reports", &driver.clear(&user).await?, &400)?;
    for key in &keys {
        absent(&driver, key, "a key of the cleared prefix").await?;
    }
    for (index, key) in others.iter().chain(&sessions).enumerate() {
        holds(&driver, key, &record(index as u64 % 5 + 1), "a key of another prefix").await?;
    }
    equal("the number that clear removes the second time", &driver.clear(&user).await?, &0)
}

pub(crate) async fn t15_traversal_changes_nothing(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let keys = fill(&driver, &Prefix::SESSION, 30).await?;
    let stored = Record::new(&b"x"[..], Some(stage.later()), record(1).revision);
    put_all(&driver, &keys, &stored).await?;
    for limit in [1, 7, 100] {
        walk(&driver, &Prefix::SESSION, limit).await?;
        driver.count(&Prefix::SESSION).await?;
    }
    hold_all(&driver, &keys, &stored, "a record after traversals").await
}

pub(crate) async fn t16_cursor_survives_removals(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let keys = fill(&driver, &Prefix::SESSION, 90).await?;
    let (mut found, mut pages) = (Vec::new(), Pages::new(8));
    while let Some(page) = pages.next(&driver).await? {
        for entry in &page {
            let _ = driver.remove(&entry.key, Condition::Any).await?;
        }
        found.extend(page);
    }
    all_there(&keys_of(&found), &keys, "a traversal that removes each record")
}

pub(crate) async fn t17_walk_lets_other_tasks_run(stage: &Stage) -> Check {
    const RECORDS: usize = 600;
    // One thread for all tasks, so that a task runs only while the walk waits.
    let walk = || {
        block_on(async {
            let driver = stage.open().await?;
            put_all(&driver, &stage.keys("key", RECORDS), &record(1)).await?;
            let ran = Arc::new(AtomicUsize::new(0));
            let other = tokio::spawn({
                let ran = Arc::clone(&ran);
                async move {
                    loop {
                        ran.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                    }
                }
            });
            let mut pages = Pages::new(20);
            while pages.next(&driver).await?.is_some() {}
            other.abort();
            Ok::<_, Failure>((pages.read, ran.load(Ordering::Relaxed)))
        })
    };
    let walked = std::thread::scope(|scope| scope.spawn(walk).join());
    let (pages, ran) = walked.map_err(|_| unmet("a walk in another runtime", "a panic"))??;
    // A page may be longer than the limit.
    ensure(
        ran + 1 >= pages / 2,
        format!("other tasks run between {pages} pages"),
        format_args!("{ran} times"),
    )
}

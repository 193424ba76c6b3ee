//! Level traverse: traverse, count, clear.

use std::collections::BTreeMap;

use session_core::{
    Condition, Cursor, Driver, DriverExt, DynDriver, EntryDeadline, Key, Prefix, Record, StoreErrorKind,
};

use crate::common::{Crowd, absent, expiring, fails, holds, keys_of, put, record, shown, walk, yes};
use crate::failure::{Check, Failure, ensure, equal, unmet};
use crate::stage::Stage;

fn prefix(text: &'static str) -> Prefix {
    Prefix::new(text).expect("the prefixes of the checks are valid")
}

const AT_ONCE: usize = 16;

/// Stores `count` records of `prefix` and returns their keys, sorted.
async fn fill(driver: &DynDriver, prefix: &Prefix, count: usize) -> Result<Vec<Key>, Failure> {
    let mut keys = Vec::with_capacity(count);
    for number in 0..count {
        keys.push(Key::new(prefix, &format!("key-{number:05}")).expect("these are valid"));
    }
    // Several at a time, because a driver may wait for the disk after each store.
    for (chunk, some) in keys.chunks(AT_ONCE).enumerate() {
        let mut crowd = Crowd::new();
        for (number, key) in some.iter().enumerate() {
            let (driver, key) = (driver.clone(), key.clone());
            let record = record((chunk * AT_ONCE + number) as u64 + 1);
            crowd.add(async move { put(&driver, &key, &record).await });
        }
        crowd.join().await?;
    }
    Ok(keys)
}

fn all_there(found: &[Key], expected: &[Key], what: &str) -> Check {
    let missing: Vec<&Key> = expected.iter().filter(|key| !found.contains(key)).collect();
    ensure(missing.is_empty(), format!("{what} reports all {} keys", expected.len()), || {
        format!("missing: {}", shown(missing))
    })?;
    let strange: Vec<&Key> = found.iter().filter(|key| !expected.contains(key)).collect();
    ensure(strange.is_empty(), format!("{what} reports nothing else"), || shown(strange))
}

pub(crate) async fn t01_traversal_reports_every_live_key(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for count in [1_usize, 2, 33, 300] {
        let keys = fill(&driver, &Prefix::SESSION, count).await?;
        let found = keys_of(&walk(&driver, &Prefix::SESSION, 64).await?);
        all_there(&found, &keys, "a traversal")?;
    }
    let odd = ["/", "a:b", "\0", "é", "%", "_", "'"].map(|id| stage.key(id));
    for key in &odd {
        put(&driver, key, &record(1)).await?;
    }
    let found = keys_of(&walk(&driver, &Prefix::SESSION, 64).await?);
    let missing = odd.iter().filter(|key| !found.contains(key));
    ensure(odd.iter().all(|key| found.contains(key)), "odd ids are reported too", || shown(missing))
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
        let found = keys_of(&walk(&driver, &Prefix::SESSION, limit).await?);
        all_there(&found, &keys, &format!("a traversal with limit {limit}"))?;
    }
    Ok(())
}

pub(crate) async fn t04_empty_prefix_has_no_entries(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let empty = walk(&driver, &prefix("nobody"), 10).await?;
    ensure(empty.is_empty(), "no entries in an empty store", || format!("{empty:?}"))?;
    fill(&driver, &Prefix::SESSION, 20).await?;
    let empty = walk(&driver, &prefix("nobody"), 10).await?;
    ensure(empty.is_empty(), "no entries of a prefix without keys", || format!("{empty:?}"))
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
    for key in &keys[..4] {
        put(&driver, key, &expiring(50, soon)).await?;
    }
    yes(&driver.remove(&keys[4], Condition::Any).await?, "a removal")?;
    let found = keys_of(&walk(&driver, &Prefix::SESSION, 5).await?);
    all_there(&found, &[&keys[..4], &keys[5..]].concat(), "a traversal before the deadline")?;
    stage.pass(&driver, soon).await;
    let found = keys_of(&walk(&driver, &Prefix::SESSION, 5).await?);
    all_there(&found, &keys[5..], "a traversal after the deadline")
}

pub(crate) async fn t07_lasting_key_is_reported_despite_changes(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let stable = fill(&driver, &Prefix::SESSION, 60).await?;
    // In any order of a traversal, some of these keys come before a lasting key and some after it. More are removed than
    // added: an offset would skip keys, and a rebuilt order would shift.
    for number in 0..60 {
        put(&driver, &stage.key(&format!("a-{number}")), &record(1)).await?;
        put(&driver, &stage.key(&format!("z-{number}")), &record(1)).await?;
    }
    let mut found = Vec::new();
    let mut from = Cursor::start();
    let mut step = 0;
    loop {
        let page = driver.traverse(&Prefix::SESSION, from, 7).await?;
        found.extend(page.entries.into_iter().map(|entry| entry.key));
        let Some(next) = page.next else { break };
        from = next;
        for number in step * 4..step * 4 + 4 {
            let _ = driver.remove(&stage.key(&format!("a-{number}")), Condition::Any).await?;
            let _ = driver.remove(&stage.key(&format!("z-{number}")), Condition::Any).await?;
        }
        put(&driver, &stage.key(&format!("a-new-{step}")), &record(1)).await?;
        put(&driver, &stage.key(&format!("key-new-{step}")), &record(1)).await?;
        step += 1;
        ensure(step < 3_000, "the traversal ends", || "still more after 3,000 pages".into())?;
    }
    let missing: Vec<&Key> = stable.iter().filter(|key| !found.contains(key)).collect();
    ensure(missing.is_empty(), "every key that was there all the time is reported", || shown(missing))
}

pub(crate) async fn t08_key_removed_before_its_page_is_skipped(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    fill(&driver, &Prefix::SESSION, 60).await?;
    let first = driver.traverse(&Prefix::SESSION, Cursor::start(), 10).await?;
    let mut removed = 0;
    for number in 0..60 {
        let key = stage.key(&format!("key-{number:05}"));
        if !first.entries.iter().any(|entry| entry.key == key) {
            yes(&driver.remove(&key, Condition::Any).await?, "a removal between two pages")?;
            removed += 1;
        }
    }
    let mut next = first.next;
    while let Some(from) = next {
        let page = driver.traverse(&Prefix::SESSION, from, 10).await?;
        let ghosts: Vec<&Key> = page
            .entries
            .iter()
            .map(|entry| &entry.key)
            .filter(|key| !first.entries.iter().any(|entry| entry.key == **key))
            .collect();
        ensure(ghosts.is_empty(), format!("none of the {removed} removed keys"), || shown(ghosts))?;
        next = page.next;
    }
    Ok(())
}

pub(crate) async fn t09_foreign_cursor_is_invalid(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    fill(&driver, &Prefix::SESSION, 5).await?;
    for garbage in [&[0xff; 3][..], b"garbage", &[0xa5; 1_024], &[0], &[0; 64]] {
        let answer = driver.traverse(&Prefix::SESSION, Cursor::from_bytes(garbage.to_vec()), 2).await;
        let what = format!("a cursor of {} foreign bytes", garbage.len());
        fails(answer, StoreErrorKind::InvalidCursor, &what)?;
    }
    Ok(())
}

pub(crate) async fn t10_cursor_works_on_any_clone(stage: &Stage) -> Check {
    let (driver, clone) = stage.open_with_clone().await?;
    let keys = fill(&driver, &Prefix::SESSION, 50).await?;
    let mut found = Vec::new();
    let mut bytes = Vec::new();
    for turn in 0..500 {
        let handle = if turn % 2 == 0 { &driver } else { &clone };
        let page = handle.traverse(&Prefix::SESSION, Cursor::from_bytes(bytes), 6).await?;
        found.extend(page.entries);
        match page.next {
            Some(next) => bytes = next.as_bytes().to_vec(),
            None => return all_there(&keys_of(&found), &keys, "a traversal by two handles in turn"),
        }
    }
    Err(unmet("the traversal ends", "still more after 500 pages"))
}

pub(crate) async fn t11_page_size_follows_the_limit(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    fill(&driver, &Prefix::SESSION, 2_000).await?;
    let mut from = Cursor::start();
    loop {
        let page = driver.traverse(&Prefix::SESSION, from, 10).await?;
        let length = page.entries.len();
        ensure(length <= 1_000, "no page of limit 10 has half of 2,000 keys", || format!("{length} keys"))?;
        match page.next {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

pub(crate) async fn t12_lasting_key_is_reported_once(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let keys = fill(&driver, &Prefix::SESSION, 150).await?;
    let mut counts: BTreeMap<Key, usize> = BTreeMap::new();
    let mut from = Cursor::start();
    let mut step = 0;
    loop {
        let page = driver.traverse(&Prefix::SESSION, from, 9).await?;
        for entry in page.entries {
            *counts.entry(entry.key).or_default() += 1;
        }
        let Some(next) = page.next else { break };
        from = next;
        step += 1;
        for number in 0..40 {
            put(&driver, &stage.key(&format!("new-{step}-{number}")), &record(1)).await?;
        }
        ensure(step < 3_000, "the traversal ends", || "still more after 3,000 pages".into())?;
        if step > 30 {
            // Enough growth for any table to have been rebuilt.
            break;
        }
    }
    for entry in keys {
        let count = counts.get(&entry).copied().unwrap_or(0);
        ensure(count <= 1, "each key once", || format!("{} {count} times", entry.as_str()))?;
    }
    Ok(())
}

pub(crate) async fn t13_count_counts_live_keys(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let exact = driver.capabilities().exactly_once;
    for total in [0_u64, 1, 300, 700] {
        fill(&driver, &Prefix::SESSION, total as usize).await?;
        fill(&driver, &prefix("user"), 3).await?;
        let counted = driver.count(&Prefix::SESSION).await?;
        let right = counted == total || (!exact && counted > total);
        ensure(right, format!("{total} live keys"), || format!("{counted}"))?;
    }
    let soon = stage.soon();
    put(&driver, &stage.key("key-00000"), &expiring(1, soon)).await?;
    stage.pass(&driver, soon).await;
    let counted = driver.count(&Prefix::SESSION).await?;
    let right = counted == 699 || (!exact && counted > 699);
    ensure(right, "699 live keys, once one of 700 has expired", || format!("{counted}"))
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
    for key in &keys {
        put(&driver, key, &stored).await?;
    }
    for limit in [1, 7, 100] {
        walk(&driver, &Prefix::SESSION, limit).await?;
        driver.count(&Prefix::SESSION).await?;
    }
    for key in &keys {
        holds(&driver, key, &stored, "a record after traversals").await?;
    }
    Ok(())
}

pub(crate) async fn t16_cursor_survives_removals(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let keys = fill(&driver, &Prefix::SESSION, 90).await?;
    let mut found = Vec::new();
    let mut from = Cursor::start();
    loop {
        let page = driver.traverse(&Prefix::SESSION, from, 8).await?;
        for entry in &page.entries {
            let _ = driver.remove(&entry.key, Condition::Any).await?;
        }
        found.extend(page.entries);
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    all_there(&keys_of(&found), &keys, "a traversal that removes each record")
}

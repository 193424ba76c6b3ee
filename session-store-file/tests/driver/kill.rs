//! Killed writers, and readers next to them.

use std::fs;
use std::time::Duration;

use session_core::{Clock as _, Condition, Driver as _, SystemClock, TestClock, Touch};

use session_conformance::testing::{ChildProcess, amount, block_on, child_args, say};

use crate::support::{assert_whole, file_of, files, key, keys, open, record, revision, site};

/// Large enough that the write takes much of the time of a store.
const LEN: usize = 60_000;

#[test]
fn killed_store_leaves_a_complete_record() {
    let test = "kill::killed_store_leaves_a_complete_record";
    if let Some(args) = child_args(test) {
        let store = open(args[0].as_ref(), &TestClock::new(SystemClock.now()));
        return block_on(async {
            for number in 1.. {
                let answer = store.store(&key(&args[1]), record(number, LEN), Condition::Any).await;
                assert!(answer.unwrap().is_applied());
                if number == 1 {
                    say("begun");
                }
            }
        });
    }
    let site = site();
    let kills = amount(25, 400);
    let mut names = Vec::new();
    for kill in 0..kills as u64 {
        let name = format!("key-{kill:03}");
        let mut child = ChildProcess::spawn(test, &[site.root.to_str().unwrap(), &name]);
        let _ = child.wait_for("begun");
        // At any moment within some hundred stores.
        std::thread::sleep(Duration::from_micros(100 + kill * 7_919 % 5_000));
        let _ = child.kill();
        let found =
            block_on(site.store.retrieve(&key(&name))).unwrap().expect("it was stored before the kill");
        assert_whole(&found);
        names.push(name);
    }
    assert_eq!(block_on(keys(&site.store)).unwrap(), names);
    for name in &names {
        assert_whole(&block_on(site.store.retrieve(&key(name))).unwrap().unwrap());
    }
    // The leftovers are removed an hour later, and nothing else.
    let left = files(&site.root).len() - kills;
    println!("{kills} kills left {left} temporary files");
    site.clock.advance(Duration::from_secs(3_700));
    let purged = block_on(site.store.purge(1_000)).unwrap();
    assert_eq!((purged.removed, purged.more), (0, false));
    assert_eq!(files(&site.root).len(), kills);
}

#[test]
fn reader_sees_no_partial_record_of_a_concurrent_process() {
    let test = "kill::reader_sees_no_partial_record_of_a_concurrent_process";
    if let Some(args) = child_args(test) {
        let store = open(args[0].as_ref(), &TestClock::new(SystemClock.now()));
        return block_on(async {
            for number in 1.. {
                let len = 10 + (number as usize * 37) % 9_000;
                let answer = store.store(&key("flicker"), record(number, len), Condition::Absent).await;
                assert!(answer.unwrap().is_applied());
                if number % 3 == 0 {
                    let next = record(number + (1 << 40), 500);
                    let at = Condition::Revision(revision(number));
                    assert!(store.store(&key("flicker"), next, at).await.unwrap().is_applied());
                }
                assert!(store.remove(&key("flicker"), Condition::Any).await.unwrap().is_applied());
                if number == 1 {
                    say("begun");
                }
            }
        });
    }
    let site = site();
    let mut child = ChildProcess::spawn(test, &[site.root.to_str().unwrap()]);
    let _ = child.wait_for("begun");
    let (mut whole, mut none) = (0, 0);
    // Enough of each to show a fault of one in a thousand.
    while whole < amount(3_000, 20_000) || none < amount(3_000, 20_000) {
        match block_on(site.store.retrieve(&key("flicker"))).unwrap() {
            Some(found) => {
                assert_whole(&found);
                whole += 1;
            }
            None => none += 1,
        }
        assert!(child.is_running(), "the writer runs");
    }
}

#[test]
fn reader_sees_no_partial_touch_of_a_concurrent_process() {
    let test = "kill::reader_sees_no_partial_touch_of_a_concurrent_process";
    if let Some(args) = child_args(test) {
        let clock = TestClock::new(SystemClock.now());
        let store = open(args[0].as_ref(), &clock);
        return block_on(async {
            for number in 1_u64.. {
                // The revision is made from the deadline, so a mixture would show.
                let deadline = clock.now().saturating_add(Duration::from_millis(1_000_000 + number));
                let next = revision(deadline.as_millis());
                let found = store.retrieve(&key("touched")).await.unwrap().unwrap();
                assert!(
                    store
                        .touch(
                            &key("touched"),
                            Touch { from: found.revision, to: next, deadline: Some(deadline) }
                        )
                        .await
                        .unwrap()
                );
                if number == 1 {
                    say("begun");
                }
            }
        });
    }
    let site = site();
    let stored = block_on(site.store.store(&key("touched"), record(1, 300), Condition::Any)).unwrap();
    assert!(stored.is_applied());
    let mut child = ChildProcess::spawn(test, &[site.root.to_str().unwrap()]);
    let _ = child.wait_for("begun");
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 2_000 {
        let found = block_on(site.store.retrieve(&key("touched")))
            .unwrap()
            .expect("the record is stored all the time");
        assert_eq!(found.revision, revision(found.expires.unwrap().as_millis()));
        assert_eq!(found.data, record(1, 300).data);
        seen.insert(found.revision);
        assert!(child.is_running(), "the writer runs");
    }
    let _ = child.kill();
    // A traversal reads the same words from the same file.
    assert_eq!(block_on(keys(&site.store)).unwrap(), ["touched"]);
    assert_eq!(fs::metadata(file_of(&site.root, "touched")).unwrap().len(), 64 + 12 + 300);
}

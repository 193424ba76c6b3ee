//! Killed writers, and readers next to them.

use std::fs;
use std::time::Duration;

use session_core::{Clock as _, Condition, Driver as _, Purged, SystemClock, TestClock, Touch};

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
    }
    // The leftovers are removed an hour later, and nothing else.
    site.clock.advance(Duration::from_secs(3_700));
    assert_eq!(block_on(site.store.purge(1_000)).unwrap(), Purged { removed: 0, more: false });
    assert_eq!(files(&site.root).len(), kills);
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

//! Writers that die, and readers beside them.

use std::fs;
use std::time::Duration;

use session_core::{Clock as _, Condition, Driver as _, SystemClock, TestClock, Touch};

use crate::support::{
    amount, assert_whole, block_on, file_of, files, key, keys, open, record, revision, role, site, spawn,
};

/// So large that a write takes a good part of the time.
const LEN: usize = 60_000;

#[test]
fn a_kill_in_mid_store_leaves_a_whole_record_each_time() {
    let test = "kill::a_kill_in_mid_store_leaves_a_whole_record_each_time";
    if let Some(argument) = role(test) {
        let (root, name) = argument.split_once(' ').unwrap();
        let store = open(root.as_ref(), &TestClock::new(SystemClock.now()));
        return block_on(async {
            for number in 1.. {
                let answer = store.store(&key(name), record(number, LEN), Condition::Any).await;
                assert!(answer.unwrap().is_applied());
                if number == 1 {
                    println!("\nbegun");
                }
            }
        });
    }
    let site = site();
    let kills = amount(60, 400);
    let mut names = Vec::new();
    for kill in 0..kills as u64 {
        let name = format!("key-{kill:03}");
        let mut child = spawn(test, &format!("{} {name}", site.root.display()), &[]);
        assert!(child.wait_for("begun"));
        // Anywhere within some hundred stores.
        std::thread::sleep(Duration::from_micros(100 + kill * 7_919 % 5_000));
        child.kill();
        let found =
            block_on(site.store.retrieve(&key(&name))).unwrap().expect("it was stored before the kill");
        assert_whole(&found);
        names.push(name);
    }
    assert_eq!(block_on(keys(&site.store)).unwrap(), names);
    for name in &names {
        assert_whole(&block_on(site.store.retrieve(&key(name))).unwrap().unwrap());
    }
    // What the dead have left goes an hour later, and nothing else.
    let left = files(&site.root).len() - kills;
    println!("{kills} kills left {left} temporary files");
    site.clock.advance(Duration::from_secs(3_700));
    let purged = block_on(site.store.purge(1_000)).unwrap();
    assert_eq!((purged.removed, purged.more), (0, false));
    assert_eq!(files(&site.root).len(), kills);
}

#[test]
fn beside_a_process_that_creates_and_removes_a_reader_sees_whole_records_or_none() {
    let test = "kill::beside_a_process_that_creates_and_removes_a_reader_sees_whole_records_or_none";
    if let Some(root) = role(test) {
        let store = open(root.as_ref(), &TestClock::new(SystemClock.now()));
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
                    println!("\nbegun");
                }
            }
        });
    }
    let site = site();
    let mut child = spawn(test, &site.root.display().to_string(), &[]);
    assert!(child.wait_for("begun"));
    let (mut whole, mut none) = (0, 0);
    // As many of each as a fault of one in a thousand would need to show.
    while whole < 10_000 || none < 10_000 {
        match block_on(site.store.retrieve(&key("flicker"))).unwrap() {
            Some(found) => {
                assert_whole(&found);
                whole += 1;
            }
            None => none += 1,
        }
        assert!(child.child.try_wait().unwrap().is_none(), "the writer goes on");
    }
}

#[test]
fn beside_a_process_that_touches_a_reader_sees_old_or_new_deadlines_and_no_damage() {
    let test = "kill::beside_a_process_that_touches_a_reader_sees_old_or_new_deadlines_and_no_damage";
    if let Some(root) = role(test) {
        let clock = TestClock::new(SystemClock.now());
        let store = open(root.as_ref(), &clock);
        return block_on(async {
            for number in 1_u64.. {
                // The deadline and the revision are bound to each other, so that a mixture would show.
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
                    println!("\nbegun");
                }
            }
        });
    }
    let site = site();
    let stored = block_on(site.store.store(&key("touched"), record(1, 300), Condition::Any)).unwrap();
    assert!(stored.is_applied());
    let mut child = spawn(test, &site.root.display().to_string(), &[]);
    assert!(child.wait_for("begun"));
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 2_000 {
        let found =
            block_on(site.store.retrieve(&key("touched"))).unwrap().expect("it is there all the time");
        assert_eq!(found.revision, revision(found.expires.unwrap().as_millis()));
        assert_eq!(found.data, record(1, 300).data);
        seen.insert(found.revision);
        assert!(child.child.try_wait().unwrap().is_none(), "the toucher goes on");
    }
    child.kill();
    // A traversal reads the same words, and so does a change, from the same file.
    assert_eq!(block_on(keys(&site.store)).unwrap(), ["touched"]);
    assert_eq!(fs::metadata(file_of(&site.root, "touched")).unwrap().len(), 64 + 12 + 300);
}

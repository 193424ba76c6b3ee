//! Very many files: pages and purges take memory for what they hold at a time, not for what there is.

use std::time::Duration;

use session_core::{Clock as _, Condition, Cursor, Driver as _, SystemClock, TestClock};

use crate::support::{amount, block_on, key, open, record, role, site, spawn, user};

/// By how much more memory, in KiB, a process may have needed for many records than for few.
const ALLOWED: u64 = 4 << 10;

#[test]
fn pages_and_purges_over_very_many_files_take_no_more_memory_than_over_few() {
    let test = "scale::pages_and_purges_over_very_many_files_take_no_more_memory_than_over_few";
    if let Some(argument) = role(test) {
        let mut words = argument.splitn(3, ' ');
        let (count, now) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
        let clock = TestClock::new(session_core::Timestamp::from_millis(now));
        return block_on(look_through(words.next().unwrap(), &clock, count.parse().unwrap()));
    }
    let (few, many) = (amount(1_000, 10_000), amount(8_000, 1_000_000));
    let peaks = [few, many].map(|count| {
        let site = site();
        block_on(async {
            for number in 0..count as u64 {
                let mut record = record(number, 100);
                // One in a hundred expires.
                let deadline = site.clock.now().saturating_add(Duration::from_secs(60));
                record.expires = (number % 100 == 0).then_some(deadline);
                let answer = site.store.store(&key(&number.to_string()), record, Condition::Absent).await;
                assert!(answer.unwrap().is_applied());
            }
        });
        // In a process of its own, whose peak is not that of the filling.
        let argument = format!("{count} {} {}", site.clock.now().as_millis(), site.root.display());
        let mut child = spawn(test, &argument, &[]);
        let told = child.rest_after("peak ").expect("the child comes to its end");
        let peak: u64 = told.split(' ').next().unwrap().parse().unwrap();
        println!("{count} records: peak {told}");
        peak
    });
    let more = peaks[1].saturating_sub(peaks[0]);
    assert!(more <= ALLOWED, "{more} KiB more for {many} records than for {few}");
}

/// Traverses and purges everything, and tells what memory that took at the most.
async fn look_through(root: &str, clock: &TestClock, count: u64) {
    let store = open(root.as_ref(), clock);
    let began = SystemClock.now();
    let (mut seen, mut from) = (0, Cursor::start());
    loop {
        let page = store.traverse(&user(), from, 256).await.unwrap();
        seen += page.entries.len() as u64;
        let Some(next) = page.next else { break };
        from = next;
    }
    assert_eq!(seen, count);
    let traversed = SystemClock.now();
    let purge = || async {
        let (mut removed, mut more) = (0, true);
        while more {
            let purged = store.purge(1_000).await.unwrap();
            (removed, more) = (removed + purged.removed, purged.more);
        }
        removed
    };
    assert_eq!(purge().await, 0);
    let looked = SystemClock.now();
    clock.advance(Duration::from_secs(60));
    assert_eq!(purge().await, count.div_ceil(100));
    let purged = SystemClock.now();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak = peak.trim().trim_end_matches(" kB");
    let [traversal, nothing, some] = [(began, traversed), (traversed, looked), (looked, purged)]
        .map(|(from, to)| to.saturating_since(from));
    println!("\npeak {peak} KiB; traversal {traversal:?}, purge of none {nothing:?}, of 1 % {some:?}");
}

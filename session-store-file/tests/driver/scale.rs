//! Very many files: the memory of pages and purges does not grow with the store.

use std::time::Duration;

use session_core::{Clock as _, Condition, Cursor, Driver as _, TestClock};

use session_conformance::testing::{ChildProcess, amount, block_on, child_args, say};

use crate::support::{key, open, record, site, user};

/// How much more memory, in KiB, a process may need for many records than for few.
const ALLOWED: u64 = 4 << 10;

#[test]
fn memory_does_not_grow_with_the_number_of_records() {
    let test = "scale::memory_does_not_grow_with_the_number_of_records";
    if let Some(args) = child_args(test) {
        let clock = TestClock::new(session_core::Timestamp::from_millis(args[1].parse().unwrap()));
        return block_on(look_through(&args[2], &clock, args[0].parse().unwrap()));
    }
    let (few, many) = (amount(500, 10_000), amount(5_000, 1_000_000));
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
        // In a process of its own, so that its peak excludes the stores.
        let (count, now) = (count.to_string(), site.clock.now().as_millis().to_string());
        let mut child = ChildProcess::spawn(test, &[&count, &now, site.root.to_str().unwrap()]);
        child.wait_for("peak ").parse::<u64>().unwrap()
    });
    let more = peaks[1].saturating_sub(peaks[0]);
    assert!(more <= ALLOWED, "{more} KiB more for {many} records than for {few}");
}

/// Traverses and purges everything, and prints the peak memory.
async fn look_through(root: &str, clock: &TestClock, count: u64) {
    let store = open(root.as_ref(), clock);
    let (mut seen, mut from) = (0, Cursor::start());
    loop {
        let page = store.traverse(&user(), from, 256).await.unwrap();
        seen += page.entries.len() as u64;
        let Some(next) = page.next else { break };
        from = next;
    }
    assert_eq!(seen, count);
    let purge = || async {
        let (mut removed, mut more) = (0, true);
        while more {
            let purged = store.purge(1_000).await.unwrap();
            (removed, more) = (removed + purged.removed, purged.more);
        }
        removed
    };
    assert_eq!(purge().await, 0);
    clock.advance(Duration::from_secs(60));
    assert_eq!(purge().await, count.div_ceil(100));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    say(&format!("peak {}", peak.trim().trim_end_matches(" kB")));
}

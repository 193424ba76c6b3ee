//! The parts together: answers, counters, and what a purge looks at.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Change, Clock, Condition, Key, OldDecision, Purged, Record, Revision, StoreErrorKind, TestClock,
    Timestamp, Touch,
};

use crate::purge::Purge;
use crate::store::Inner;
use crate::usage::Amount;
use crate::{Memory, MemoryConfig};

const PREFIXES: [&str; 3] = ["session", "user", "flash"];

fn revision(n: u64) -> Revision {
    Revision::from_bytes(n.to_le_bytes())
}

fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

impl Inner {
    /// What is there, counted anew. Table, queues and counters must agree on it.
    fn recount(&self) -> Amount {
        let mut total = Amount::default();
        for shard in 0..self.table.shards() {
            let reading = self.table.read(shard);
            let mut tags = Vec::new();
            reading.tags(true, |tag| tags.push(tag));
            reading.tags(false, |tag| tags.push(tag));
            assert_eq!(tags.len(), reading.len());
            tags.sort_unstable();
            tags.dedup();
            for tag in tags {
                reading.each(tag, |found| {
                    assert!(reading.is_filed(tag, found));
                    total.entries += 1;
                    total.bytes += found.amount().bytes;
                });
            }
            assert!(reading.due_is_a_lower_bound());
        }
        total
    }
}

/// Ten thousand random operations against a map in plain sight.
#[test]
fn it_answers_as_a_plain_map_would_and_counters_never_drift() {
    for (seed, bytes) in [(1, None), (2, Some(64_000)), (3, Some(9_000))] {
        let clock = TestClock::new(Timestamp::from_millis(1_000_000));
        let mut options = MemoryConfig::new().max_entries(300).shards(2).clock(Arc::new(clock.clone()));
        if let Some(bytes) = bytes {
            options = options.max_bytes(bytes);
        }
        let store = Memory::open(options).unwrap().0;
        let mut model: HashMap<Key, Record> = HashMap::new();
        let mut seed: u64 = seed;
        let mut refused = 0;
        for step in 0..10_000 {
            let now = clock.now();
            let pick = next(&mut seed);
            let key = Key::parse(&format!("{}:{:0>40}", PREFIXES[pick as usize % 3], pick % 457)).unwrap();
            let live = model.get(&key).filter(|record| record.is_live(now)).cloned();
            let known = live.as_ref().map_or(revision(0), |record| record.revision);
            let when = match next(&mut seed) % 4 {
                0 => Condition::Any,
                1 => Condition::Absent,
                _ => Condition::Revision(known),
            };
            let deadline = match next(&mut seed) % 5 {
                0 => None,
                1 => Some(now),
                _ => Some(now.saturating_add(Duration::from_millis(next(&mut seed) % 100_000))),
            };
            let conflict = Change::Conflict(live.clone());
            match next(&mut seed) % 10 {
                0..=4 => {
                    let data =
                        vec![step as u8; next(&mut seed) as usize % [300, 700][step as usize / 64 % 2]];
                    let record = Record::new(data, deadline, revision(step + 1));
                    let holds = when.decide(live.map(|record| record.revision), Some(record.revision))
                        == OldDecision::Apply;
                    match store.store(&key, record.clone(), when) {
                        Ok(answer) if holds => {
                            assert_eq!(answer, Change::Applied);
                            model.insert(key, record);
                        }
                        Ok(answer) => assert_eq!(answer, conflict),
                        Err(error) => {
                            assert!(holds);
                            assert_eq!(error.kind(), StoreErrorKind::Full);
                            refused += 1;
                        }
                    }
                }
                5..=6 => {
                    let answer = store.remove(&key, when, None);
                    let holds = when.decide(live.as_ref().map(|record| record.revision), None);
                    match (holds, live) {
                        (OldDecision::Apply, Some(_)) => {
                            assert_eq!(answer, Change::Applied);
                            model.remove(&key);
                        }
                        (OldDecision::Apply, None) if when == Condition::Absent => {
                            assert_eq!(answer, Change::Applied)
                        }
                        _ => assert_eq!(answer, conflict),
                    }
                }
                7 => {
                    let moved =
                        store.touch(&key, Touch { from: known, to: revision(step + 1), deadline: deadline });
                    assert_eq!(moved, live.is_some());
                    if let Some(record) = live {
                        model.insert(
                            key,
                            Record { expires: deadline, revision: revision(step + 1), ..record },
                        );
                    }
                }
                8 if step % 7 == 0 => {
                    clock.set(now.saturating_sub(Duration::from_millis(pick % 9_000)));
                    // What had expired lives again, unless it was removed meanwhile.
                    model.retain(|key, record| record.is_live(now) || store.retrieve(key).is_some());
                }
                8 => clock.advance(Duration::from_millis(pick % 900)),
                _ => {
                    let mut purge = Purge::new(&store, 5);
                    while !purge.batch(1) {}
                    assert!(purge.answer().removed <= 5);
                }
            }
            if step % 500 == 0 {
                for (key, record) in &model {
                    let expected = record.is_live(now).then(|| record.clone());
                    assert_eq!(store.retrieve(key), expected);
                }
                assert_eq!(store.recount(), store.usage.used());
                assert!(store.usage.used().entries <= 300);
                assert!(bytes.is_none_or(|most| store.usage.used().bytes <= most));
            }
        }
        assert_eq!(store.recount(), store.usage.used());
        assert!(bytes.is_none() || refused > 0);
    }
}

#[test]
fn a_purge_looks_at_what_it_removes_and_not_at_the_rest() {
    let clock = TestClock::new(Timestamp::from_millis(1_000_000));
    let store = Memory::open(MemoryConfig::new().clock(Arc::new(clock.clone()))).unwrap().0;
    let stored = |n: u64, after: u64| {
        let key = Key::parse(&format!("session:{n}")).unwrap();
        let deadline = clock.now().saturating_add(Duration::from_secs(after));
        let record = Record::new("", Some(deadline), revision(n));
        assert!(store.store(&key, record, Condition::Any).unwrap().is_applied());
    };
    (0..50_000).for_each(|n| stored(n, 7_200 + n % 7));
    let visits = |limit: usize| {
        let mut purge = Purge::new(&store, limit);
        while !purge.batch(100) {}
        (purge.visits, purge.answer())
    };
    assert_eq!(visits(1_000), (0, Purged::default()));
    (50_000..50_500).for_each(|n| stored(n, 60 + n % 10));
    clock.advance(Duration::from_secs(100));
    let (visited, purged) = visits(400);
    assert_eq!(purged, Purged { removed: 400, more: true });
    assert!(visited <= 12 * 400, "{visited}");
    let (visited, purged) = visits(400);
    assert_eq!(purged, Purged { removed: 100, more: false });
    assert!(visited <= 12 * 100, "{visited}");
    assert_eq!(visits(400), (0, Purged::default()));
    assert_eq!(store.recount().entries, 50_000);
}

#[test]
fn sessions_that_are_used_are_looked_at_once_a_lifetime_and_survive() {
    let clock = TestClock::new(Timestamp::from_millis(1_000_000));
    let store = Memory::open(MemoryConfig::new().clock(Arc::new(clock.clone()))).unwrap().0;
    let keys: Vec<Key> = (0..1_000).map(|n| Key::parse(&format!("session:{n}")).unwrap()).collect();
    let idle = Duration::from_secs(1_000);
    for key in &keys {
        let record = Record::new("", Some(clock.now().saturating_add(idle)), revision(0));
        assert!(store.store(key, record, Condition::Any).unwrap().is_applied());
    }
    let mut visits = 0;
    for round in 0..100 {
        clock.advance(Duration::from_secs(100));
        for key in &keys {
            assert!(store.touch(
                key,
                revision(round),
                revision(round + 1),
                Some(clock.now().saturating_add(idle))
            ));
        }
        let mut purge = Purge::new(&store, 100);
        while !purge.batch(100) {}
        assert_eq!(purge.answer(), Purged::default());
        visits += purge.visits;
    }
    // Ten lifetimes; a few levels of the queue in each.
    assert!(visits <= 10 * 10 * keys.len(), "{visits}");
    store.recount();
}

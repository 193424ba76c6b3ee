//! The parts together: answers, counters, and what a purge looks at.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use session_conformance::testing::Rng;
use session_core::{
    Change, ChangeRequest, Clock, Condition, Decision, Found, Key, Prefix, Record, Revision, StoreErrorKind,
    TestClock, Timestamp, Touch,
};

use crate::bounds::Amount;
use crate::row::NEVER;
use crate::store::Inner;
use crate::{MemoryConfig, MemoryStore, OnFull};

const PREFIXES: [&str; 3] = ["session", "user", "flash"];

fn revision(n: u64) -> Revision {
    Revision::from_bytes(n.to_le_bytes())
}

fn open(config: MemoryConfig, start: u64) -> (Arc<Inner>, TestClock) {
    let clock = TestClock::new(Timestamp::from_millis(start));
    (MemoryStore::open(config.clock(Arc::new(clock.clone()))).unwrap().0, clock)
}

impl Inner {
    fn put(&self, key: &Key, expires: Timestamp, n: u64) {
        let record = Record::new("", Some(expires), revision(n));
        let stored = self.change(key, ChangeRequest::Store { record, condition: Condition::Any });
        assert!(stored.unwrap().is_applied());
    }

    /// Purges in one go. Returns how many tags it looked at, and how many records it removed.
    fn purged(&self, limit: usize) -> (usize, usize) {
        let (mut visits, mut removed) = (0, 0);
        for shard in self.table.round() {
            let steps = std::iter::from_fn(|| {
                let step = self.purge_step(shard, limit - removed)?;
                (visits, removed) = (visits + step.visits, removed + step.removed);
                Some(())
            });
            assert!(steps.take(10_000).count() < 10_000, "a purge ends");
        }
        (visits, removed)
    }

    /// Counts all records again. Checks that each has a tag in its queue.
    fn recount(&self) -> Amount {
        let mut total = Amount::default();
        for number in 0..self.table.shards() {
            let shard = self.table.read(number);
            let mut found = 0;
            for sessions in [true, false] {
                let queue = shard.queue(sessions);
                let mut tags: Vec<u32> = queue.tags().collect();
                assert_eq!(tags.len(), queue.len());
                assert!(tags.len() <= 2 * shard.len() + 1_025);
                tags.sort_unstable();
                tags.dedup();
                for tag in tags {
                    shard.each(tag, |row| {
                        if row.is_in(&Prefix::SESSION) == sessions {
                            let due = row.due();
                            let is_found = self.table.may_be_due(number, Timestamp::from_millis(due));
                            assert!(due == NEVER || is_found);
                            found += 1;
                            total.entries += 1;
                            total.bytes += row.amount().bytes;
                        }
                    });
                }
            }
            assert_eq!(found, shard.len());
        }
        total
    }
}

/// Ten thousand random operations, compared with a plain map.
#[test]
fn answers_equal_those_of_a_plain_map() {
    for (start, bytes, policy) in [
        (3, None, None),
        (NEVER - (1 << 40), Some(64_000), None),
        (1_700_000_000_000, Some(9_000), None),
        (1_000_000, Some(9_000), Some(OnFull::Evict)),
    ] {
        let mut config = MemoryConfig::new().max_entries(300).shards(2);
        config.max_bytes = bytes;
        config.on_full = policy;
        let (store, clock) = open(config, start);
        let mut model: HashMap<Key, Record> = HashMap::new();
        let mut random = Rng::with_seed(start);
        let mut refused = 0;
        for step in 0..10_000 {
            let now = clock.now();
            let pick = random.u64(..1 << 31);
            let key = Key::parse(&format!("{}:{:0>40}", PREFIXES[pick as usize % 3], pick % 457)).unwrap();
            if policy.is_some() && store.retrieve(&key).is_none() {
                // Evicted, or expired.
                model.remove(&key);
            }
            let live = model.get(&key).filter(|record| record.is_live(now)).cloned();
            let known = live.as_ref().map_or(revision(0), |record| record.revision);
            let condition = match random.u64(..1 << 31) % 4 {
                0 => Condition::Any,
                1 => Condition::Absent,
                _ => Condition::Revision(known),
            };
            let deadline = match random.u64(..1 << 31) % 5 {
                0 => None,
                1 => Some(now),
                _ => Some(now.saturating_add(Duration::from_millis(random.u64(..1 << (pick % 34))))),
            };
            let data = vec![step as u8; random.u64(..1 << 31) as usize % [300, 700][step as usize / 64 % 2]];
            let record = Record::new(data, deadline, revision(step + 1));
            let touch = Touch { from: known, to: revision(step + 1), deadline };
            let request = match random.u64(..1 << 31) % 10 {
                0..=4 => ChangeRequest::Store { record: record.clone(), condition },
                5..=6 => ChangeRequest::Remove { condition },
                7 => ChangeRequest::Touch(touch),
                8 if step % 7 == 0 => {
                    clock.set(now.saturating_sub(Duration::from_millis(pick % 9_000)));
                    // Expired records live again, unless they were removed meanwhile.
                    model.retain(|key, record| record.is_live(now) || store.retrieve(key).is_some());
                    continue;
                }
                8 => {
                    clock.advance(Duration::from_millis(pick % 900));
                    continue;
                }
                _ => {
                    assert!(store.purged(5).1 <= 5);
                    continue;
                }
            };
            let found = live.as_ref().map_or(Found::Nothing, |live| Found::Live(live.revision));
            let decision = request.decide(found, now);
            match store.change(&key, request.clone()) {
                Err(error) => {
                    assert_eq!((decision, error.kind()), (Decision::Write, StoreErrorKind::Full));
                    refused += 1;
                }
                Ok(answer) if decision == Decision::Conflict => assert_eq!(answer, Change::Conflict(live)),
                Ok(answer) => {
                    assert_eq!(answer, Change::Applied);
                    match (decision, request) {
                        (Decision::Delete, _) => drop(model.remove(&key)),
                        (Decision::Write, ChangeRequest::Touch(_)) => {
                            let record = Record { expires: deadline, revision: touch.to, ..live.unwrap() };
                            model.insert(key, record);
                        }
                        (Decision::Write, _) => drop(model.insert(key, record)),
                        _ => {}
                    }
                }
            }
            if step % 100 == 0 {
                for (key, record) in &model {
                    let stored = store.retrieve(key);
                    assert!(stored.is_some() || policy.is_some() || !record.is_live(now));
                    assert!(stored.is_none_or(|stored| record.is_live(now) && stored == *record));
                }
                // A purge in one go leaves exactly the live records.
                store.purged(usize::MAX);
                let now = clock.now();
                model.retain(|_, record| record.is_live(now));
                let count = store.recount();
                assert!(policy.is_some() || count.entries == model.len() as u64, "at step {step}");
                assert_eq!(count, store.usage.used());
                assert!(count.entries <= 300);
                assert!(bytes.is_none_or(|most| store.usage.used().bytes <= most));
            }
        }
        assert_eq!(store.recount(), store.usage.used());
        assert!(bytes.is_none() || refused > 0);
    }
}

#[test]
fn purge_looks_at_expired_records_only() {
    let (store, clock) = open(MemoryConfig::new(), 0);
    let put = |n: u64, after: u64| {
        let key = Key::parse(&format!("session:{n}")).unwrap();
        store.put(&key, clock.now().saturating_add(Duration::from_secs(after)), n);
    };
    (0..50_000).for_each(|n| put(n, 7_200 + n % 7));
    assert_eq!(store.purged(1_000), (0, 0));
    (50_000..50_500).for_each(|n| put(n, 60 + n % 10));
    clock.advance(Duration::from_secs(100));
    for (limit, expected) in [(400, 400), (400, 100)] {
        let (visits, removed) = store.purged(limit);
        assert_eq!(removed, expected);
        assert!(visits <= 12 * expected, "{visits}");
    }
    assert_eq!(store.purged(400), (0, 0));
    assert_eq!(store.recount().entries, 50_000);
}

#[test]
fn purge_looks_at_used_sessions_once_a_lifetime() {
    let (store, clock) = open(MemoryConfig::new(), 0);
    let keys: Vec<Key> = (0..1_000).map(|n| Key::parse(&format!("session:{n}")).unwrap()).collect();
    let deadline = || clock.now().saturating_add(Duration::from_secs(1_000));
    keys.iter().for_each(|key| store.put(key, deadline(), 0));
    let mut total = 0;
    for round in 0..100 {
        clock.advance(Duration::from_secs(100));
        for key in &keys {
            let touch = Touch { from: revision(round), to: revision(round + 1), deadline: Some(deadline()) };
            assert!(store.change(key, ChangeRequest::Touch(touch)).unwrap().is_applied());
        }
        let (visits, removed) = store.purged(100);
        assert_eq!(removed, 0);
        total += visits;
    }
    // Ten lifetimes; a few levels of the queue in each.
    assert!(total <= 10 * 10 * keys.len(), "{total}");
    store.recount();
}

#[test]
fn created_and_removed_sessions_leave_few_tags() {
    let (store, clock) = open(MemoryConfig::new().shards(2), 0);
    let deadline = clock.now().saturating_add(Duration::from_secs(7_200));
    for n in 0..20_000 {
        let (one, two) = (n % 977, (n + 50) % 977);
        store.put(&Key::parse(&format!("session:{one}")).unwrap(), deadline, n);
        let key = Key::parse(&format!("session:{two}")).unwrap();
        let removed = store.change(&key, ChangeRequest::Remove { condition: Condition::Any });
        assert!(removed.is_ok());
    }
    // Counts the tags of each shard, too.
    store.recount();
}

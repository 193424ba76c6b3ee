//! The parts together: answers, counters, and what a purge looks at.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Change, ChangeRequest, Clock, Condition, Decision, Found, Key, Prefix, Record, Revision, StoreErrorKind,
    TestClock, Timestamp, Touch,
};

use crate::bounds::Amount;
use crate::queue::Queue;
use crate::row::{NEVER, due};
use crate::store::Inner;
use crate::{MemoryConfig, MemoryStore, OnFull};

const PREFIXES: [&str; 3] = ["session", "user", "flash"];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

fn revision(n: u64) -> Revision {
    Revision::from_bytes(n.to_le_bytes())
}

fn open(config: MemoryConfig) -> (Arc<Inner>, TestClock) {
    let clock = TestClock::new(Timestamp::from_millis(1_000_000));
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
            while let Some(step) = self.purge_step(shard, limit - removed) {
                (visits, removed) = (visits + step.visits, removed + step.removed);
            }
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
    for (seed, bytes, policy) in [
        (1, None, None),
        (2, Some(64_000), None),
        (3, Some(9_000), None),
        (4, Some(9_000), Some(OnFull::Evict)),
    ] {
        let mut config = MemoryConfig::new().max_entries(300).shards(2);
        config.max_bytes = bytes;
        config.on_full = policy;
        let (store, clock) = open(config);
        let mut model: HashMap<Key, Record> = HashMap::new();
        let mut random = Random(seed);
        let mut refused = 0;
        for step in 0..10_000 {
            let now = clock.now();
            let pick = random.next();
            let key = Key::parse(&format!("{}:{:0>40}", PREFIXES[pick as usize % 3], pick % 457)).unwrap();
            if policy.is_some() && store.retrieve(&key).is_none() {
                // Evicted, or expired.
                model.remove(&key);
            }
            let live = model.get(&key).filter(|record| record.is_live(now)).cloned();
            let known = live.as_ref().map_or(revision(0), |record| record.revision);
            let condition = match random.next() % 4 {
                0 => Condition::Any,
                1 => Condition::Absent,
                _ => Condition::Revision(known),
            };
            let deadline = match random.next() % 5 {
                0 => None,
                1 => Some(now),
                _ => Some(now.saturating_add(Duration::from_millis(random.next() % 100_000))),
            };
            let data = vec![step as u8; random.next() as usize % [300, 700][step as usize / 64 % 2]];
            let record = Record::new(data, deadline, revision(step + 1));
            let touch = Touch { from: known, to: revision(step + 1), deadline };
            let request = match random.next() % 10 {
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
            if step % 500 == 0 {
                for (key, record) in &model {
                    let stored = store.retrieve(key);
                    assert!(stored.is_some() || policy.is_some() || !record.is_live(now));
                    assert!(stored.is_none_or(|stored| record.is_live(now) && stored == *record));
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
fn purge_looks_at_expired_records_only() {
    let (store, clock) = open(MemoryConfig::new());
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
    let (store, clock) = open(MemoryConfig::new());
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
    let (store, clock) = open(MemoryConfig::new().shards(2));
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

/// A queue with the records that a shard would keep: the deadline of each tag.
struct Model {
    queue: Queue,
    records: BTreeMap<u32, u64>,
}

impl Model {
    /// Purges at `now`. Returns how many tags it looked at, and which were expired.
    fn purge(&mut self, now: u64) -> (usize, Vec<u32>) {
        if self.queue.is_behind(now) {
            self.queue = Queue::new(now);
            self.records.iter().for_each(|(tag, due)| self.queue.push(*due, *tag));
        }
        let (mut visits, mut expired) = (0, Vec::new());
        while let Some(tag) = self.queue.pop_due(now) {
            visits += 1;
            match self.records.get(&tag).copied() {
                Some(due) if due > now || due == NEVER => self.queue.push(due, tag),
                Some(_) => {
                    self.records.remove(&tag);
                    expired.push(tag);
                }
                None => {}
            }
        }
        expired.sort_unstable();
        (visits, expired)
    }
}

#[test]
fn queue_finds_exactly_the_expired_tags() {
    for start in [0, 3, 1_700_000_000_000, (u64::MAX >> 1) - 100_000] {
        let (mut now, mut random) = (start, Random(start ^ 0x5eed));
        let mut model = Model { queue: Queue::new(now), records: BTreeMap::new() };
        for step in 0..20_000_u32 {
            let pick = random.next();
            let span = 1_u64 << (pick % 34);
            let tag = model.records.keys().nth(pick as usize % 97).copied();
            match (random.next() % 10, tag) {
                (0..=3, _) => {
                    let later = now.saturating_add(random.next() % span);
                    let due = due(match pick % 17 {
                        0 => None,
                        1 => Some(Timestamp::from_millis(now.saturating_sub(pick % 50))),
                        2 => Some(Timestamp::from_millis(u64::MAX)),
                        _ => Some(Timestamp::from_millis(later)),
                    });
                    model.queue.push(due, step);
                    model.records.insert(step, due);
                }
                (4, Some(tag)) => drop(model.records.remove(&tag)),
                (5, Some(tag)) => {
                    let due = model.records.remove(&tag).unwrap();
                    model.queue.forget(due, tag);
                }
                // A touch to a later moment leaves the tag where it is.
                (6, Some(tag)) => {
                    let later = model.records[&tag].saturating_add(span);
                    model.records.insert(tag, due(Some(Timestamp::from_millis(later))));
                }
                (7..=8, _) => now = now.saturating_add(pick % 5_000),
                (9, _) => {
                    if pick.is_multiple_of(16) {
                        now = now.saturating_sub(pick % 20_000);
                    }
                    let due = model.records.iter().filter(|(_, due)| **due <= now.min(NEVER - 1));
                    let expected: Vec<u32> = due.map(|(tag, _)| *tag).collect();
                    assert_eq!(model.purge(now).1, expected, "at step {step}");
                }
                _ => {}
            }
            if step % 64 == 0 {
                assert_eq!(model.queue.len(), model.queue.tags().count());
                let mut dues = model.records.values();
                assert!(dues.all(|due| *due == NEVER || model.queue.earliest() <= *due));
            }
        }
    }
}

#[test]
fn queue_looks_at_expired_tags_a_few_times() {
    let mut model = Model { queue: Queue::new(0), records: BTreeMap::new() };
    for tag in 0..100_000 {
        let due = if tag % 100 == 0 { 1_000 + u64::from(tag) / 100 } else { 7_200_000 + u64::from(tag) };
        model.queue.push(due, tag);
        model.records.insert(tag, due);
    }
    assert_eq!(model.purge(999).1.len(), 0);
    let (visits, expired) = model.purge(2_000);
    assert_eq!(expired.len(), 1_000);
    // At most one visit for each bit of the first 1,024 ms, and the one that removes.
    assert!(visits <= 11_000, "{visits}");
    assert_eq!(model.purge(3_000), (0, Vec::new()));
}

//! The parts together: answers, counters, and what a purge looks at.

use std::sync::Arc;
use std::time::Duration;

use session_conformance::testing::{MapDriver, Rng};
use session_core::{
    Clock, Condition, Driver, Key, Prefix, Record, Revision, StoreErrorKind, TestClock, Timestamp, Touch,
};

use crate::bounds::Amount;
use crate::row::NEVER;
use crate::store::Inner;
use crate::{MemoryConfig, MemoryStore, OnFull};

fn revision(n: u64) -> Revision {
    Revision::from_bytes(n.to_le_bytes())
}

fn open(config: MemoryConfig, start: u64) -> (MemoryStore, TestClock) {
    let clock = TestClock::new(Timestamp::from_millis(start));
    (MemoryStore::open(config.clock(Arc::new(clock.clone()))).unwrap(), clock)
}

fn session(n: u64) -> Key {
    Key::parse(&format!("session:{n}")).unwrap()
}

impl MemoryStore {
    async fn put(&self, n: u64, secs: u64) {
        let deadline = self.clock().now().saturating_add(Duration::from_secs(secs));
        let record = Record::new("", Some(deadline), revision(0));
        assert!(self.store(&session(n), record, Condition::Any).await.unwrap().is_applied());
    }
}

impl Inner {
    /// Purges in one go. Returns how many tags it looked at, and how many records it removed.
    fn purged(&self, limit: usize) -> (usize, usize) {
        let (mut visits, mut removed) = (0, 0);
        for shard in self.table.round() {
            let steps = std::iter::from_fn(|| {
                let (looked, gone) = self.purge_step(shard, limit - removed)?;
                (visits, removed) = (visits + looked, removed + gone);
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
                            let due = row.head().due;
                            assert!(
                                due == NEVER || self.table.may_be_due(number, Timestamp::from_millis(due))
                            );
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
#[tokio::test]
async fn answers_equal_those_of_a_plain_map() {
    for (start, bytes, policy) in [
        (3, None, None),
        (NEVER - (1 << 40), Some(64_000), None),
        (1_700_000_000_000, Some(9_000), None),
        (1_000_000, Some(9_000), Some(OnFull::Evict)),
    ] {
        let mut config = MemoryConfig::new().max_entries(300).shards(2);
        (config.max_bytes, config.on_full) = (bytes, policy);
        let (store, clock) = open(config, start);
        let (inner, model) = (&store.0, MapDriver::new(clock.clone()));
        let mut random = Rng::with_seed(start);
        let mut refused = 0;
        for step in 1..=10_000 {
            let pick = random.u64(..1 << 31);
            let prefix = ["session", "user", "flash"][pick as usize % 3];
            let key = Key::parse(&format!("{prefix}:{:0>40}", pick % 457)).unwrap();
            if policy.is_some() && store.retrieve(&key).await.unwrap().is_none() {
                // Evicted, or expired.
                let _ = model.remove(&key, Condition::Any).await.unwrap();
            }
            let live = model.retrieve(&key).await.unwrap();
            let known = live.map_or(revision(0), |record| record.revision);
            let condition =
                random.choice([Condition::Any, Condition::Absent, Condition::Revision(known)]).unwrap();
            let later = Duration::from_millis(random.u64(..1 << (pick % 34)));
            let now = clock.now();
            let deadline = [None, Some(now), Some(now.saturating_add(later))][random.usize(..5).min(2)];
            match random.u64(..11) {
                0..=4 => {
                    let data = vec![step as u8; random.usize(..[300, 700][step as usize / 64 % 2])];
                    let record = Record::new(data, deadline, revision(step));
                    match store.store(&key, record.clone(), condition).await {
                        Ok(answer) => assert_eq!(answer, model.store(&key, record, condition).await.unwrap()),
                        Err(error) => {
                            assert_eq!(error.kind(), StoreErrorKind::Full);
                            refused += 1;
                        }
                    }
                }
                5..=6 => {
                    let removed = store.remove(&key, condition).await.unwrap();
                    assert_eq!(removed, model.remove(&key, condition).await.unwrap());
                }
                7 => {
                    let touch = Touch { from: known, to: revision(step), deadline };
                    let touched = store.touch(&key, touch).await.unwrap();
                    assert_eq!(touched, model.touch(&key, touch).await.unwrap());
                }
                8 if step % 7 == 0 => {
                    clock.set(now.saturating_sub(Duration::from_millis(pick % 9_000)));
                    // Expired records live again, unless they were removed meanwhile.
                    for key in model.all().keys() {
                        if store.retrieve(key).await.unwrap().is_none() {
                            assert!(model.remove(key, Condition::Any).await.unwrap().is_applied());
                        }
                    }
                }
                8..=9 => clock.advance(Duration::from_millis(pick % 900)),
                _ => assert!(inner.purged(5).1 <= 5),
            }
            if step % 100 == 0 {
                for (key, record) in model.all() {
                    let stored = store.retrieve(&key).await.unwrap();
                    assert!(stored == Some(record) || stored.is_none() && policy.is_some());
                }
                // A purge in one go leaves exactly the live records.
                inner.purged(usize::MAX);
                assert!(!model.purge(usize::MAX).await.unwrap().more);
                let count = inner.recount();
                assert!(policy.is_some() || count.entries == model.all().len() as u64, "at step {step}");
                assert_eq!(count, inner.usage.used());
                assert!(count.entries <= 300 && bytes.is_none_or(|most| count.bytes <= most));
            }
        }
        assert!(bytes.is_none() || refused > 0);
    }
}

#[tokio::test]
async fn purge_looks_at_expired_records_only() {
    let (store, clock) = open(MemoryConfig::new(), 0);
    for n in 0..50_000 {
        store.put(n, 7_200 + n % 7).await;
    }
    assert_eq!(store.0.purged(1_000), (0, 0));
    for n in 50_000..50_500 {
        store.put(n, 60 + n % 10).await;
    }
    clock.advance(Duration::from_secs(100));
    for (limit, expected) in [(400, 400), (400, 100)] {
        let (visits, removed) = store.0.purged(limit);
        assert_eq!(removed, expected);
        assert!(visits <= 12 * expected, "{visits}");
    }
    assert_eq!(store.0.purged(400), (0, 0));
    assert_eq!(store.0.recount().entries, 50_000);
}

#[tokio::test]
async fn purge_looks_at_used_sessions_once_a_lifetime() {
    let (store, clock) = open(MemoryConfig::new(), 0);
    let mut total = 0;
    for round in 0..101 {
        let deadline = Some(clock.now().saturating_add(Duration::from_secs(1_000)));
        for n in 0..1_000 {
            if round == 0 {
                store.put(n, 1_000).await;
            } else {
                let touch = Touch { from: revision(round - 1), to: revision(round), deadline };
                assert!(store.touch(&session(n), touch).await.unwrap());
            }
        }
        let (visits, removed) = store.0.purged(100);
        assert_eq!(removed, 0);
        total += visits;
        clock.advance(Duration::from_secs(100));
    }
    // Ten lifetimes; a few levels of the queue in each.
    assert!(total <= 10 * 10 * 1_000, "{total}");
    store.0.recount();
}

#[tokio::test]
async fn created_and_removed_sessions_leave_few_tags() {
    let (store, _) = open(MemoryConfig::new().shards(2), 0);
    for n in 0..20_000 {
        store.put(n % 977, 7_200).await;
        let _ = store.remove(&session((n + 50) % 977), Condition::Any).await.unwrap();
    }
    // Counts the tags of each shard, too.
    store.0.recount();
}

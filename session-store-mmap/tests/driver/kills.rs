//! Processes that are killed at any instruction. `SESSION_KIT_FULL=1` runs the long form: 10,000 kills.

use std::pin::pin;
use std::thread;
use std::time::Duration;

use session_conformance::testing::{
    ChildProcess, FreshPath, Rng, amount, block_on, full, poll_once, rng, say,
};
use session_core::{
    Applied, Change, Condition, Cursor, Driver, Key, Prefix, Record, Revision, StoreErrorKind, Touch,
    yield_now,
};
use session_store_mmap::{MmapConfig, MmapStore};

use crate::{config, fresh, key, number, open, pattern, put, record, spawn};

/// How many records a child reports its acknowledged writes of.
const KEYS: usize = 6;
/// How many records all processes write, read, touch and remove as fast as they can.
const NOISE: u64 = 40;
/// Keys of both shards.
const PROBES: [&str; 4] = ["one", "two", "three", "four"];

fn own(child: usize, index: usize) -> Key {
    key(&format!("own-{child}-{index}"))
}

fn owner(child: usize, index: usize) -> u64 {
    (child * KEYS + index) as u64
}

/// The task of a child.
pub(crate) fn write_until_killed(config: &MmapConfig, child: u64) {
    let store = MmapStore::open(config.clone()).unwrap();
    for seed in 0..2 {
        let store = store.clone();
        thread::spawn(move || block_on(make_noise(&store, Rng::with_seed(child * 1_000 + seed))));
    }
    let child = child as usize;
    block_on(async {
        let mut seen: Vec<Option<Record>> = Vec::new();
        for index in 0..KEYS {
            seen.push(store.retrieve(&own(child, index)).await.unwrap());
        }
        for turn in 0.. {
            let index = turn % KEYS;
            let (key, owner) = (own(child, index), owner(child, index));
            let old = seen[index].take();
            if let (1, Some(old)) = (turn / KEYS % 3, &old) {
                // Each third time the record is touched instead, and keeps its number.
                let to = Revision::random().unwrap();
                assert!(store.touch(&key, Touch { from: old.revision, to, deadline: None }).await.unwrap());
                seen[index] = Some(Record { revision: to, ..old.clone() });
                continue;
            }
            let n = old.as_ref().map_or(0, |old| number(owner, old)) + 1;
            let condition = old.map_or(Condition::Absent, |old| Condition::Revision(old.revision));
            let next = record(pattern(owner, n));
            assert_eq!(store.store(&key, next.clone(), condition).await.unwrap(), Change::Applied);
            say(&format!("ack {index} {n}"));
            seen[index] = Some(next);
        }
    });
}

/// Writes, touches, removes, purges and lists the shared records. Reads must be whole.
async fn make_noise(store: &MmapStore, mut random: Rng) {
    let mut cursor = Cursor::start();
    loop {
        let index = random.u64(..NOISE);
        let key = Key::parse(&format!("session:noise-{index}")).unwrap();
        match random.u8(..16) {
            0..=7 => {
                let soon = store.clock().now().saturating_add(Duration::from_millis(20));
                let expires = random.bool().then_some(soon);
                let record = Record { expires, ..record(pattern(index, random.u64(..1 << 31))) };
                assert!(store.store(&key, record, Condition::Any).await.unwrap().is_applied());
            }
            kind @ 8..=13 => {
                let Some(record) = store.retrieve(&key).await.unwrap() else { continue };
                number(index, &record);
                if kind <= 10 {
                    let to = Revision::random().unwrap();
                    let touch = Touch { from: record.revision, to, deadline: None };
                    store.touch(&key, touch).await.unwrap();
                }
            }
            14 if random.u8(..4) == 0 => drop(store.remove(&key, Condition::Any).await.unwrap()),
            14 => drop(store.purge(8).await.unwrap()),
            _ => {
                let page = store.traverse(&Prefix::SESSION, cursor, 5).await.unwrap();
                cursor = page.next.unwrap_or(Cursor::start());
            }
        }
    }
}

/// A child, and the last number that it acknowledged of each record.
struct Worker {
    number: usize,
    process: ChildProcess,
    acknowledged: [u64; KEYS],
}

impl Worker {
    fn start(path: &FreshPath, number: usize, acknowledged: [u64; KEYS]) -> Self {
        Self { number, process: spawn(path, "write", number as u64), acknowledged }
    }

    /// Waits until it has acknowledged another write.
    fn wait(&mut self) {
        let rest = self.process.wait_for("ack ");
        note(&mut self.acknowledged, &rest);
    }

    /// Kills it, and returns all that it had acknowledged.
    fn kill(mut self) -> [u64; KEYS] {
        for line in self.process.kill() {
            if let Some(rest) = line.strip_prefix("ack ") {
                note(&mut self.acknowledged, rest);
            }
        }
        self.acknowledged
    }
}

fn note(acknowledged: &mut [u64; KEYS], line: &str) {
    let (index, n) = line.split_once(' ').unwrap();
    acknowledged[index.parse::<usize>().unwrap()] = n.parse().unwrap();
}

/// Each record of the child has the number that was acknowledged or the next one. Returns the numbers.
fn check(store: &MmapStore, child: usize, acknowledged: [u64; KEYS]) -> [u64; KEYS] {
    std::array::from_fn(|index| {
        let known = acknowledged[index];
        let found = crate::get(store, &own(child, index));
        let n = found.map_or(0, |record| number(owner(child, index), &record));
        assert!(n == known || n == known + 1, "record {index}: {n}, but {known} was acknowledged");
        n
    })
}

#[test]
fn a_killed_process_loses_nothing_and_stops_no_other() {
    const CHILDREN: usize = 3;
    let path = fresh();
    let mut random = rng();
    let mut store = Some(open(&path));
    let mut workers: Vec<_> = (0..CHILDREN).map(|child| Worker::start(&path, child, [0; KEYS])).collect();
    let mut kills = 0;
    while kills < amount(200, 10_000) {
        let child = random.usize(..CHILDREN);
        for worker in &mut workers {
            if worker.number == child || worker.acknowledged == [0; KEYS] {
                worker.wait();
            }
        }
        thread::sleep(Duration::from_micros(random.u64(..3_000)));
        if kills % 20 == 19 {
            // All of them, and this process closes the file: the next opener is the only one.
            drop(store.take());
            let known: Vec<_> = workers.drain(..).map(|worker| (worker.number, worker.kill())).collect();
            kills += CHILDREN;
            let store = store.insert(open(&path));
            for (child, acknowledged) in known {
                workers.push(Worker::start(&path, child, check(store, child, acknowledged)));
            }
        } else {
            let at = workers.iter().position(|worker| worker.number == child).unwrap();
            let acknowledged = workers.swap_remove(at).kill();
            kills += 1;
            let store = store.get_or_insert_with(|| open(&path));
            workers.push(Worker::start(&path, child, check(store, child, acknowledged)));
        }
    }
    let store = store.unwrap_or_else(|| open(&path));
    for worker in workers {
        let child = worker.number;
        check(&store, child, worker.kill());
    }
    let repairs = store.repairs();
    assert_eq!(repairs.lost, 0, "{repairs:?}");
    assert!(repairs.shards > 0, "no kill of {kills} has hit a process within a change: {repairs:?}");
}

/// Stops a child at random until it is within a change. Returns the child and a key whose lock it holds.
fn stopped_within_a_change(path: &FreshPath, child: usize) -> (Worker, Key) {
    let mut worker = Worker::start(path, child, [0; KEYS]);
    worker.wait();
    let probe = MmapStore::open(config(path).busy_timeout(Duration::from_millis(10))).unwrap();
    for n in 0..5_000_u64 {
        thread::sleep(Duration::from_micros(200 + n * 37 % 900));
        worker.process.stop();
        for id in PROBES {
            match block_on(probe.store(&key(id), record(id), Condition::Any)) {
                Ok(stored) => assert!(stored.is_applied()),
                Err(error) => {
                    assert_eq!((error.kind(), error.is_retryable()), (StoreErrorKind::Unavailable, true));
                    assert_eq!(error.applied(), Applied::No);
                    return (worker, key(id));
                }
            }
        }
        worker.process.resume();
    }
    panic!("the child was never stopped within a change");
}

/// The task of the children that wait for the lock in the next test.
pub(crate) fn wait_for_the_lock(config: &MmapConfig) {
    let store = MmapStore::open(config.clone().busy_timeout(Duration::from_secs(600))).unwrap();
    for id in PROBES {
        say("waits");
        put(&store, &key(id), &record(id));
    }
}

#[test]
fn a_killed_lock_owner_blocks_no_waiting_process() {
    let path = fresh();
    let store = MmapStore::open(config(&path).busy_timeout(Duration::from_secs(600))).unwrap();
    for round in 0..if full() { 300 } else { 6 } {
        let repaired = store.repairs().shards;
        let (worker, held) = stopped_within_a_change(&path, round % 3);
        let others = [(); 2].map(|()| {
            let mut other = spawn(&path, "wait", 0);
            let _ = other.wait_for("waits");
            other
        });
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (store, held) = (store.clone(), held.clone());
                thread::spawn(move || put(&store, &held, &record("waited")))
            })
            .collect();
        // A waiting call leaves its runtime worker to other tasks, and readers need no lock.
        block_on(async {
            let mut ours = pin!(store.store(&held, record("ours"), Condition::Any));
            for _ in 0..200 {
                assert!(poll_once(ours.as_mut()).is_none(), "the owner is stopped");
                assert!(store.retrieve(&held).await.is_ok());
                yield_now().await;
            }
            assert!(waiting.iter().all(|thread| !thread.is_finished()), "the owner is stopped");
            worker.kill();
            assert!(ours.await.unwrap().is_applied());
        });
        for thread in waiting {
            thread.join().unwrap();
        }
        for other in others {
            other.finish();
        }
        assert!(store.repairs().shards > repaired, "the owner died within a change");
        assert_eq!(store.repairs().lost, 0);
    }
}

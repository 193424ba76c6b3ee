//! Processes that are killed at any instruction.
//!
//! `SESSION_KIT_FULL=1` runs the long form: 10,000 kills.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::pin::{Pin, pin};
use std::process::Child;
use std::thread;
use std::time::Duration;

use session_core::{
    Applied, Change, Condition, Cursor, Driver, Key, Prefix, Record, Revision, StoreErrorKind, Touch,
};
use session_store_mmap::{MmapConfig, MmapStore};

use crate::{Place, key, number, pattern, put, record, rounds, run, spawn};

/// Records of which each child says what was acknowledged.
const KEYS: u64 = 6;
/// Records that all processes write, read, touch and remove as fast as they can.
const NOISE: u64 = 40;

fn own(child: u64, index: u64) -> Key {
    key(&format!("own-{child}-{index}"))
}

fn noise(index: u64) -> Key {
    Key::parse(&format!("session:noise-{index}")).unwrap()
}

/// What a child does until it is killed.
pub(crate) fn write_for_ever(config: &MmapConfig, child: u64) {
    let store = MmapStore::open(config.clone()).unwrap();
    for seed in 0..2 {
        let store = store.clone();
        thread::spawn(move || run(make_noise(&store, child * 1_000 + seed)));
    }
    run(async {
        let mut seen: Vec<Option<Record>> = Vec::new();
        for index in 0..KEYS {
            seen.push(store.retrieve(&own(child, index)).await.unwrap());
        }
        let mut out = std::io::stdout().lock();
        for turn in 0.. {
            let index = turn % KEYS;
            let (key, whose) = (own(child, index), child * KEYS + index);
            let old = seen[index as usize].clone();
            let n = old.as_ref().map_or(0, |old| number(whose, old)) + 1;
            if let (1, Some(old)) = (turn / KEYS % 3, &old) {
                // Every third time the record is touched instead, and keeps its number.
                let to = Revision::random().unwrap();
                assert!(store.touch(&key, Touch { from: old.revision, to, deadline: None }).await.unwrap());
                seen[index as usize] = Some(Record { revision: to, ..old.clone() });
                continue;
            }
            let when = old.map_or(Condition::Absent, |old| Condition::Revision(old.revision));
            let next = record(pattern(whose, n));
            assert_eq!(store.store(&key, next.clone(), when).await.unwrap(), Change::Applied);
            // One write call, so that a line is there or not.
            out.write_all(format!("\nack {index} {n}\n").as_bytes()).unwrap();
            seen[index as usize] = Some(next);
        }
    });
}

/// Writes over, touches, removes, purges and lists what everybody does; reads must be whole.
async fn make_noise(store: &MmapStore, seed: u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let mut cursor = Cursor::start();
    loop {
        let index = next() % NOISE;
        let key = noise(index);
        match next() % 16 {
            0..=7 => {
                let soon = store.clock().now().saturating_add(Duration::from_millis(20));
                let record = record(pattern(index, next()));
                let record = if next() % 2 == 0 { record } else { Record { expires: Some(soon), ..record } };
                assert!(store.store(&key, record, Condition::Any).await.unwrap().is_applied());
            }
            8..=10 => {
                if let Some(record) = store.retrieve(&key).await.unwrap() {
                    number(index, &record);
                    store
                        .touch(
                            &key,
                            Touch { from: record.revision, to: Revision::random().unwrap(), deadline: None },
                        )
                        .await
                        .unwrap();
                }
            }
            11..=13 => {
                if let Some(record) = store.retrieve(&key).await.unwrap() {
                    number(index, &record);
                }
            }
            14 if next() % 4 == 0 => {
                let _ = store.remove(&key, Condition::Any).await.unwrap();
            }
            14 => drop(store.purge(8).await.unwrap()),
            _ => {
                let page = store.traverse(&Prefix::SESSION, cursor, 5).await.unwrap();
                cursor = page.next.unwrap_or(Cursor::start());
            }
        }
    }
}

/// A child, and what it has said.
struct Worker {
    process: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Worker {
    fn start(place: &Place, child: u64) -> Self {
        let mut process = spawn(place, "write", child);
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// Waits for its first word.
    fn works(&mut self, acknowledged: &mut [u64]) {
        let mut line = String::new();
        while !take(&line, acknowledged) {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "{:?}", self.process.wait());
        }
    }

    /// Kills it, and hears what it had said until then.
    fn kill(mut self, acknowledged: &mut [u64]) {
        assert_eq!(self.process.try_wait().unwrap(), None, "a process ended that nobody had killed");
        self.process.kill().unwrap();
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        for line in rest.lines() {
            take(line, acknowledged);
        }
        assert_eq!(self.process.wait().unwrap().signal(), Some(9), "died of something else");
    }
}

fn take(line: &str, acknowledged: &mut [u64]) -> bool {
    let Some((index, n)) = line.strip_prefix("ack ").and_then(|rest| rest.trim_end().split_once(' ')) else {
        return false;
    };
    acknowledged[index.parse::<usize>().unwrap()] = n.parse().unwrap();
    true
}

#[test]
fn whoever_is_killed_takes_nothing_with_it_and_the_others_go_on() {
    const CHILDREN: usize = 3;
    let place = Place::new();
    let mut store = Some(place.open());
    let mut acknowledged = [[0_u64; KEYS as usize]; CHILDREN];
    let mut random = u64::from(std::process::id());
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let check = |store: &MmapStore, child: usize, acknowledged: &mut [u64]| {
        for index in 0..KEYS {
            let known = acknowledged[index as usize];
            let found = run(store.retrieve(&own(child as u64, index))).unwrap();
            let n = found.map_or(0, |record| number(child as u64 * KEYS + index, &record));
            assert!(n == known || n == known + 1, "record {index}: {n}, but {known} was acknowledged");
            acknowledged[index as usize] = n;
        }
    };
    let start = |child: usize| Worker::start(&place, child as u64);
    let mut workers: Vec<Worker> = (0..CHILDREN).map(start).collect();
    let mut kills = 0;
    let total = rounds(200, 10_000);
    while kills < total {
        for (child, worker) in workers.iter_mut().enumerate() {
            if acknowledged[child] == [0; KEYS as usize] {
                worker.works(&mut acknowledged[child]);
            }
        }
        let child = next() as usize % CHILDREN;
        workers[child].works(&mut acknowledged[child]);
        thread::sleep(Duration::from_micros(next() % 3_000));
        if kills % 20 == 19 {
            // All of them, and nobody is left who could notice: the next one to open is alone with the file.
            drop(store.take());
            for (child, worker) in workers.drain(..).enumerate() {
                worker.kill(&mut acknowledged[child]);
                kills += 1;
            }
            let store = store.insert(place.open());
            for (child, acknowledged) in acknowledged.iter_mut().enumerate() {
                check(store, child, acknowledged);
            }
            workers = (0..CHILDREN).map(start).collect();
        } else {
            workers.remove(child).kill(&mut acknowledged[child]);
            kills += 1;
            let store = store.get_or_insert_with(|| place.open());
            check(store, child, &mut acknowledged[child]);
            workers.insert(child, start(child));
        }
    }
    let store = store.unwrap_or_else(|| place.open());
    for (child, worker) in workers.into_iter().enumerate() {
        worker.kill(&mut acknowledged[child]);
        check(&store, child, &mut acknowledged[child]);
    }
    let repairs = store.repairs();
    assert_eq!(repairs.lost, 0, "{repairs:?}");
    assert!(repairs.shards > 0, "none of {kills} kills has hit a process within a change: {repairs:?}");
}

/// Stops a child at random until it is within a change, and gives it with a key that its lock is in the way of.
fn stopped_within_a_change(place: &Place, child: u64) -> (Worker, Key) {
    let mut worker = Worker::start(place, child);
    worker.works(&mut [0; KEYS as usize]);
    let probe = MmapStore::open(place.config().busy_timeout(Duration::from_millis(10))).unwrap();
    let pid = rustix::process::Pid::from_child(&worker.process);
    for n in 0..5_000_u64 {
        thread::sleep(Duration::from_micros(200 + n * 37 % 900));
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        // All its threads stand still only now.
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::UNTRACED).unwrap();
        for id in ["one", "two", "three", "four"] {
            let key = key(id);
            match run(probe.store(&key, record(id), Condition::Any)) {
                Ok(stored) => assert!(stored.is_applied()),
                Err(error) => {
                    assert_eq!((error.kind(), error.is_retryable()), (StoreErrorKind::Unavailable, true));
                    assert_eq!(error.applied(), Applied::No);
                    return (worker, key);
                }
            }
        }
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    }
    panic!("it was never stopped within a change");
}

/// The child that waits for the lock in the next test.
pub(crate) fn wait_for_the_lock(config: &MmapConfig) {
    let store = MmapStore::open(config.clone().busy_timeout(Duration::from_secs(600))).unwrap();
    for id in ["one", "two", "three", "four"] {
        std::io::stdout().write_all(b"\nwaits\n").unwrap();
        put(&store, &key(id), &record(id));
    }
}

#[test]
fn an_owner_that_is_killed_while_others_wait_holds_nobody_up() {
    let place = Place::new();
    let store = MmapStore::open(place.config().busy_timeout(Duration::from_secs(600))).unwrap();
    for round in 0..rounds(6, 300) {
        let repaired = store.repairs().shards;
        let (worker, held) = stopped_within_a_change(&place, round % 3);
        let mut others = Vec::new();
        for _ in 0..2 {
            let mut other = spawn(&place, "wait", 0);
            let mut lines = BufReader::new(other.stdout.take().unwrap());
            let mut line = String::new();
            while !line.starts_with("waits") {
                line.clear();
                assert!(lines.read_line(&mut line).unwrap() > 0);
            }
            others.push((other, lines));
        }
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (store, held) = (store.clone(), held.clone());
                thread::spawn(move || put(&store, &held, &record("waited")))
            })
            .collect();
        // Who waits keeps no worker of its runtime from other tasks, and no reader.
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let mut ours = pin!(store.store(&held, record("ours"), Condition::Any));
            for _ in 0..200 {
                assert!(futures_poll(ours.as_mut()).await.is_none(), "the owner is stopped");
                assert!(store.retrieve(&held).await.is_ok());
                tokio::task::yield_now().await;
            }
            assert!(waiting.iter().all(|thread| !thread.is_finished()), "the owner is stopped");
            let mut acknowledged = [0; KEYS as usize];
            worker.kill(&mut acknowledged);
            assert!(ours.await.unwrap().is_applied());
        });
        for thread in waiting {
            thread.join().unwrap();
        }
        for (mut other, _lines) in others {
            let status = other.wait().unwrap();
            assert!(status.success(), "round {round}: {status}");
        }
        assert!(store.repairs().shards > repaired, "the owner died within a change");
        assert_eq!(store.repairs().lost, 0);
    }
}

async fn futures_poll<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

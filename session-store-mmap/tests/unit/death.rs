//! Dying before each store to the shared file, one after the other.
//!
//! Others see of a process only what it stores to the file, and the kernel tells them that the owner of a lock is gone,
//! for a thread as for a process. So a thread that dies before its n-th store, for every n, stands for a process that
//! is killed at any instruction. (`tests/driver/kills.rs` kills real ones, at random.)

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, Condition, Key, Prefix, Record, Revision, TestClock, Timestamp, Touch};

use crate::config::{MmapConfig, OnFull};
use crate::death::ends_before;
use crate::error::Fault;
use crate::layout::{shard, superblock};
use crate::ops::Ops;
use crate::protocol::Words;
use crate::table::TAGS;

/// What a store holds, by key.
type Content = BTreeMap<Key, Record>;

fn key(id: u64) -> Key {
    let prefix = if id.is_multiple_of(2) { "session" } else { "user" };
    Key::parse(&format!("{prefix}:{id:0>43}")).unwrap()
}

fn content<'a>(ops: &Ops, keys: impl IntoIterator<Item = &'a Key>) -> Content {
    keys.into_iter().filter_map(|key| Some((key.clone(), ops.retrieve(key).unwrap()?))).collect()
}

/// A file in the state from which something is tried.
struct Scene {
    directory: tempfile::TempDir,
    clock: TestClock,
    on_full: OnFull,
    file: Vec<u8>,
    /// How many files there were: writing one anew over an old one would wait for the disk.
    files: Cell<u64>,
}

impl Scene {
    fn new(on_full: OnFull, prepare: impl FnOnce(&Ops, &TestClock)) -> Self {
        let clock = TestClock::new(Timestamp::from_millis(1_000_000));
        let directory = tempfile::tempdir().unwrap();
        let mut scene =
            Self { directory, clock: clock.clone(), on_full, file: Vec::new(), files: Cell::new(0) };
        prepare(&scene.open(), &clock);
        scene.file = std::fs::read(scene.config().path).unwrap();
        scene
    }

    fn config(&self) -> MmapConfig {
        let path = self.directory.path().join(format!("map-{}", self.files.get()));
        let clock = Arc::new(self.clock.clone());
        let config = MmapConfig::new(path).max_bytes(200 << 10).extent_bytes(4096).shards(1);
        config.clock(clock).on_full(self.on_full)
    }

    fn open(&self) -> Ops {
        let config = self.config();
        let area = crate::open::open(&config).unwrap();
        Ops::new(&area, config.on_full, config.clock).patient()
    }

    /// A handle on the state from the beginning.
    fn again(&self) -> Ops {
        std::fs::remove_file(self.config().path).unwrap();
        self.files.set(self.files.get() + 1);
        std::fs::write(self.config().path, &self.file).unwrap();
        self.open()
    }

    /// Tries `work` on the file, letting it die before each of its stores.
    fn die_everywhere(&self, what: &str, work: impl Fn(&Ops) + Sync) {
        let ops = self.again();
        let all: Vec<Key> = (0..1_000).map(key).collect();
        let before = content(&ops, &all);
        work(&ops);
        ops.area.audit();
        let after = content(&ops, &all);
        drop(ops);
        let keys: BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
        #[expect(clippy::disallowed_methods, reason = "how much a test does is for its caller to say")]
        let full = std::env::var_os("SESSION_KIT_FULL").is_some();
        let mut n = 0;
        loop {
            let what = format!("{what}, dead before store {n}");
            let ops = self.again();
            let done = ends_before(n, || work(&ops));
            // Readers need no lock, and see each record as it was or as it is going to be.
            let seen = content(&ops, keys.iter().copied());
            is_old_or_new(&seen, &before, &after, &what);
            if !done {
                // Whoever repairs may die, too. A prime, so that it is elsewhere each time.
                ends_before(n * 7_919 % 97, || drop(ops.area.shard(0).lock()));
            }
            let ops = if n % 3 == 1 {
                // Nobody is left: the next one to open is alone with the file.
                drop(ops);
                self.open()
            } else {
                ops
            };
            self.goes_on(&ops, &seen, &what);
            if full || n < 30 || n % 3 == 0 {
                self.nothing_comes_back(&ops, &keys, &seen, &what);
            }
            for key in seen.keys() {
                assert!(ops.remove(key, Condition::Any).unwrap().is_applied(), "{what}");
            }
            put(&ops, 1, 100, 100);
            ops.area.audit();
            if done {
                assert!(n > 3, "{what}: nothing was tried");
                return;
            }
            // Long copies are the same again and again.
            n += if full || n < 30 { 1 } else { 3 + n % 29 };
        }
    }

    /// Whoever comes next finds what was seen, right books, and room for everything that was given up.
    fn goes_on(&self, ops: &Ops, seen: &Content, what: &str) {
        drop(ops.area.shard(0).lock().unwrap());
        assert_eq!(content(ops, seen.keys()), *seen, "{what}: after the repair");
        ops.area.audit();
        assert_eq!(ops.area.superblock().get(superblock::LOST), 0, "{what}: lost");
        let mut counted = 0;
        for prefix in [Prefix::SESSION, Prefix::new("user").unwrap()] {
            let mut tag = 0;
            while tag < TAGS {
                let (live, next) = ops.count_step(&prefix, 0, tag).unwrap();
                counted += live;
                tag = next;
            }
        }
        assert_eq!(counted, seen.len() as u64, "{what}: counted");
    }

    /// The same file without its table has the same records: what had ended is not among them.
    fn nothing_comes_back(&self, ops: &Ops, keys: &BTreeSet<&Key>, seen: &Content, what: &str) {
        let copy = tempfile::tempdir().unwrap();
        let config = MmapConfig { path: copy.path().join("map"), ..self.config() };
        let mut bytes = std::fs::read(self.config().path).unwrap();
        let table = (ops.area.geometry.shard_at(0) + 8 * shard::TABLE as u64) as usize;
        bytes[table..table + 8].fill(0);
        for extent in 0..ops.area.grown() {
            let at = ops.area.geometry.extent_at(extent) as usize;
            if bytes[at..].starts_with(b"SKTABLE\n") {
                bytes[at..at + 4096].fill(0);
            }
        }
        std::fs::write(&config.path, bytes).unwrap();
        let area = crate::open::open(&config).unwrap();
        let copy = Ops::new(&area, self.on_full, Arc::new(self.clock.clone()) as Arc<dyn Clock>).patient();
        // A full file has no room for a table: then some are counted as lost.
        let lost = area.superblock().get(superblock::LOST);
        let found = content(&copy, keys.iter().copied());
        assert!(
            found.iter().all(|(key, record)| seen.get(key) == Some(record)),
            "{what}: what had ended is back"
        );
        assert!(found.len() as u64 + lost >= seen.len() as u64, "{what}: {} of {}", found.len(), seen.len());
        copy.area.audit();
    }
}

fn is_old_or_new(seen: &Content, before: &Content, after: &Content, what: &str) {
    for key in before.keys().chain(after.keys()) {
        let (seen, before, after) = (seen.get(key), before.get(key), after.get(key));
        assert!(seen == before || seen == after, "{what}: {seen:?} is neither {before:?} nor {after:?}");
    }
}

fn record(n: u64, length: usize) -> Record {
    Record::new(vec![n as u8; length], None, Revision::from_bytes(n.to_le_bytes()))
}

fn put(ops: &Ops, id: u64, n: u64, length: usize) {
    let answer = ops.store(&key(id), &record(n, length), Condition::Any);
    assert!(answer.unwrap().is_applied());
}

fn remove(ops: &Ops, id: u64) {
    assert!(ops.remove(&key(id), Condition::Any).unwrap().is_applied());
}

/// Whoever comes next only looks, and repairs first.
#[test]
fn what_a_dead_process_left_is_listed_though_the_number_of_records_says_that_there_is_none() {
    let test = Prefix::SESSION;
    let listed = |ops: &Ops| -> Vec<Key> {
        let page = ops.page(&test, &session_core::Cursor::start(), 10).unwrap();
        page.entries.into_iter().map(|entry| entry.key).collect()
    };
    let empty = Scene::new(OnFull::Reject, |_, _| {});
    let one = Scene::new(OnFull::Reject, |ops, _| put(ops, 2, 1, 10));
    for (scene, work) in
        [(&empty, (|ops: &Ops| put(ops, 2, 1, 10)) as fn(&Ops)), (&one, |ops: &Ops| remove(ops, 2))]
    {
        for n in 0.. {
            let ops = scene.again();
            let ended = ends_before(n, || work(&ops));
            let there = ops.retrieve(&key(2)).unwrap().map(|_| key(2));
            assert_eq!(listed(&ops), Vec::from_iter(there), "dead before store {n}");
            if ended {
                break;
            }
        }
    }
}

fn some(ops: &Ops, _: &TestClock) {
    for id in 0..20 {
        put(ops, id, id, 40 * id as usize);
    }
    for id in [3, 11, 12, 13] {
        remove(ops, id);
    }
    put(ops, 50, 50, 6_000);
}

#[test]
fn whoever_dies_while_storing_leaves_the_old_record_or_the_new_one() {
    let empty = Scene::new(OnFull::Reject, |_, _| {});
    empty.die_everywhere("the first record", |ops| put(ops, 1, 1, 100));
    empty.die_everywhere("a large first record", |ops| put(ops, 1, 1, 9_000));
    let scene = Scene::new(OnFull::Reject, some);
    scene.die_everywhere("a new record", |ops| put(ops, 100, 1, 100));
    scene.die_everywhere("a new record over a tomb", |ops| put(ops, 12, 1, 10));
    scene.die_everywhere("the same size", |ops| put(ops, 7, 1, 280));
    scene.die_everywhere("from small to large", |ops| put(ops, 7, 1, 7_000));
    scene.die_everywhere("from large to small", |ops| put(ops, 50, 1, 10));
    scene.die_everywhere("from large to large", |ops| put(ops, 50, 1, 8_100));
}

#[test]
fn whoever_dies_while_touching_or_removing_leaves_the_record_as_it_was_or_done() {
    let scene = Scene::new(OnFull::Reject, some);
    let deadline = Some(Timestamp::from_millis(2_000_000));
    let touch = |ops: &Ops, id: u64, from: u64| {
        let (from, to) = (Revision::from_bytes(from.to_le_bytes()), Revision::from_bytes([9; 8]));
        assert!(ops.touch(&key(id), Touch { from, to, deadline }).unwrap());
    };
    scene.die_everywhere("a touch", |ops| touch(ops, 7, 7));
    for id in [0, 4, 10, 14, 19, 50] {
        scene.die_everywhere(&format!("removing {id}"), |ops| remove(ops, id));
    }
}

/// Tables hold 376 records, and are made anew when three quarters of that are taken.
#[test]
fn whoever_dies_while_a_table_is_made_anew_leaves_the_old_one_or_the_new_one() {
    let scene = Scene::new(OnFull::Reject, |ops, _| {
        for id in 0..282 {
            put(ops, id, id, 0);
        }
    });
    scene.die_everywhere("a larger table", |ops| put(ops, 999, 1, 10));
}

#[test]
fn whoever_dies_while_an_extent_is_emptied_leaves_each_record_in_one_place() {
    let scene = Scene::new(OnFull::Reject, |ops, _| {
        for id in 0..60 {
            put(ops, id, id, 700);
        }
        for id in (0..60).filter(|id| id % 4 != 0) {
            remove(ops, id);
        }
        // What was freed is found from the list, until nothing fits.
        for id in 100..106 {
            put(ops, id, id, 1_500);
        }
    });
    let emptied = Cell::new(0);
    let before = scene.again().area.shard(0).head.get(shard::EXTENTS);
    let ops = scene.again();
    for id in 200..260 {
        put(&ops, id, id, 1_700);
        let extents = ops.area.shard(0).head.get(shard::EXTENTS);
        if extents < before {
            break;
        }
        emptied.set(id + 1 - 200);
    }
    drop(ops);
    let many = emptied.get();
    scene.die_everywhere("stores that empty extents", |ops| {
        (200..=200 + many.min(20)).for_each(|id| put(ops, id, id, 1_700));
    });
}

fn fill(ops: &Ops, from: u64, length: usize) {
    for id in from.. {
        match ops.store(&key(id), &record(id, length), Condition::Absent) {
            Ok(stored) => assert!(stored.is_applied()),
            Err(Fault::Full) => return,
            Err(fault) => panic!("{fault:?}"),
        }
    }
}

#[test]
fn whoever_dies_while_making_room_has_removed_each_record_or_not() {
    let expired = Scene::new(OnFull::Reject, |ops, clock| {
        for id in 0..12 {
            let soon = Some(clock.now().saturating_add(Duration::from_secs(1)));
            let record = Record { expires: soon, ..record(id, 900) };
            assert!(ops.store(&key(id), &record, Condition::Absent).unwrap().is_applied());
        }
        fill(ops, 100, 900);
        clock.advance(Duration::from_secs(5));
    });
    expired.die_everywhere("what has expired goes first", |ops| put(ops, 900, 1, 900));
    expired.die_everywhere("a purge", |ops| {
        let (gone, rest) = ops.purge_step(0, None, 7).unwrap();
        assert!(gone == 7 && rest.is_none());
    });
    // Filled as one that refuses, which is the same file.
    let mut full = Scene::new(OnFull::Reject, |ops, _| fill(ops, 100, 900));
    full.die_everywhere("replacing in a full file", |ops| put(ops, 100, 1, 900));
    full.on_full = OnFull::Evict;
    full.die_everywhere("sessions go", |ops| put(ops, 901, 1, 900));
}

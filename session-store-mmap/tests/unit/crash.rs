//! A death before each store to the shared file, one after the other.
//!
//! Other processes see only a process's stores to the file, and the kernel reports the dead owner of a lock for a
//! thread as for a process. So a thread that dies before its n-th store, for every n, stands for a process that is
//! killed at any instruction. (`tests/driver/kills.rs` kills real processes at random.)

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use session_conformance::testing::full;
use session_core::{Clock, Condition, Cursor, Key, Prefix, Record, TestClock, Timestamp, Touch};

use super::{key, open, put, record, remove, revision};
use crate::crash::finishes_before_crash;
use crate::error::Fault;
use crate::file::SessionFile;
use crate::layout::{shard, superblock};
use crate::protocol::Words;
use crate::{MmapConfig, OnFull};

/// The records of a store, by key.
type Content = BTreeMap<Key, Record>;

fn content<'a>(file: &SessionFile, keys: impl IntoIterator<Item = &'a Key>) -> Content {
    keys.into_iter().filter_map(|key| Some((key.clone(), file.retrieve(key).unwrap()?))).collect()
}

/// A file in the state from which changes are tried.
struct Scene {
    directory: tempfile::TempDir,
    clock: TestClock,
    on_full: OnFull,
    bytes: Vec<u8>,
    /// How many files there were. Overwriting an old file would wait for the disk.
    files: Cell<u64>,
}

impl Scene {
    fn new(on_full: OnFull, prepare: impl FnOnce(&SessionFile, &TestClock)) -> Self {
        let clock = TestClock::new(Timestamp::from_millis(1_000_000));
        let directory = tempfile::tempdir().unwrap();
        let mut scene =
            Self { directory, clock: clock.clone(), on_full, bytes: Vec::new(), files: Cell::new(0) };
        prepare(&open(&scene.config()), &clock);
        scene.bytes = std::fs::read(scene.config().path).unwrap();
        scene
    }

    fn config(&self) -> MmapConfig {
        let path = self.directory.path().join(format!("map-{}", self.files.get()));
        let clock = Arc::new(self.clock.clone());
        let config = MmapConfig::new(path).max_bytes(200 << 10).extent_bytes(4096).shards(1);
        config.clock(clock).on_full(self.on_full)
    }

    /// A handle on a fresh copy of the file.
    fn again(&self) -> SessionFile {
        std::fs::remove_file(self.config().path).unwrap();
        self.files.set(self.files.get() + 1);
        std::fs::write(self.config().path, &self.bytes).unwrap();
        open(&self.config())
    }

    /// Tries `work` on the file, with a death before each of its stores.
    fn die_everywhere(&self, what: &str, work: impl Fn(&SessionFile) + Sync) {
        let file = self.again();
        let all: Vec<Key> = (0..1_000).map(key).collect();
        let before = content(&file, &all);
        work(&file);
        file.audit();
        let after = content(&file, &all);
        drop(file);
        let keys: BTreeSet<&Key> = before.keys().chain(after.keys()).collect();
        let mut n = 0;
        loop {
            let what = format!("{what}, dead before store {n}");
            let mut file = self.again();
            let done = finishes_before_crash(n, || work(&file));
            // Readers need no lock, and see each record in its old or new state.
            let seen = content(&file, keys.iter().copied());
            is_old_or_new(&seen, &before, &after, &what);
            if !done {
                // The repair may die too. A prime, so that it dies in another place each time.
                finishes_before_crash(n * 7_919 % 97, || drop(file.shard(0).lock()));
            }
            if n % 3 == 1 {
                // No process is left: the next opener is the only one.
                drop(file);
                file = open(&self.config());
            }
            repaired_file_works(&file, &seen, &what);
            if full() || n < 30 || n % 3 == 0 {
                self.no_record_returns(&file, &keys, &seen, &what);
            }
            for key in seen.keys() {
                assert!(file.remove(key, Condition::Any, None).unwrap().is_applied(), "{what}");
            }
            put(&file, 1, 100, 100);
            file.audit();
            if done {
                assert!(n > 3, "{what}: nothing was tried");
                return;
            }
            // Long copies repeat the same store.
            n += if full() || n < 30 { 1 } else { 3 + n % 29 };
        }
    }

    /// A copy of the file without its table has the same records: the salvage brings back no removed one.
    fn no_record_returns(&self, file: &SessionFile, keys: &BTreeSet<&Key>, seen: &Content, what: &str) {
        let directory = tempfile::tempdir().unwrap();
        let config = MmapConfig { path: directory.path().join("map"), ..self.config() };
        let mut bytes = std::fs::read(self.config().path).unwrap();
        let table = (file.geometry.shard_at(0) + 8 * shard::TABLE as u64) as usize;
        bytes[table..table + 8].fill(0);
        for extent in 0..file.grown() {
            let at = file.geometry.extent_at(extent) as usize;
            if bytes[at..].starts_with(b"SKTABLE\n") {
                bytes[at..at + 4096].fill(0);
            }
        }
        std::fs::write(&config.path, bytes).unwrap();
        let copy = open(&config);
        // A full file has no room for a table. Then some records are counted as lost.
        let lost = copy.superblock().get(superblock::LOST);
        let found = content(&copy, keys.iter().copied());
        assert!(
            found.iter().all(|(key, record)| seen.get(key) == Some(record)),
            "{what}: a removed record is back"
        );
        assert!(found.len() as u64 + lost >= seen.len() as u64, "{what}: {} of {}", found.len(), seen.len());
        copy.audit();
    }
}

/// The next owner of the lock finds what readers saw, correct counters, and room for everything that was dropped.
fn repaired_file_works(file: &SessionFile, seen: &Content, what: &str) {
    drop(file.shard(0).lock().unwrap());
    assert_eq!(content(file, seen.keys()), *seen, "{what}: after the repair");
    file.audit();
    assert_eq!(file.superblock().get(superblock::LOST), 0, "{what}: lost");
    assert_eq!(listed(file).len(), seen.len(), "{what}: listed");
}

fn listed(file: &SessionFile) -> Vec<Key> {
    let mut keys = Vec::new();
    for prefix in [Prefix::SESSION, Prefix::new("user").unwrap()] {
        let mut next = Some(Cursor::start());
        while let Some(from) = next {
            let page = file.page(&prefix, &from, usize::MAX).unwrap();
            keys.extend(page.entries.into_iter().map(|entry| entry.key));
            next = page.next;
        }
    }
    keys
}

fn is_old_or_new(seen: &Content, before: &Content, after: &Content, what: &str) {
    for key in before.keys().chain(after.keys()) {
        let (seen, before, after) = (seen.get(key), before.get(key), after.get(key));
        assert!(seen == before || seen == after, "{what}: {seen:?} is neither {before:?} nor {after:?}");
    }
}

#[test]
fn a_traversal_after_a_crash_lists_what_reads_see() {
    let empty = Scene::new(OnFull::Reject, |_, _| {});
    let one = Scene::new(OnFull::Reject, |file, _| put(file, 2, 1, 10));
    let work: [fn(&SessionFile); 2] = [|file| put(file, 2, 1, 10), |file| remove(file, 2)];
    for (scene, work) in [empty, one].iter().zip(work) {
        for n in 0.. {
            let file = scene.again();
            let done = finishes_before_crash(n, || work(&file));
            let there = file.retrieve(&key(2)).unwrap().map(|_| key(2));
            assert_eq!(listed(&file), Vec::from_iter(there), "dead before store {n}");
            if done {
                break;
            }
        }
    }
}

fn some(file: &SessionFile, _: &TestClock) {
    for id in 0..20 {
        put(file, id, id, 40 * id as usize);
    }
    for id in [3, 11, 12, 13] {
        remove(file, id);
    }
    put(file, 50, 50, 6_000);
}

#[test]
fn a_crash_in_a_store_leaves_the_old_or_the_new_record() {
    let empty = Scene::new(OnFull::Reject, |_, _| {});
    empty.die_everywhere("the first record", |file| put(file, 1, 1, 100));
    empty.die_everywhere("a large first record", |file| put(file, 1, 1, 9_000));
    let scene = Scene::new(OnFull::Reject, some);
    scene.die_everywhere("a new record", |file| put(file, 100, 1, 100));
    scene.die_everywhere("a new record in a removed slot", |file| put(file, 12, 1, 10));
    scene.die_everywhere("the same size", |file| put(file, 7, 1, 280));
    scene.die_everywhere("from small to large", |file| put(file, 7, 1, 7_000));
    scene.die_everywhere("from large to small", |file| put(file, 50, 1, 10));
    scene.die_everywhere("from large to large", |file| put(file, 50, 1, 8_100));
}

#[test]
fn a_crash_in_a_touch_or_removal_leaves_it_done_or_not() {
    let scene = Scene::new(OnFull::Reject, some);
    let touch =
        Touch { from: revision(7), to: revision(999), deadline: Some(Timestamp::from_millis(2_000_000)) };
    scene.die_everywhere("a touch", |file| assert!(file.touch(&key(7), touch, None).unwrap()));
    for id in [0, 4, 10, 14, 19, 50] {
        scene.die_everywhere(&format!("removing {id}"), |file| remove(file, id));
    }
}

/// A table holds 376 records, and is replaced when three quarters of that are taken.
#[test]
fn a_crash_in_a_rebuild_leaves_the_old_or_the_new_table() {
    let scene = Scene::new(OnFull::Reject, |file, _| (0..282).for_each(|id| put(file, id, id, 0)));
    scene.die_everywhere("a larger table", |file| put(file, 999, 1, 10));
}

#[test]
fn a_crash_in_a_compaction_leaves_each_record_in_one_place() {
    let scene = Scene::new(OnFull::Reject, |file, _| {
        for id in 0..60 {
            put(file, id, id, 700);
        }
        for id in (0..60).filter(|id| id % 4 != 0) {
            remove(file, id);
        }
        // The list of free pieces is used up.
        for id in 100..106 {
            put(file, id, id, 1_500);
        }
    });
    let file = scene.again();
    let extents = || file.shard(0).head.get(shard::EXTENTS);
    let before = extents();
    let many = (200..260)
        .take_while(|&id| {
            put(&file, id, id, 1_700);
            extents() >= before
        })
        .count() as u64;
    drop(file);
    scene.die_everywhere("stores that compact extents", |file| {
        (200..=200 + many.min(20)).for_each(|id| put(file, id, id, 1_700));
    });
}

fn fill(file: &SessionFile, from: u64, length: usize) {
    for id in from.. {
        match file.store(&key(id), &record(id, length), Condition::Absent, None) {
            Ok(stored) => assert!(stored.is_applied()),
            Err(Fault::Full) => return,
            Err(fault) => panic!("{fault:?}"),
        }
    }
}

#[test]
fn a_crash_in_making_room_has_removed_each_record_or_not() {
    let expired = Scene::new(OnFull::Reject, |file, clock| {
        for id in 0..12 {
            let soon = Some(clock.now().saturating_add(Duration::from_secs(1)));
            super::store(file, id, &Record { expires: soon, ..record(id, 900) });
        }
        fill(file, 100, 900);
        clock.advance(Duration::from_secs(5));
    });
    expired.die_everywhere("expired records go first", |file| put(file, 900, 1, 900));
    expired.die_everywhere("a purge", |file| {
        let (gone, rest) = file.purge_step(0, None, 7).unwrap();
        assert!(gone == 7 && rest.is_none());
    });
    // Filled under `Reject`, which makes the same file.
    let mut full = Scene::new(OnFull::Reject, |file, _| fill(file, 100, 900));
    full.die_everywhere("replacing in a full file", |file| put(file, 100, 1, 900));
    full.on_full = OnFull::Evict;
    full.die_everywhere("an eviction", |file| put(file, 901, 1, 900));
}

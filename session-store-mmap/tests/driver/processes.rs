//! Several processes and handles on one file.

use std::time::Duration;

use session_conformance::testing::{amount, block_on};
use session_core::{Change, Condition, Driver, Record, StoreErrorKind};
use session_store_mmap::{MmapConfig, MmapStore};

use crate::{config, fresh, get, key, open, put, record, spawn};

/// Two threads that increment one counter, which all processes share.
pub(crate) fn count(store: &MmapStore, each: u64) {
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| block_on(increment(store, each)));
        }
    });
}

async fn increment(store: &MmapStore, times: u64) {
    let key = key("counter");
    for _ in 0..times {
        let mut seen = store.retrieve(&key).await.unwrap();
        loop {
            let n = seen.as_ref().map_or(0, value);
            let condition = seen.map_or(Condition::Absent, |seen| Condition::Revision(seen.revision));
            match store.store(&key, record((n + 1).to_le_bytes()), condition).await.unwrap() {
                Change::Applied => break,
                Change::Conflict(live) => seen = live,
            }
        }
    }
}

fn value(record: &Record) -> u64 {
    u64::from_le_bytes(record.data[..].try_into().unwrap())
}

#[test]
fn two_processes_lose_no_update_of_one_record() {
    let path = fresh();
    let each = amount(20_000, 1_000_000) as u64;
    let children = [(); 2].map(|()| spawn(&path, "count", each));
    let store = open(&path);
    count(&store, each / 2);
    for child in children {
        child.finish();
    }
    assert_eq!(value(&get(&store, &key("counter")).unwrap()), 2 * 2 * each + 2 * (each / 2));
    assert_eq!(store.repairs().shards, 0);
}

#[test]
fn another_geometry_is_refused_and_the_data_stays() {
    let path = fresh();
    let first = open(&path);
    put(&first, &key("kept"), &record("kept"));
    let kept = get(&first, &key("kept"));
    let refused = || {
        let others: [fn(MmapConfig) -> MmapConfig; 3] = [
            |config| config.max_bytes(32 << 20),
            |config| config.shards(4),
            |config| config.extent_bytes(4096),
        ];
        for other in others {
            let error = MmapStore::open(other(config(&path))).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
            assert!(error.to_string().contains("the file was made with"), "{error}");
        }
    };
    refused();
    assert_eq!(get(&first, &key("kept")), kept);
    drop(first);
    refused();
    assert_eq!(get(&open(&path), &key("kept")), kept);
    // Without `shards` and `extent_bytes` the file's own apply.
    let plain = MmapStore::open(MmapConfig::new(path.path()).max_bytes(64 << 20)).unwrap();
    assert_eq!(get(&plain, &key("kept")), kept);
}

#[test]
fn a_linked_file_is_the_same_store() {
    let path = fresh();
    let first = open(&path);
    let (linked, aliased) = (path.beside("linked"), path.beside("aliased"));
    std::fs::hard_link(path.path(), &linked).unwrap();
    std::os::unix::fs::symlink(path.path(), &aliased).unwrap();
    for (n, path) in [linked, aliased].into_iter().enumerate() {
        let other = MmapStore::open(MmapConfig::new(path).max_bytes(64 << 20)).unwrap();
        let written = record(vec![n as u8; 100]);
        put(&other, &key("shared"), &written);
        assert_eq!(get(&first, &key("shared")), Some(written));
    }
}

#[test]
fn a_copy_opens_although_its_locks_were_held() {
    let path = fresh();
    let child = spawn(&path, "write", 0);
    let held = open(&path);
    put(&held, &key("kept"), &record("kept"));
    for round in 0..amount(30, 500) {
        std::thread::sleep(Duration::from_millis(3));
        let copy = fresh();
        child.stop();
        std::fs::copy(path.path(), copy.path()).unwrap();
        child.resume();
        let opened = open(&copy);
        assert_eq!(get(&opened, &key("kept")).unwrap().data, "kept", "round {round}");
        put(&opened, &key("more"), &record("more"));
        assert_eq!(opened.repairs().lost, 0, "round {round}");
    }
    child.kill();
}

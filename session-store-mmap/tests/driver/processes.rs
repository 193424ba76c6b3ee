//! Several processes and handles on one file.

use session_core::{Change, Condition, Driver, Record, StoreErrorKind};
use session_store_mmap::{MmapConfig, MmapStore};

use crate::{Place, key, put, record, rounds, run, spawn};

/// Two threads that add to one counter which all share.
pub(crate) fn count(store: &MmapStore, each: u64) {
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| run(add(store, each)));
        }
    });
}

async fn add(store: &MmapStore, times: u64) {
    let key = key("counter");
    for _ in 0..times {
        let mut seen = store.retrieve(&key).await.unwrap();
        loop {
            let n = seen.as_ref().map_or(0, value);
            let when = seen.as_ref().map_or(Condition::Absent, |seen| Condition::Revision(seen.revision));
            match store.store(&key, record((n + 1).to_le_bytes()), when).await.unwrap() {
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
fn two_processes_that_hammer_one_record_lose_no_compare_and_store() {
    let place = Place::new();
    let each = rounds(20_000, 1_000_000);
    let mut children: Vec<_> = (0..2).map(|_| spawn(&place, "count", each)).collect();
    let store = place.open();
    count(&store, each / 2);
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let counted = run(store.retrieve(&key("counter"))).unwrap().unwrap();
    assert_eq!(value(&counted), 2 * 2 * each + 2 * (each / 2));
    assert_eq!(store.repairs().shards, 0);
}

#[test]
fn who_opens_with_another_geometry_is_refused_and_the_data_stays() {
    let place = Place::new();
    let first = place.open();
    put(&first, &key("kept"), &record("kept"));
    let kept = run(first.retrieve(&key("kept"))).unwrap();
    let others: [fn(MmapConfig) -> MmapConfig; 3] =
        [|config| config.max_bytes(32 << 20), |config| config.shards(4), |config| config.extent_bytes(4096)];
    for alone in [false, true] {
        for other in others {
            let error = MmapStore::open(other(place.config())).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
            assert!(error.to_string().contains("the file was made with"), "{error}");
        }
        if alone {
            break;
        }
        assert_eq!(run(first.retrieve(&key("kept"))).unwrap(), kept);
    }
    drop(first);
    for other in others {
        assert_eq!(MmapStore::open(other(place.config())).unwrap_err().kind(), StoreErrorKind::Misconfigured);
    }
    assert_eq!(run(place.open().retrieve(&key("kept"))).unwrap(), kept);
    // Who does not say how the file is to be divided takes it as it is.
    let plain = MmapStore::open(MmapConfig::new(place.path()).max_bytes(64 << 20)).unwrap();
    assert_eq!(run(plain.retrieve(&key("kept"))).unwrap(), kept);
}

#[test]
fn the_same_file_under_another_name_is_the_same_store() {
    let place = Place::new();
    let first = place.open();
    let (linked, aliased) = (place.directory.path().join("linked"), place.directory.path().join("aliased"));
    std::fs::hard_link(place.path(), &linked).unwrap();
    std::os::unix::fs::symlink(place.path(), &aliased).unwrap();
    for (n, path) in [linked, aliased].into_iter().enumerate() {
        let other = MmapStore::open(MmapConfig::new(path).max_bytes(64 << 20)).unwrap();
        let written = record(vec![n as u8; 100]);
        put(&other, &key("shared"), &written);
        assert_eq!(run(first.retrieve(&key("shared"))).unwrap(), Some(written));
    }
}

#[test]
fn a_copy_of_a_file_in_use_opens_though_its_locks_were_held() {
    let place = Place::new();
    let mut child = spawn(&place, "write", 0);
    let held = place.open();
    put(&held, &key("kept"), &record("kept"));
    for round in 0..rounds(30, 500) {
        std::thread::sleep(std::time::Duration::from_millis(3));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        // All its threads stand still only now.
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::UNTRACED).unwrap();
        let copy = Place::new();
        std::fs::copy(place.path(), copy.path()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
        let opened = copy.open();
        let kept = run(opened.retrieve(&key("kept"))).unwrap();
        assert_eq!(kept.unwrap().data, "kept", "round {round}");
        put(&opened, &key("more"), &record("more"));
        assert_eq!(opened.repairs().lost, 0, "round {round}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

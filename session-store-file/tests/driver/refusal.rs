//! Refusals of the system: permission, disk space, file descriptors, locks.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::FlockOperation;
use session_core::{
    Applied, Change, Clock as _, Condition, Driver as _, DriverExt as _, StoreError, StoreErrorKind,
    SystemClock, TestClock,
};
use session_store_file::{Durability, FileStore};

use session_conformance::testing::{ChildProcess, block_on, child_args, poll_once};

use crate::support::{config, file_of, files, key, keys, put, record, revision, shard_of, site, touched};

fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>, kind: StoreErrorKind) -> StoreError {
    let error = answer.expect_err("the call is refused");
    assert_eq!((error.kind(), error.applied()), (kind, Applied::No), "{error}");
    error
}

/// A small tmpfs for the child, in a mount namespace that ends with the child.
const SMALL_DISK: &str = "mount -t tmpfs -o size=300k,mode=700 tmpfs \"$0\" && exec \"$@\"";
/// If mounts are not allowed: files of at most 8 blocks of 512 bytes, with SIGXFSZ ignored.
const SMALL_FILES: &str = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";

fn may_mount(directory: &Path) -> bool {
    let mut command = Command::new("unshare");
    command.args(["-r", "-m", "sh", "-c", SMALL_DISK]).arg(directory).arg("true");
    command.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn full_disk_refuses_stores_and_keeps_old_records() {
    let test = "refusal::full_disk_refuses_stores_and_keeps_old_records";
    if let Some(args) = child_args(test) {
        let (how, root) = (&args[0], &args[1]);
        for durability in [Durability::Process, Durability::Power] {
            block_on(fill(Path::new(root), durability, how == "disk"));
        }
        if how == "disk" {
            let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(root).status().unwrap();
            assert!(remount.success());
            block_on(read_only(Path::new(root)));
        }
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let mounted = may_mount(directory.path());
    let (how, wrapper): (_, &[&str]) = if mounted {
        ("disk", &["unshare", "-r", "-m", "sh", "-c", SMALL_DISK, place])
    } else {
        ("file size limit", &["sh", "-c", SMALL_FILES, place])
    };
    println!("limited by: {how}");
    drop(ChildProcess::start(&mut ChildProcess::command(test, &[how, place], wrapper)).finish());
}

async fn fill(root: &Path, durability: Durability, disk: bool) {
    let store =
        FileStore::open(config(root, &TestClock::new(SystemClock.now())).durability(durability)).unwrap();
    store.clear(&crate::support::user()).await.unwrap();
    put(&store, "old", 1).await;
    let kind = if disk { StoreErrorKind::Full } else { StoreErrorKind::TooLarge };
    let mut stored = 0;
    loop {
        let name = format!("filler-{stored}");
        match store.store(&key(&name), record(stored, 20_000), Condition::Any).await {
            Ok(answer) => assert!(answer.is_applied()),
            Err(error) => break drop(refused(Err::<(), _>(error), kind)),
        }
        stored += 1;
        assert!(stored < 100, "the disk is small");
    }
    let names = keys(&store).await.unwrap();
    for when in [Condition::Any, Condition::Revision(revision(1))] {
        refused(store.store(&key("old"), record(2, 20_000), when).await, kind);
        assert_eq!(store.retrieve(&key("old")).await.unwrap(), Some(record(1, 100)));
    }
    refused(store.store(&key("new"), record(2, 20_000), Condition::Absent).await, kind);
    assert_eq!(store.retrieve(&key("new")).await.unwrap(), None);
    assert_eq!(keys(&store).await.unwrap(), names);
    assert_eq!(files(root).len(), names.len(), "no partial file is left");
    // Changes that need no space work, and freed space is used.
    assert!(store.touch(&key("old"), touched(1, 2)).await.unwrap());
    let touched = store.retrieve(&key("old")).await.unwrap().unwrap();
    assert_eq!((touched.revision, touched.data), (revision(2), record(1, 100).data));
    if stored > 0 {
        assert!(store.remove(&key("filler-0"), Condition::Any).await.unwrap().is_applied());
        assert!(store.store(&key("new"), record(3, 5_000), Condition::Absent).await.unwrap().is_applied());
    }
    store.clear(&crate::support::user()).await.unwrap();
    put(&store, "kept", 7).await;
    store.close().await.unwrap();
}

async fn read_only(root: &Path) {
    let error = FileStore::open(root).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{error}");
}

#[test]
fn missing_descriptors_are_unavailable_until_freed() {
    let test = "refusal::missing_descriptors_are_unavailable_until_freed";
    if let Some(args) = child_args(test) {
        let store = FileStore::open(config(args[0].as_ref(), &TestClock::new(SystemClock.now()))).unwrap();
        block_on(async {
            put(&store, "one", 1).await;
            let mut taken = Vec::new();
            while let Ok(file) = fs::File::open("/dev/null") {
                taken.push(file);
            }
            let kind = StoreErrorKind::Unavailable;
            refused(store.retrieve(&key("one")).await, kind);
            refused(store.store(&key("one"), record(2, 9), Condition::Any).await, kind);
            refused(store.touch(&key("one"), touched(1, 2)).await, kind);
            drop(taken);
            assert_eq!(store.retrieve(&key("one")).await.unwrap(), Some(record(1, 100)));
            put(&store, "one", 2).await;
        });
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("store");
    let wrapper = ["sh", "-c", "ulimit -n 60; exec \"$@\"", "sh"];
    let mut command = ChildProcess::command(test, &[place.to_str().unwrap()], &wrapper);
    drop(ChildProcess::start(&mut command).finish());
}

#[tokio::test]
async fn taken_lock_delays_its_own_shard_only() {
    for durability in [Durability::Process, Durability::Power] {
        let site = site();
        let open = |timeout| {
            let config = config(&site.root, &site.clock).durability(durability).threads(1);
            FileStore::open(config.busy_timeout(timeout)).unwrap()
        };
        let (store, hasty) = (open(Duration::from_secs(3_600)), open(Duration::from_millis(20)));
        put(&store, "stuck", 1).await;
        let shard = file_of(&site.root, "stuck").ancestors().nth(2).unwrap().to_owned();
        // flock treats another open file description like another process.
        let holder = fs::File::open(&shard).unwrap();
        rustix::fs::flock(&holder, FlockOperation::NonBlockingLockExclusive).unwrap();

        let at = Condition::Revision(revision(1));
        let stuck_key = key("stuck");
        let mut stuck = Box::pin(store.store(&stuck_key, record(2, 9), at));
        // One worker thread and one runtime thread: neither waits for the lock.
        assert!(poll_once(stuck.as_mut()).is_none());
        let others = (0..40).map(|number| format!("other-{number}"));
        let others = others.filter(|name| shard.file_name().unwrap() != shard_of(name).as_str());
        for (number, name) in others.enumerate() {
            put(&store, &name, number as u64).await;
        }
        assert!(poll_once(stuck.as_mut()).is_none());
        assert_eq!(store.retrieve(&stuck_key).await.unwrap(), Some(record(1, 100)), "reads take no lock");
        assert!(keys(&store).await.unwrap().contains(&"stuck".to_owned()));
        let error = refused(hasty.store(&stuck_key, record(2, 9), at).await, StoreErrorKind::Unavailable);
        assert!(error.is_retryable());
        assert_eq!(store.retrieve(&stuck_key).await.unwrap(), Some(record(1, 100)));

        drop(holder);
        assert!(stuck.await.unwrap().is_applied());
        let answer = store.store(&stuck_key, record(3, 9), at).await.unwrap();
        assert_eq!(answer, Change::Conflict(Some(record(2, 9))));
    }
}

#[tokio::test]
async fn reads_and_large_writes_run_on_worker_threads() {
    let site = site();
    let store =
        FileStore::open(config(&site.root, &site.clock).offload_reads(true).offload_threshold(10)).unwrap();
    put(&store, "one", 1).await;
    assert_eq!(store.retrieve(&key("one")).await.unwrap(), Some(record(1, 100)));
    assert_eq!(store.retrieve(&key("two")).await.unwrap(), None);
    store.close().await.unwrap();
    assert_eq!(store.retrieve(&key("one")).await.unwrap_err().kind(), StoreErrorKind::Closed);
}

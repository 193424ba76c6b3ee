//! Refusals of the system: permission, disk space, file descriptors, locks.

use std::fs;
use std::time::Duration;

use rustix::fs::FlockOperation;
use session_core::{
    Applied, Change, Clock as _, Condition, Driver as _, DriverExt as _, StoreError, StoreErrorKind,
    SystemClock, TestClock,
};
use session_store_file::{Durability, FileStore};

use session_conformance::testing::{ChildProcess, FreshPath, block_on, child_args, poll_once};

use crate::support::{
    config, file_of, files, key, keys, put, record, revision, shard_of, site, touched, user,
};

fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>, kind: StoreErrorKind) -> StoreError {
    let error = answer.expect_err("the call is refused");
    assert_eq!((error.kind(), error.applied()), (kind, Applied::No), "{error}");
    error
}

#[tokio::test]
async fn full_disk_leaves_no_partial_file() {
    let path = FreshPath::on_small_disk("store", 300 << 10);
    let path = path.expect("run this test as root, or under `unshare -r -m`");
    for durability in [Durability::Process, Durability::Power] {
        let clock = TestClock::new(SystemClock.now());
        let store = FileStore::open(config(path.path(), &clock).durability(durability)).unwrap();
        put(&store, "old", 1).await;
        let mut stored = 0;
        let error = loop {
            match store.store(&key(&stored.to_string()), record(stored, 20_000), Condition::Any).await {
                Ok(answer) => assert!(answer.is_applied()),
                Err(error) => break error,
            }
            stored += 1;
        };
        refused(Err::<(), _>(error), StoreErrorKind::Full);
        let at = Condition::Revision(revision(1));
        refused(store.store(&key("old"), record(2, 20_000), at).await, StoreErrorKind::Full);
        assert_eq!(files(path.path()).len() as u64, stored + 1);
        store.clear(&user()).await.unwrap();
        store.close().await.unwrap();
    }
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

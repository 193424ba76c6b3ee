//! Purges: leftovers, records that are stored again, and obstacles.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::FlockOperation;
use session_core::{Clock as _, Condition, Driver as _, Purged, StoreErrorKind, SystemClock, TestClock};
use session_store_file::FileStore;

use session_conformance::testing::{ChildProcess, block_on, child_args};

use crate::support::{Site, config, file_of, files, key, keys, open, put, record, shard_of, site};

async fn put_for(store: &FileStore, clock: &TestClock, name: &str, time: Duration) {
    let mut record = record(1, 50);
    record.expires = Some(clock.now().saturating_add(time));
    assert!(store.store(&key(name), record, Condition::Any).await.unwrap().is_applied());
}

fn set_age(path: &Path, seconds: u64) {
    let written = SystemTime::now() - Duration::from_secs(seconds);
    fs::File::options().write(true).open(path).unwrap().set_modified(written).unwrap();
}

#[tokio::test]
async fn leftovers_are_removed_after_an_hour_and_lookalikes_stay() {
    let site = site();
    put(&site.store, "one", 1).await;
    put(&site.store, "one", 2).await;
    let published = file_of(&site.root, "one");
    let folder = published.parent().unwrap().to_owned();
    let leftover = |name: &str, age: u64| {
        let path = folder.join(name);
        fs::write(&path, b"half of a rec").unwrap();
        set_age(&path, age);
        path
    };
    let old = leftover(".new-0123456789abcdef-7", 3_700);
    let young = leftover(".new-0123456789abcdef-8", 3_000);
    // A kill between the exchange and the removal of the old file leaves a complete record.
    let replaced = leftover(".new-0123456789abcdef-9", 0);
    fs::write(&replaced, fs::read(&published).unwrap()).unwrap();
    set_age(&replaced, 3_700);
    // A kill between linking and unlinking leaves a second name of the published file.
    let linked = folder.join(".new-0123456789abcdef-a");
    fs::hard_link(&published, &linked).unwrap();
    set_age(&published, 3_700);
    let of_layout = site.root.join(".new-0123456789abcdef0123456789abcdef");
    fs::write(&of_layout, b"session-st").unwrap();
    set_age(&of_layout, 3_700);
    let foreign = [".news", ".new-", ".new-notes.txt", ".new-0123456789abcdef", ".new-0123456789ABCDEF-7"]
        .map(|name| leftover(name, 1_000_000));
    let directory = folder.join(".new-0123456789abcdef-b");
    fs::create_dir(&directory).unwrap();
    let link = folder.join(".new-0123456789abcdef-c");
    std::os::unix::fs::symlink("/nowhere", &link).unwrap();

    assert_eq!(keys(&site.store).await.unwrap(), ["one"]);
    assert_eq!(site.store.purge(1).await.unwrap(), Purged { removed: 0, more: false });
    for gone in [&old, &replaced, &linked, &of_layout] {
        assert!(!gone.exists(), "{}", gone.display());
    }
    assert!(young.exists());
    site.clock.advance(Duration::from_secs(1_000_000));
    assert_eq!(site.store.purge(1).await.unwrap(), Purged { removed: 0, more: false });
    assert!(!young.exists() && directory.is_dir() && link.is_symlink());
    assert!(foreign.iter().all(|path| path.exists()));
    assert_eq!(site.store.retrieve(&key("one")).await.unwrap(), Some(record(2, 100)));
}

#[tokio::test]
async fn purge_removes_records_that_expire_behind_its_position() {
    let Site { store, clock, root, directory: _directory } = site();
    for number in 0..200 {
        // Records of the first shards expire late, so a purge continues behind them.
        let name = format!("{number}");
        let late = shard_of(&name).as_str() < "20";
        put_for(&store, &clock, &name, Duration::from_secs(if late { 20 } else { 10 })).await;
    }
    clock.advance(Duration::from_secs(10));
    assert_eq!(store.purge(3).await.unwrap(), Purged { removed: 3, more: true });
    clock.advance(Duration::from_secs(10));
    assert_eq!(store.purge(1_000).await.unwrap(), Purged { removed: 197, more: false });
    assert_eq!(files(&root).len(), 0);
}

#[tokio::test]
async fn taken_lock_delays_the_purge_of_its_own_shard_only() {
    let Site { clock, root, store, directory: _directory } = site();
    for number in 0..100 {
        put_for(&store, &clock, &format!("{number}"), Duration::from_secs(10)).await;
    }
    clock.advance(Duration::from_secs(10));
    let (kept, path) = (shard_of("0"), file_of(&root, "0"));
    let holder = fs::File::open(path.ancestors().nth(2).unwrap()).unwrap();
    rustix::fs::flock(&holder, FlockOperation::NonBlockingLockExclusive).unwrap();
    let stuck = (0..100).filter(|number| shard_of(&format!("{number}")) == kept).count();

    let store = FileStore::open(config(&root, &clock).busy_timeout(Duration::from_millis(20))).unwrap();
    let (mut removed, mut refused) = (0, 0);
    // A call that meets the lock fails, unless it has removed something; then the next one fails.
    for _ in 0..4 {
        match store.purge(1_000).await {
            Ok(purged) => removed += purged.removed,
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Unavailable);
                refused += 1;
            }
        }
    }
    assert_eq!((removed as usize, files(&root).len()), (100 - stuck, stuck));
    assert!(refused > 0);
    drop(holder);
    let purged = store.purge(1_000).await.unwrap();
    assert_eq!((purged.removed as usize, purged.more), (stuck, false));
}

#[test]
fn unreadable_file_stops_no_purge() {
    let test = "purge::unreadable_file_stops_no_purge";
    if let Some(args) = child_args(test) {
        let clock = TestClock::new(SystemClock.now());
        let store = open(args[1].as_ref(), &clock);
        let misconfigured = StoreErrorKind::Misconfigured;
        block_on(async {
            assert_eq!(store.retrieve(&key("unreadable")).await.unwrap_err().kind(), misconfigured);
            put_for(&store, &clock, "expired", Duration::from_secs(10)).await;
            clock.advance(Duration::from_secs(10));
            if args[0] == "another user" {
                assert_eq!(keys(&store).await.unwrap(), ["one"]);
                assert_eq!(store.purge(10).await.unwrap(), Purged { removed: 1, more: false });
            } else {
                // A record of this user may be live, so it cannot be left out.
                assert_eq!(keys(&store).await.unwrap_err().kind(), misconfigured);
                assert_eq!(store.purge(10).await.unwrap(), Purged { removed: 1, more: true });
                assert_eq!(store.purge(10).await.unwrap_err().kind(), misconfigured);
            }
        });
        return;
    }
    let site = site();
    block_on(async {
        put(&site.store, "one", 1).await;
        put(&site.store, "unreadable", 2).await;
    });
    let path = file_of(&site.root, "unreadable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // Root can read every file, unless it drops that capability.
    let root = rustix::process::geteuid().is_root();
    let wrapper: &[&str] =
        if root { &["setpriv", "--bounding-set=-dac_override,-dac_read_search"] } else { &[] };
    let try_as = |owner| {
        let args = [owner, site.root.to_str().unwrap()];
        drop(ChildProcess::start(&mut ChildProcess::command(test, &args, wrapper)).finish());
    };
    try_as("this user");
    if root {
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        try_as("another user");
    } else {
        println!("skips the file of another user, which only root can create");
    }
}

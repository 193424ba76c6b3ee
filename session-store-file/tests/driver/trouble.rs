//! What the system refuses: permission, room, descriptors, a lock.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::process::Uid;
use session_core::{
    Applied, Change, Clock as _, Condition, Driver as _, DriverExt as _, StoreError, StoreErrorKind,
    SystemClock, TestClock, Touch,
};
use session_store_file::{Durability, FileConfig, FileStore};

use crate::support::{block_on, config, file_of, files, key, keys, put, record, revision, role, site, spawn};

fn refused<T: std::fmt::Debug>(answer: Result<T, StoreError>, kind: StoreErrorKind) -> StoreError {
    let error = answer.expect_err("it is refused");
    assert_eq!((error.kind(), error.applied()), (kind, Applied::No), "{error}");
    error
}

#[test]
fn lost_permission_is_misconfigured_and_nothing_is_lost() {
    let site = site();
    block_on(put(&site.store, "one", 1));
    let (one, kind) = (key("one"), StoreErrorKind::Misconfigured);
    let root = rustix::process::geteuid().is_root();
    if root {
        // Of this thread only, on which the operations run in place. Root itself may do anything.
        rustix::thread::set_thread_res_uid(None, Uid::from_raw(65_534), None).unwrap();
    } else {
        fs::set_permissions(&site.root, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    }
    let answers = block_on(async {
        (
            site.store.retrieve(&one).await,
            site.store.retrieve(&key("never")).await,
            site.store.store(&one, record(2, 9), Condition::Any).await,
            site.store.remove(&one, Condition::Any).await,
            site.store.touch(&one, Touch { from: revision(1), to: revision(2), deadline: None }).await,
        )
    });
    if root {
        rustix::thread::set_thread_res_uid(None, Uid::ROOT, None).unwrap();
    } else {
        fs::set_permissions(&site.root, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    }
    refused(answers.0, kind);
    refused(answers.1, kind);
    refused(answers.2, kind);
    refused(answers.3, kind);
    refused(answers.4, kind);
    assert_eq!(block_on(site.store.retrieve(&one)).unwrap(), Some(record(1, 100)));
    block_on(put(&site.store, "one", 3));
}

/// A small disk of its own for the child: a file system in memory, in a name space that goes with the child.
const SMALL_DISK: &str = "mount -t tmpfs -o size=300k,mode=700 tmpfs \"$0\" && exec \"$@\"";
/// Where mounts are not allowed: no file may be larger than 8 blocks of 512 bytes, and the signal is ignored.
const SMALL_FILES: &str = "trap '' XFSZ; ulimit -f 8; exec \"$@\"";

fn may_mount(directory: &Path) -> bool {
    let mut command = Command::new("unshare");
    command.args(["-r", "-m", "sh", "-c", SMALL_DISK]).arg(directory).arg("true");
    command.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn on_a_full_disk_a_store_is_refused_and_the_old_record_stays() {
    let test = "trouble::on_a_full_disk_a_store_is_refused_and_the_old_record_stays";
    if let Some(argument) = role(test) {
        let (how, root) = argument.split_once(' ').unwrap();
        for durability in [Durability::Process, Durability::Power] {
            block_on(fill(Path::new(root), durability, how == "disk"));
        }
        if how == "disk" {
            let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(root).status().unwrap();
            assert!(remount.success());
            block_on(read_only(Path::new(root)));
        }
        return println!("\ngood");
    }
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().to_str().unwrap();
    let mounted = may_mount(directory.path());
    println!(
        "{}",
        if mounted { "with a small file system" } else { "without mounts: by a limit of file sizes" }
    );
    let (argument, wrapper): (_, &[&str]) = if mounted {
        (format!("disk {place}"), &["unshare", "-r", "-m", "sh", "-c", SMALL_DISK, place])
    } else {
        (format!("limit {place}"), &["sh", "-c", SMALL_FILES, place])
    };
    assert!(spawn(test, &argument, wrapper).wait_for("good"), "the child comes to its end");
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
    assert_eq!(files(root).len(), names.len(), "no half-written file is left");
    // What needs no room goes on, and what was freed can be used.
    assert!(
        store.touch(&key("old"), Touch { from: revision(1), to: revision(2), deadline: None }).await.unwrap()
    );
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
fn without_a_descriptor_left_it_is_unavailable_and_then_goes_on() {
    let test = "trouble::without_a_descriptor_left_it_is_unavailable_and_then_goes_on";
    if let Some(root) = role(test) {
        let store = FileStore::open(config(root.as_ref(), &TestClock::new(SystemClock.now()))).unwrap();
        block_on(async {
            put(&store, "one", 1).await;
            let mut taken = Vec::new();
            while let Ok(file) = fs::File::open("/dev/null") {
                taken.push(file);
            }
            let kind = StoreErrorKind::Unavailable;
            refused(store.retrieve(&key("one")).await, kind);
            refused(store.store(&key("one"), record(2, 9), Condition::Any).await, kind);
            refused(
                store.touch(&key("one"), Touch { from: revision(1), to: revision(2), deadline: None }).await,
                kind,
            );
            drop(taken);
            assert_eq!(store.retrieve(&key("one")).await.unwrap(), Some(record(1, 100)));
            put(&store, "one", 2).await;
        });
        return println!("\ngood");
    }
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("store");
    let wrapper = ["sh", "-c", "ulimit -n 60; exec \"$@\"", "sh"];
    assert!(spawn(test, place.to_str().unwrap(), &wrapper).wait_for("good"), "the child comes to its end");
}

#[tokio::test]
async fn a_lock_that_another_process_keeps_holds_up_its_own_shard_only() {
    for durability in [Durability::Process, Durability::Power] {
        let site = site();
        let config: FileConfig = config(&site.root, &site.clock).durability(durability).threads(1);
        let store = FileStore::open(config.busy_timeout(Duration::from_secs(2))).unwrap();
        put(&store, "stuck", 1).await;
        let shard = file_of(&site.root, "stuck").ancestors().nth(2).unwrap().to_owned();
        // Another description of the directory is to the lock what another process is.
        let holder = fs::File::open(&shard).unwrap();
        rustix::fs::flock(&holder, FlockOperation::NonBlockingLockExclusive).unwrap();

        let at = Condition::Revision(revision(1));
        let stuck_key = key("stuck");
        let mut stuck = Box::pin(store.store(&stuck_key, record(2, 9), at));
        let mut done = 0;
        let others = async {
            for number in 0..60 {
                let name = format!("other-{number}");
                if crate::support::shard_of(&name) != shard.file_name().unwrap().to_str().unwrap() {
                    put(&store, &name, number).await;
                    done += 1;
                }
            }
        };
        // With one thread only, and on one runtime thread: nothing of ours waits for the lock.
        tokio::select! {
            biased;
            answer = &mut stuck => panic!("{answer:?}"),
            () = others => {}
        }
        assert!(done > 40);
        assert_eq!(store.retrieve(&key("stuck")).await.unwrap(), Some(record(1, 100)), "reads take no lock");
        assert!(keys(&store).await.unwrap().contains(&"stuck".to_owned()));
        let error = refused(stuck.await, StoreErrorKind::Unavailable);
        assert!(error.is_retryable());
        assert_eq!(store.retrieve(&key("stuck")).await.unwrap(), Some(record(1, 100)));

        // Once it is free again the waiting change is made.
        let patient =
            FileStore::open(crate::support::config(&site.root, &site.clock).durability(durability)).unwrap();
        let mut waiting = Box::pin(patient.store(&stuck_key, record(2, 9), at));
        tokio::select! {
            biased;
            answer = &mut waiting => panic!("{answer:?}"),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        drop(holder);
        assert!(waiting.await.unwrap().is_applied());
        let answer = store.store(&key("stuck"), record(3, 9), at).await.unwrap();
        assert_eq!(answer, Change::Conflict(Some(record(2, 9))));
    }
}

#[tokio::test]
async fn reads_may_be_offloaded_and_large_writes_are() {
    let site = site();
    let store =
        FileStore::open(config(&site.root, &site.clock).offload_reads(true).offload_from(10)).unwrap();
    put(&store, "one", 1).await;
    assert_eq!(store.retrieve(&key("one")).await.unwrap(), Some(record(1, 100)));
    assert_eq!(store.retrieve(&key("two")).await.unwrap(), None);
    store.close().await.unwrap();
    assert_eq!(store.retrieve(&key("one")).await.unwrap_err().kind(), StoreErrorKind::Closed);
}

//! The driver under valgrind and strace. valgrind's memcheck reports reads of uninitialised memory and accesses outside
//! of allocations and mappings, which Miri cannot check for a mapped file. strace reports system calls.

use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use session_conformance::testing::{amount, block_on};
use session_core::{
    Clock, Condition, Cursor, Driver, DriverExt, Prefix, Record, Revision, StoreErrorKind, TestClock,
    Timestamp, Touch,
};
use session_store_mmap::{MmapConfig, MmapStore, OnFull};

use crate::{command, fresh, key, pattern, put, record, session};

/// The child under valgrind: threads that do everything on a small file, which is full soon, with and without eviction.
pub(crate) fn do_everything(config: &MmapConfig, times: u64) {
    // The system clock reads memory that valgrind hides from the program.
    let clock = TestClock::new(Timestamp::from_millis(1_000_000));
    for on_full in [OnFull::Reject, OnFull::Evict] {
        let config = config.clone().on_full(on_full).clock(Arc::new(clock.clone()));
        let store = MmapStore::open(config.clone()).unwrap();
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let (store, other) = (store.clone(), MmapStore::open(config.clone()).unwrap());
                let clock = clock.clone();
                thread::spawn(move || block_on(work(&store, &other, &clock, worker, times)))
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        block_on(store.flush()).unwrap();
        block_on(store.clear(&Prefix::SESSION)).unwrap();
        block_on(store.close()).unwrap();
    }
}

async fn work(store: &MmapStore, other: &MmapStore, clock: &TestClock, worker: u64, times: u64) {
    let soon = || Some(clock.now().saturating_add(Duration::from_millis(50)));
    for turn in 0..times {
        clock.advance(Duration::from_millis(1));
        let (one, two) = (session(turn % 31), key(&format!("{worker}-{}", turn % 7)));
        let length = [0, 1, 63, 700, 3_000, 20_000][turn as usize % 6];
        let mut written = record(&pattern(worker, turn)[..8]);
        written.data = [&written.data[..], &vec![turn as u8; length]].concat().into();
        let expires = if turn % 3 == 0 { soon() } else { None };
        let written = Record { expires, ..written };
        let fills = session(1_000 * (worker + 1) + turn);
        for (store, key) in [(store, &one), (other, &two), (store, &fills)] {
            match store.store(key, written.clone(), Condition::Any).await {
                Ok(stored) => assert!(stored.is_applied()),
                Err(error) => assert_eq!(error.kind(), StoreErrorKind::Full),
            }
            if let Some(found) = store.retrieve(key).await.unwrap() {
                assert!(found.data.len() >= 8);
                let touch =
                    Touch { from: found.revision, to: Revision::from_bytes([1; 8]), deadline: soon() };
                store.touch(key, touch).await.unwrap();
            }
        }
        if turn % 5 == 0 {
            let _ = other.remove(&one, Condition::Any).await.unwrap();
        }
        if turn % 16 == 0 {
            store.purge(5).await.unwrap();
            let page = store.traverse(&Prefix::SESSION, Cursor::start(), 9).await.unwrap();
            if let Some(next) = page.next {
                other.traverse(&Prefix::SESSION, next, 9).await.unwrap();
            }
            other.count(&Prefix::SESSION).await.unwrap();
        }
    }
    let large = record(vec![9; 300_000]);
    match store.store(&key("large"), large, Condition::Any).await {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), StoreErrorKind::Full),
    }
}

/// Whether `tool` can run a program here. If not, a note says so, past the capture of the test runner.
fn is_there(tool: &str) -> bool {
    let there = Command::new(tool).arg("true").output().is_ok_and(|done| done.status.success());
    if !there {
        let note = format!("{tool} is not available: its test was not run\n");
        std::io::stderr().write_all(note.as_bytes()).unwrap();
    }
    there
}

/// The child under strace: work between two system calls that occur nowhere else.
pub(crate) fn work_between_marks(config: MmapConfig) {
    let store = MmapStore::open(config).unwrap();
    let mark = |text: &str| std::fs::metadata(text).unwrap_err();
    for n in 0..100 {
        put(&store, &session(n), &record(vec![1; 1_000]));
    }
    let revisions: Vec<_> = (0..100).map(|_| Revision::random().unwrap()).collect();
    block_on(async {
        mark("/mark/begin");
        for n in 0..2_000 {
            assert!(store.retrieve(&session(n % 100)).await.unwrap().is_some());
            assert!(store.retrieve(&session(1_000 + n)).await.unwrap().is_none());
        }
        // Stores and touches, which need no growth here.
        for (n, revision) in (0..).zip(&revisions) {
            let written = Record::new(vec![2; 1_000], None, *revision);
            assert!(store.store(&session(n), written, Condition::Any).await.unwrap().is_applied());
            let touch = Touch { from: *revision, to: Revision::from_bytes([3; 8]), deadline: None };
            assert!(store.touch(&session(n), touch).await.unwrap());
        }
        mark("/mark/end");
    });
}

#[test]
fn reads_and_changes_make_no_system_call() {
    if !is_there("strace") {
        return;
    }
    let path = fresh();
    let trace = path.beside("trace");
    let strace = ["strace", "-f", "-qq", "-o", trace.to_str().unwrap()];
    let done = command(&path, "system calls", 0, &strace).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    let trace = std::fs::read_to_string(trace).unwrap();
    let lines: Vec<&str> = trace.lines().collect();
    let at = |mark: &str| lines.iter().position(|line| line.contains(mark)).unwrap();
    let (begin, end) = (at("/mark/begin"), at("/mark/end"));
    let thread = lines[begin].split(' ').next().unwrap();
    // The allocator may request and release memory for the returned data.
    let memory = ["brk(", "mmap(", "munmap(", "madvise("];
    let calls: Vec<&&str> = lines[begin + 1..end]
        .iter()
        .filter(|line| line.starts_with(thread) && !memory.iter().any(|call| line.contains(call)))
        .collect();
    assert!(calls.is_empty(), "{calls:?}");
}

#[test]
fn valgrind_finds_no_error() {
    if !is_there("valgrind") {
        return;
    }
    let path = fresh();
    let valgrind = ["valgrind", "--quiet", "--error-exitcode=99", "--fair-sched=try"];
    let done = command(&path, "everything", amount(120, 3_000) as u64, &valgrind).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}: {said}{}", done.status, String::from_utf8_lossy(&done.stdout));
    assert!(!said.contains("=="), "valgrind reports: {said}");
    assert!(path.path().exists(), "the child did nothing");
}

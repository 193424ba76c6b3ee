//! Every kind of operation under valgrind's memcheck, which sees what Miri would be asked for: reads of what nobody wrote,
//! and accesses outside of what was allocated or mapped.

use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use session_core::{
    Clock, Condition, Cursor, Driver, ErrorKind, Prefix, Record, Revision, TestClock, Timestamp,
};
use session_store_mmap::{Config, Mmap, WhenFull};

use crate::{Place, key, pattern, record, rounds, run, session, with_task};

/// What the child does: threads that do everything on a small file, which is full soon, and again on a large one.
pub(crate) fn everything(place: &Config, times: u64) {
    // The system's clock is looked for in memory that valgrind hides from the program.
    let clock = TestClock::new(Timestamp::from_millis(1_000_000));
    for when_full in [WhenFull::Refuse, WhenFull::Evict] {
        let config = place.clone().when_full(when_full).clock(Arc::new(clock.clone()));
        let store = Mmap::open(config.clone()).unwrap();
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let (store, other) = (store.clone(), Mmap::open(config.clone()).unwrap());
                let clock = clock.clone();
                thread::spawn(move || run(work(&store, &other, &clock, worker, times)))
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        run(store.flush()).unwrap();
        run(store.clear(&Prefix::SESSION)).unwrap();
        run(store.close()).unwrap();
    }
}

async fn work(store: &Mmap, other: &Mmap, clock: &TestClock, worker: u64, times: u64) {
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
                Ok(stored) => assert!(stored.is_yes()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Full),
            }
            if let Some(found) = store.retrieve(key).await.unwrap() {
                assert!(found.data.len() >= 8);
                store.touch(key, found.revision, Revision::from_bytes([1; 8]), soon()).await.unwrap();
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
        Err(error) => assert_eq!(error.kind(), ErrorKind::Full),
    }
}

#[test]
fn valgrind_finds_no_error() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        // Past the capture of the test runner: nobody must install it, and everybody sees that it was not there.
        writeln!(std::io::stderr(), "valgrind is not on the path: its test was not run").unwrap();
        return;
    }
    let place = Place::new();
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--quiet", "--error-exitcode=99", "--fair-sched=try"])
        .arg(std::env::current_exe().unwrap());
    let child = with_task(&mut valgrind, &place, "everything", rounds(120, 3_000));
    let done = child.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}: {said}{}", done.status, String::from_utf8_lossy(&done.stdout));
    assert!(!said.contains("=="), "valgrind says: {said}");
    assert!(place.path().exists(), "the child did nothing");
}

//! The helpers of `session_conformance::testing`: the map keeps its clauses, wrappers forward, children say and die.

use session_conformance::testing::{
    ChildProcess, FreshPath, MapDriver, OncePerProcess, Probe, assert_forwards, block_on, child_args, say,
};
use session_core::{Condition, Driver, Key, Record, Revision, TestClock, Timestamp};

mod map {
    use std::sync::{Arc, OnceLock};

    use session_conformance::testing::MapDriver;
    use session_conformance::{Harness, HarnessResult};
    use session_core::Clock;

    struct Maps;

    impl Harness for Maps {
        type Driver = MapDriver;
        type Storage = OnceLock<MapDriver>;

        fn name(&self) -> String {
            "map".into()
        }

        async fn create(&self) -> HarnessResult<OnceLock<MapDriver>> {
            Ok(OnceLock::new())
        }

        async fn open(
            &self,
            storage: &OnceLock<MapDriver>,
            clock: Arc<dyn Clock>,
        ) -> HarnessResult<MapDriver> {
            Ok(storage.get_or_init(|| MapDriver::with_clock(clock)).clone())
        }
    }

    session_conformance::suite!(Maps, lacks: [IN_MEMORY, UNBOUNDED]);
}

#[test]
fn store_of_a_process_is_shared_until_its_last_handle() {
    block_on(async {
        let storage = OncePerProcess::new(FreshPath::new("store").unwrap());
        let clock = std::sync::Arc::new(TestClock::new(Timestamp::from_millis(1)));
        let open = || storage.handle(|_| Ok(MapDriver::with_clock(clock.clone())));
        let key = Key::parse("session:a").unwrap();
        let record = Record::new(&b"a"[..], None, Revision::from_bytes([1; 8]));
        let (one, other) = (open().await.unwrap(), open().await.unwrap());
        assert!(one.store(&key, record, Condition::Any).await.unwrap().is_applied());
        assert!(other.retrieve(&key).await.unwrap().is_some());
        one.close().await.unwrap();
        let again = open().await.unwrap();
        assert!(again.flush().await.is_ok(), "a closed store is opened again");
        drop((one, other, again));
        assert!(open().await.unwrap().retrieve(&key).await.unwrap().is_none(), "a map starts empty");
    });
}

#[test]
fn handles_of_a_process_forward_every_method() {
    let storage = OncePerProcess::new(FreshPath::new("store").unwrap());
    let handle = |inner| {
        std::thread::scope(|scope| {
            scope.spawn(|| block_on(storage.handle(|_| Ok(inner))).unwrap()).join().unwrap()
        })
    };
    block_on(assert_forwards(handle));
}

#[test]
fn wrappers_forward_every_method() {
    block_on(assert_forwards(Probe::new));
    block_on(assert_forwards(Probe::parking_answers));
}

#[test]
fn child_that_is_killed_has_printed_whole_lines() {
    let test = "testing::child_that_is_killed_has_printed_whole_lines";
    if let Some(args) = child_args(test) {
        assert_eq!(args, ["argument", ""]);
        for number in 0.. {
            say(&format!("number {number}"));
        }
    }
    let mut child = ChildProcess::spawn(test, &["argument", ""]);
    assert_eq!(child.wait_for("number "), "0");
    child.stop();
    child.resume();
    let later = child.kill();
    for (line, expected) in later.iter().filter(|line| !line.is_empty()).zip(1..) {
        assert_eq!(line, &format!("number {expected}"));
    }
}

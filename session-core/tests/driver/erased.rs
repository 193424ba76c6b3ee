//! A driver without its type: usable in spawned tasks, erased once, and cheap to clone.

use session_core::{Blocking, Condition, Cursor, Driver, DriverExt, DynDriver, Prefix, Record, Touch};

use super::defaults::Map;
use super::{key, record};

fn erased() -> DynDriver {
    DynDriver::new(Blocking::new(Map::default()))
}

/// What a multi-threaded runtime asks of a task.
fn spawnable<F: Future + Send>(future: F) -> F {
    future
}

#[tokio::test]
async fn every_future_runs_in_a_spawned_task() {
    let driver = erased();
    let task = tokio::spawn(async move {
        let (alice, users) = (key("alice"), Prefix::new("user").unwrap());
        let (one, two) = (record(1), record(2));
        let touch = Touch { from: one.revision, to: two.revision, deadline: None };
        assert!(driver.store(&alice, one.clone(), Condition::Absent).await.unwrap().is_applied());
        assert_eq!(driver.retrieve(&alice).await.unwrap(), Some(one));
        assert!(driver.touch(&alice, touch).await.unwrap());
        let touched = Record { revision: two.revision, ..record(1) };
        assert!(driver.store_over(&alice, record(3), &touched).await.unwrap().is_applied());
        assert_eq!(driver.traverse(&users, Cursor::start(), 9).await.unwrap().entries.len(), 1);
        assert_eq!(driver.count(&users).await.unwrap(), 1);
        assert!(driver.remove(&alice, Condition::Any).await.unwrap().is_applied());
        assert_eq!(driver.clear(&users).await.unwrap(), 0);
        driver.purge(9).await.unwrap_err();
        driver.flush().await.unwrap();
        driver.close().await.unwrap();
    });
    task.await.unwrap();
}

/// Borrowed arguments with any lifetimes, and any driver: each future alone is `Send`.
#[test]
fn every_future_is_send() {
    fn each<D: Driver>(driver: &D) {
        let (alice, prefix) = (key("alice"), Prefix::SESSION);
        let (touch, one) =
            (Touch { from: record(1).revision, to: record(2).revision, deadline: None }, record(1));
        drop(spawnable(driver.retrieve(&alice)));
        drop(spawnable(driver.store(&alice, record(1), Condition::Any)));
        drop(spawnable(driver.store_over(&alice, record(2), &one)));
        drop(spawnable(driver.remove(&alice, Condition::Any)));
        drop(spawnable(driver.traverse(&prefix, Cursor::start(), 1)));
        drop(spawnable(driver.touch(&alice, touch)));
        drop(spawnable(driver.purge(1)));
        drop(spawnable(driver.flush()));
        drop(spawnable(driver.close()));
        drop(spawnable(driver.count(&prefix)));
        drop(spawnable(driver.clear(&prefix)));
    }
    each(&erased());
    each(&Blocking::new(Map::default()));
}

#[tokio::test]
async fn erasing_twice_boxes_once() {
    let driver = erased();
    let again = DynDriver::new(driver.clone());
    let debug = format!("{driver:?}");
    assert!(debug.starts_with("DynDriver(session_core::") && debug.contains("Map"), "{debug}");
    assert_eq!(format!("{again:?}"), debug);
    assert!(driver.store(&key("alice"), record(1), Condition::Any).await.unwrap().is_applied());
    assert_eq!(again.retrieve(&key("alice")).await.unwrap(), Some(record(1)), "clones share the store");
}

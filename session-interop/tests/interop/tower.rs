//! `TowerStore` behind the session of tower-sessions.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Clock, Condition, Driver, DynDriver, Record, Revision};
use session_interop::{RESERVED, TowerStore};
use time::OffsetDateTime;
use tokio::sync::Barrier;
use tower_sessions_core_0_15::session::{Expiry, Id, Session};
use tower_sessions_core_0_15::session_store::{Error, ExpiredDeletion, SessionStore};

use crate::stores::{keys, memory, sqlite};

type Store = TowerStore<DynDriver>;

fn store(driver: &DynDriver) -> Arc<Store> {
    Arc::new(TowerStore::new(driver.clone()))
}

/// A stored session with these numbers.
async fn stored(store: &Arc<Store>, numbers: &[(&str, u64)]) -> Id {
    let session = Session::new(None, Arc::clone(store), None);
    for (name, number) in numbers {
        session.insert(name, number).await.unwrap();
    }
    session.save().await.unwrap();
    session.id().unwrap()
}

/// A request that has loaded the session.
async fn request(store: &Arc<Store>, id: Id) -> Session {
    let session = Session::new(Some(id), Arc::clone(store), None);
    session.load().await.unwrap();
    session
}

async fn number(store: &Arc<Store>, id: Id, name: &str) -> Option<u64> {
    Session::new(Some(id), Arc::clone(store), None).get(name).await.unwrap()
}

/// The text of a refused save.
async fn refused(session: &Session) -> String {
    use tower_sessions_core_0_15::session::Error as SessionError;
    match session.save().await {
        Err(SessionError::Store(Error::Backend(text))) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn save_after_delete_brings_nothing_back() {
    let (drivers, _directory) = sqlite();
    // One after the other by each of two handles of the file, as of two processes.
    for (ours, theirs) in [(&drivers[0], &drivers[0]), (&drivers[0], &drivers[1])] {
        let (ours, theirs) = (store(ours), store(theirs));
        let id = stored(&ours, &[("n", 1)]).await;
        let late = request(&ours, id).await;
        late.insert("n", 2).await.unwrap();
        request(&theirs, id).await.flush().await.unwrap();
        assert_eq!(refused(&late).await, "session has ended");
        assert_eq!(refused(&late).await, "session has ended", "a second try");
        assert_eq!(ours.load(&id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn save_of_unchanged_or_cleared_values_brings_nothing_back() {
    let (driver, _) = memory();
    let store = store(&driver);
    let id = stored(&store, &[("n", 1)]).await;
    let [unchanged, cleared] = [request(&store, id).await, request(&store, id).await];
    let unloaded = Session::new(Some(id), Arc::clone(&store), None);
    store.delete(&id).await.unwrap();
    cleared.clear().await;
    unloaded.clear().await;
    for session in [unchanged, cleared, unloaded] {
        assert_eq!(refused(&session).await, "session has ended");
    }
    assert_eq!(keys(&driver, "tower-sessions").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_that_change_different_values_keep_all() {
    const REQUESTS: u64 = 16;
    let (drivers, _directory) = sqlite();
    let first = store(&drivers[0]);
    let id = stored(&first, &[("n", 1)]).await;
    let loaded = Arc::new(Barrier::new(REQUESTS as usize));
    let mut tasks = Vec::new();
    for task in 0..REQUESTS {
        let (store, loaded) = (store(&drivers[task as usize % 2]), Arc::clone(&loaded));
        tasks.push(tokio::spawn(async move {
            let session = request(&store, id).await;
            loaded.wait().await;
            session.insert(&format!("of-{task}"), task).await.unwrap();
            session.save().await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for task in 0..REQUESTS {
        assert_eq!(number(&first, id, &format!("of-{task}")).await, Some(task));
    }
    assert_eq!(number(&first, id, "n").await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_changes_of_one_value_one_is_stored() {
    const REQUESTS: usize = 8;
    let (drivers, _directory) = sqlite();
    let first = store(&drivers[0]);
    let id = stored(&first, &[("n", 1)]).await;
    let loaded = Arc::new(Barrier::new(REQUESTS));
    let mut tasks = Vec::new();
    for task in 0..REQUESTS {
        let (store, loaded) = (store(&drivers[task % 2]), Arc::clone(&loaded));
        tasks.push(tokio::spawn(async move {
            let session = request(&store, id).await;
            loaded.wait().await;
            session.insert("n", 100 + task).await.unwrap();
            match session.save().await {
                Ok(()) => Some(100 + task as u64),
                Err(_) => {
                    assert_eq!(refused(&session).await, "another request changed the same value");
                    None
                }
            }
        }));
    }
    let mut stored = Vec::new();
    for task in tasks {
        stored.extend(task.await.unwrap());
    }
    assert_eq!(stored.len(), 1, "{stored:?}");
    assert_eq!(number(&first, id, "n").await, Some(stored[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn increments_that_are_repeated_when_refused_add_up() {
    const TASKS: u64 = 4;
    const EACH: u64 = 25;
    let (driver, _) = memory();
    let store = store(&driver);
    let id = stored(&store, &[("n", 0)]).await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut done = 0;
                while done < EACH {
                    let session = request(&store, id).await;
                    let n: u64 = session.get("n").await.unwrap().unwrap();
                    session.insert("n", n + 1).await.unwrap();
                    done += u64::from(session.save().await.is_ok());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(number(&store, id, "n").await, Some(TASKS * EACH));
}

#[tokio::test]
async fn unchanged_request_extends_the_session_and_undoes_nothing() {
    let (driver, _) = memory();
    let store = store(&driver);
    let id = stored(&store, &[("n", 1)]).await;
    let reader = request(&store, id).await;
    let writer = request(&store, id).await;
    writer.insert("n", 2).await.unwrap();
    writer.save().await.unwrap();
    let deadline = OffsetDateTime::now_utc() + time::Duration::days(100);
    reader.set_expiry(Some(Expiry::AtDateTime(deadline)));
    reader.save().await.unwrap();
    assert_eq!(number(&store, id, "n").await, Some(2));
    let found = store.load(&id).await.unwrap().unwrap().expiry_date;
    assert!((found - deadline).abs() < time::Duration::milliseconds(1), "{found} {deadline}");
}

#[tokio::test]
async fn request_may_save_several_times() {
    let (driver, _) = memory();
    let store = store(&driver);
    let session = Session::new(None, Arc::clone(&store), None);
    for n in 1..=3 {
        session.insert("n", n).await.unwrap();
        session.save().await.unwrap();
    }
    let id = session.id().unwrap();
    let session = request(&store, id).await;
    for n in 4..=6 {
        session.insert("n", n).await.unwrap();
        session.save().await.unwrap();
    }
    assert_eq!(number(&store, id, "n").await, Some(6));
}

#[tokio::test]
async fn second_save_keeps_what_the_first_was_joined_with() {
    let (driver, _) = memory();
    let store = store(&driver);
    let id = stored(&store, &[("ours", 1), ("theirs", 1)]).await;
    let [ours, theirs] = [request(&store, id).await, request(&store, id).await];
    theirs.insert("theirs", 2).await.unwrap();
    theirs.save().await.unwrap();
    ours.insert("ours", 2).await.unwrap();
    ours.save().await.unwrap();
    ours.insert("more", 1).await.unwrap();
    ours.save().await.unwrap();
    for (name, expected) in [("ours", 2), ("theirs", 2), ("more", 1)] {
        assert_eq!(number(&store, id, name).await, Some(expected), "{name}");
    }
}

#[tokio::test]
async fn second_save_is_refused_for_what_the_first_was_joined_with() {
    let (driver, _) = memory();
    let store = store(&driver);
    let id = stored(&store, &[("count", 0)]).await;
    let [ours, theirs] = [request(&store, id).await, request(&store, id).await];
    theirs.insert("count", 1).await.unwrap();
    theirs.save().await.unwrap();
    ours.insert("own", 1).await.unwrap();
    ours.save().await.unwrap();
    ours.insert("count", 1).await.unwrap();
    assert!(ours.save().await.is_err());
    assert_eq!(refused(&ours).await, "another request changed the same value");
    assert_eq!(number(&store, id, "count").await, Some(1));
}

#[tokio::test]
async fn cleared_session_holds_only_what_was_set_since() {
    let (driver, _) = memory();
    let store = store(&driver);
    let id = stored(&store, &[("a", 1)]).await;
    let [cleared, other] = [request(&store, id).await, request(&store, id).await];
    other.insert("b", 1).await.unwrap();
    other.save().await.unwrap();
    cleared.clear().await;
    cleared.insert("c", 1).await.unwrap();
    cleared.save().await.unwrap();
    let record = store.load(&id).await.unwrap().unwrap();
    let mut names: Vec<_> = record.data.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["c", RESERVED]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn create_never_takes_a_used_id() {
    let (driver, _) = memory();
    let store = store(&driver);
    let id = stored(&store, &[("n", 1)]).await;
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut record = store.load(&id).await.unwrap().unwrap();
                record.data.insert("n".into(), task.into());
                store.create(&mut record).await.unwrap();
                record.id
            })
        })
        .collect();
    let mut ids = vec![id];
    for task in tasks {
        ids.push(task.await.unwrap());
    }
    assert_eq!(number(&store, id, "n").await, Some(1));
    for (task, id) in (0..).zip(&ids[1..]) {
        assert_eq!(number(&store, *id, "n").await, Some(task));
    }
    ids.sort_by_key(|id| id.0);
    ids.dedup();
    assert_eq!(ids.len(), 9);
}

#[tokio::test]
async fn expired_session_is_absent_and_stays_so() {
    let (driver, clock) = memory();
    let store = store(&driver);
    let id = stored(&store, &[("n", 1)]).await;
    let late = request(&store, id).await;
    late.insert("n", 2).await.unwrap();
    let expiry_date = store.load(&id).await.unwrap().unwrap().expiry_date;
    let left = expiry_date.unix_timestamp_nanos() / 1_000_000 - i128::from(clock.now().as_millis());
    clock.advance(Duration::from_millis(u64::try_from(left).unwrap() - 1));
    assert!(store.load(&id).await.unwrap().is_some());
    clock.advance(Duration::from_millis(1));
    assert_eq!(store.load(&id).await.unwrap(), None);
    assert_eq!(refused(&late).await, "session has ended");
    store.delete_expired().await.unwrap();
    assert_eq!(driver.purge(10).await.unwrap().removed, 0, "it was removed");
}

#[tokio::test]
async fn delete_expired_spares_live_sessions() {
    let (driver, clock) = memory();
    let store = store(&driver);
    for expiry in [1_u64, 3_000] {
        for _ in 0..1_500 {
            let deadline =
                OffsetDateTime::from_unix_timestamp_nanos(i128::from(clock.now().as_millis()) * 1_000_000);
            let session = Session::new(None, Arc::clone(&store), None);
            session.set_expiry(Some(Expiry::AtDateTime(deadline.unwrap() + Duration::from_secs(expiry))));
            session.insert("n", 1).await.unwrap();
            session.save().await.unwrap();
        }
    }
    clock.advance(Duration::from_secs(2));
    store.delete_expired().await.unwrap();
    assert_eq!(driver.purge(10).await.unwrap().removed, 0);
    let prefix = session_core::Prefix::new("tower-sessions").unwrap();
    assert_eq!(session_core::DriverExt::count(&driver, &prefix).await.unwrap(), 1_500);
}

#[tokio::test]
async fn new_id_keeps_the_values_and_ends_the_old_id() {
    let (driver, _) = memory();
    let store = store(&driver);
    let old = stored(&store, &[("n", 1)]).await;
    let late = request(&store, old).await;
    let session = request(&store, old).await;
    session.cycle_id().await.unwrap();
    session.save().await.unwrap();
    session.insert("n", 2).await.unwrap();
    session.save().await.unwrap();
    let new = session.id().unwrap();
    assert_ne!(new, old);
    assert_eq!((number(&store, new, "n").await, store.load(&old).await.unwrap()), (Some(2), None));
    late.insert("n", 3).await.unwrap();
    assert_eq!(refused(&late).await, "session has ended");
}

#[tokio::test]
async fn store_holds_no_id() {
    let (driver, _) = memory();
    let store = store(&driver);
    let id = stored(&store, &[("n", 1)]).await;
    let keys = keys(&driver, "tower-sessions").await;
    assert_eq!((keys.len(), keys[0].id().len()), (1, 43));
    let record = driver.retrieve(&keys[0]).await.unwrap().unwrap();
    let kept = [keys[0].as_bytes(), &record.data].concat();
    let text = id.to_string();
    for needle in [&id.0.to_le_bytes()[..], text.as_bytes()] {
        assert!(!kept.windows(needle.len()).any(|part| part == needle));
    }
}

#[tokio::test]
async fn failures_of_the_store_have_the_right_kind() {
    let (driver, _) = memory();
    let store = store(&driver);
    let id = stored(&store, &[("n", 1)]).await;
    let key = keys(&driver, "tower-sessions").await.remove(0);
    let foreign = Record::new(&b"\x02"[..], None, Revision::random().unwrap());
    assert!(driver.store(&key, foreign, Condition::Any).await.unwrap().is_applied());
    assert!(matches!(store.load(&id).await, Err(Error::Decode(text)) if text.contains("cannot be decoded")));
    let deep = (0..200).fold(serde_json::json!([]), |inner, _| serde_json::json!([inner]));
    let session = Session::new(None, Arc::clone(&store), None);
    session.insert_value("deep", deep).await.unwrap();
    let error = session.save().await.unwrap_err();
    assert!(error.to_string().starts_with("Encoding failed"), "{error}");
    driver.close().await.unwrap();
    let Err(Error::Backend(text)) = store.load(&id).await else { panic!("a closed store answers") };
    assert_eq!(text, "store failed: retrieve: the store is closed");
}

#[tokio::test]
async fn values_come_back_equal() {
    let (driver, _) = memory();
    let store = store(&driver);
    let session = Session::new(None, Arc::clone(&store), None);
    let values = serde_json::json!({
        "float": 0.1 + 0.2, "tiny": f64::MIN_POSITIVE, "int": i64::MIN, "large": u64::MAX,
        "text": "é\u{0}\n", "list": [null, true, {}], "": 1,
    });
    for (name, value) in values.as_object().unwrap() {
        session.insert_value(name, value.clone()).await.unwrap();
    }
    session.save().await.unwrap();
    let loaded = request(&store, session.id().unwrap()).await;
    for (name, value) in values.as_object().unwrap() {
        assert_eq!(loaded.get_value(name).await.unwrap().as_ref(), Some(value), "{name}");
    }
}

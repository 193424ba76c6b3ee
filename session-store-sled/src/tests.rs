//! Stalled and failed flushes. The tests stall the log with a gate.

use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use session_conformance::testing::poll_once;
use session_core::{
    Applied, Change, Condition, Cursor, Driver, Key, Operation, Prefix, Record, Result, Revision, StoreError,
    StoreErrorKind, Touch,
};
use sled::{Db, Tree};

use crate::config::SledConfig;
use crate::flusher::Log;
use crate::store::SledStore;

#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    fails: bool,
    closed: bool,
}

impl Gate {
    fn set(&self, set: impl FnOnce(&mut State)) {
        set(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}

struct GatedLog(Arc<Gate>, #[expect(dead_code, reason = "held, as a store holds its database")] Db);

impl Log for GatedLog {
    fn flush(&self) -> Result<()> {
        let state = self.0.state.lock().unwrap();
        let state = self.0.changed.wait_while(state, |state| !state.open && !state.fails).unwrap();
        if state.fails { Err(StoreError::new(StoreErrorKind::Full, Operation::Flush)) } else { Ok(()) }
    }

    fn close(self) {
        self.0.set(|state| state.closed = true);
    }
}

/// A store whose flushes wait for the gate, and the tree below it.
fn store(flush_each_change: bool, limit: Duration) -> (SledStore, Arc<Gate>, Tree) {
    let database = sled::Config::new().temporary(true).open().unwrap();
    let tree = database.open_tree("records").unwrap();
    let gate = Arc::new(Gate::default());
    let config = SledConfig::in_database(database.clone());
    let config = config.flush_each_change(flush_each_change).flush_timeout(limit);
    let log = GatedLog(Arc::clone(&gate), database);
    (SledStore::over(tree.clone(), log, config).unwrap(), gate, tree)
}

fn flushing() -> (SledStore, Arc<Gate>, Tree) {
    store(true, Duration::from_secs(3_600))
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn rev(number: u64) -> Revision {
    Revision::from_bytes(number.to_be_bytes())
}

fn record(number: u64) -> Record {
    Record::new(format!("data {number}"), None, rev(number))
}

/// The answer of a call that does not wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    poll_once(pin!(future)).expect("the call does not wait")
}

#[tokio::test]
async fn no_answer_shows_an_unflushed_change() {
    let (store, gate, tree) = flushing();
    let one = key("user:one");
    let mut change = pin!(store.store(&one, record(1), Condition::Any));
    assert!(poll_once(change.as_mut()).is_none());
    assert!(tree.get(one.as_bytes()).unwrap().is_some(), "the change is visible in the tree");

    let mut found = pin!(store.retrieve(&one));
    let mut created = pin!(store.store(&one, record(2), Condition::Absent));
    let mut late = pin!(store.store(&one, record(3), Condition::Revision(rev(9))));
    let mut again = pin!(store.store(&one, record(1), Condition::Absent));
    let mut touched = pin!(store.touch(&one, Touch { from: rev(9), to: rev(10), deadline: None }));
    let mut removed = pin!(store.remove(&one, Condition::Revision(rev(9))));
    let users = Prefix::new("user").unwrap();
    let mut walked = pin!(store.traverse(&users, Cursor::start(), 10));
    assert!(poll_once(found.as_mut()).is_none(), "a retrieve");
    assert!(poll_once(created.as_mut()).is_none(), "a conflict of a store when absent");
    assert!(poll_once(late.as_mut()).is_none(), "a conflict of a store at an old revision");
    assert!(poll_once(again.as_mut()).is_none(), "the same change once more");
    assert!(poll_once(touched.as_mut()).is_none(), "a touch of an old revision");
    assert!(poll_once(removed.as_mut()).is_none(), "a removal at an old revision");
    assert!(poll_once(walked.as_mut()).is_none(), "a traversal");

    gate.set(|state| state.open = true);
    assert!(change.await.unwrap().is_applied());
    assert_eq!(found.await.unwrap(), Some(record(1)));
    assert_eq!(created.await.unwrap(), Change::Conflict(Some(record(1))));
    assert_eq!(late.await.unwrap(), Change::Conflict(Some(record(1))));
    assert!(again.await.unwrap().is_applied());
    assert!(!touched.await.unwrap());
    assert_eq!(removed.await.unwrap(), Change::Conflict(Some(record(1))));
    assert_eq!(walked.await.unwrap().entries.len(), 1);

    // Flushed: no call waits for it.
    gate.set(|state| state.open = false);
    assert_eq!(ready(store.retrieve(&one)).unwrap(), Some(record(1)));
    gate.set(|state| state.open = true);
}

#[tokio::test]
async fn change_of_a_dropped_call_is_still_awaited() {
    let (store, gate, _tree) = flushing();
    let one = key("user:one");
    assert!(poll_once(pin!(store.store(&one, record(1), Condition::Any))).is_none());
    let mut found = pin!(store.retrieve(&one));
    assert!(poll_once(found.as_mut()).is_none());
    gate.set(|state| state.open = true);
    assert_eq!(found.await.unwrap(), Some(record(1)));
}

#[tokio::test]
async fn readers_of_other_keys_do_not_wait() {
    let (store, gate, _tree) = flushing();
    assert!(poll_once(pin!(store.store(&key("user:one"), record(1), Condition::Any))).is_none());
    // One key in 4,096 shares its slot with the first.
    let others = (0..8).filter(|number| {
        let other = key(&format!("user:other-{number}"));
        poll_once(pin!(store.retrieve(&other))).is_some()
    });
    assert!(others.count() >= 6);
    gate.set(|state| state.open = true);
}

#[tokio::test]
async fn changes_without_flushing_do_not_wait() {
    let (store, gate, _tree) = store(false, Duration::from_secs(3_600));
    let one = key("user:one");
    assert!(ready(store.store(&one, record(1), Condition::Absent)).unwrap().is_applied());
    assert_eq!(ready(store.retrieve(&one)).unwrap(), Some(record(1)));
    assert!(ready(store.remove(&one, Condition::Any)).unwrap().is_applied());
    assert!(poll_once(pin!(store.flush())).is_none());
    gate.set(|state| state.open = true);
}

#[tokio::test]
async fn stalled_flush_times_out_and_refuses_calls_until_it_ends() {
    let (store, gate, _tree) = store(true, Duration::from_millis(5));
    let one = key("user:one");
    let error = store.store(&one, record(1), Condition::Any).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Timeout, Applied::Unknown));
    let error = ready(store.store(&one, record(2), Condition::Any)).unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Unavailable, Applied::No));
    assert_eq!(ready(store.retrieve(&one)).unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(ready(store.flush()).unwrap_err().kind(), StoreErrorKind::Unavailable);

    gate.set(|state| state.open = true);
    assert_eq!(patiently(|| store.retrieve(&one)).await, Some(record(1)));
    assert!(patiently(|| store.store(&one, record(2), Condition::Revision(rev(1)))).await.is_applied());
}

/// Retries: on a busy machine any flush may exceed a limit of milliseconds.
async fn patiently<T, F: Future<Output = Result<T>>>(call: impl Fn() -> F) -> T {
    loop {
        match call().await {
            Err(error) if error.is_retryable() => tokio::task::yield_now().await,
            other => return other.unwrap(),
        }
    }
}

#[tokio::test]
async fn failed_flush_stops_changes_and_hides_unflushed_ones() {
    let (store, gate, tree) = flushing();
    let (old, new) = (key("user:old"), key("user:new"));
    gate.set(|state| state.open = true);
    assert!(store.store(&old, record(1), Condition::Any).await.unwrap().is_applied());
    gate.set(|state| (state.open, state.fails) = (false, true));
    let error = store.store(&new, record(2), Condition::Any).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Full, Applied::Unknown));

    let error = store.remove(&old, Condition::Any).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Full, Applied::No));
    assert!(tree.get(old.as_bytes()).unwrap().is_some());
    assert_eq!(store.retrieve(&new).await.unwrap_err().kind(), StoreErrorKind::Full);
    assert_eq!(store.flush().await.unwrap_err().kind(), StoreErrorKind::Full);
    assert_eq!(store.purge(1).await.unwrap_err().kind(), StoreErrorKind::Full);
    // A flushed record is still readable.
    let found = store.retrieve(&old).await;
    assert!(matches!(&found, Ok(Some(found)) if *found == record(1)) || shares_slot(&found), "{found:?}");
    assert_eq!(store.close().await.unwrap_err().kind(), StoreErrorKind::Full);
    assert_eq!(ready(store.close()).unwrap_err().kind(), StoreErrorKind::Full, "what was lost stays lost");
}

#[tokio::test]
async fn close_returns_once_the_database_is_closed() {
    let (store, gate, _tree) = flushing();
    let one = key("user:one");
    let mut change = pin!(store.store(&one, record(1), Condition::Any));
    assert!(poll_once(change.as_mut()).is_none());
    let mut closed = pin!(store.close());
    assert!(poll_once(closed.as_mut()).is_none());
    assert_eq!(ready(store.retrieve(&one)).unwrap_err().kind(), StoreErrorKind::Closed);
    let mut again = pin!(store.close());
    assert!(poll_once(again.as_mut()).is_none(), "a second close, before the database is closed");
    gate.set(|state| state.open = true);
    assert!(change.await.unwrap().is_applied(), "the change began before the close");
    again.await.unwrap();
    assert!(gate.state.lock().unwrap().closed);
    closed.await.unwrap();
    assert!(ready(store.close()).is_ok(), "a close afterwards");
}

/// A change of a watched prefix blocks in sled once 1,024 events are unread, as it does if the log is stuck.
#[tokio::test(flavor = "multi_thread")]
async fn blocked_operation_delays_no_close_and_keeps_database_open() {
    let (store, gate, tree) = store(true, Duration::from_millis(500));
    gate.set(|state| state.open = true);
    let mut watcher = tree.watch_prefix("user:");
    for _ in 0..WATCHED {
        tree.insert("user:filler", "").unwrap();
    }
    let (told, answer) = mpsc::channel();
    let (writer, runtime) = (store.clone(), tokio::runtime::Handle::current());
    std::thread::spawn(move || {
        told.send(runtime.block_on(writer.store(&key("user:one"), record(1), Condition::Any)))
    });
    let stuck = answer.recv_timeout(Duration::from_millis(200));
    assert_eq!(stuck.err(), Some(mpsc::RecvTimeoutError::Timeout), "the store waits in sled");

    let (told, refused) = mpsc::channel();
    let (closer, runtime) = (store.clone(), tokio::runtime::Handle::current());
    std::thread::spawn(move || {
        let closed = runtime.block_on(closer.close());
        told.send((closed, ready(closer.retrieve(&key("user:one")))))
    });
    let refused = refused.recv_timeout(Duration::from_secs(10));
    let closed_early = gate.state.lock().unwrap().closed;
    // Unblocks sled before any assertion, because dropping the watcher would wait for the blocked change.
    assert!(watcher.next_timeout(Duration::from_secs(30)).is_ok());
    let (closed, found) = refused.expect("the close returns");
    assert_eq!(closed.unwrap_err().kind(), StoreErrorKind::Timeout, "within the limit");
    assert_eq!(found.unwrap_err().kind(), StoreErrorKind::Closed);
    assert!(!closed_early, "an operation still uses the database");

    // The blocked change is made and flushed, then the database is closed.
    assert!(answer.recv_timeout(Duration::from_secs(30)).unwrap().unwrap().is_applied());
    patiently(|| store.close()).await;
    assert!(gate.state.lock().unwrap().closed);
    assert!(tree.get("user:one").unwrap().is_some());
}

/// How many unread events sled keeps for a watcher.
const WATCHED: usize = 1_024;

/// Whether both keys share a counter, as one pair in 4,096 does; then neither is readable.
fn shares_slot(found: &Result<Option<Record>>) -> bool {
    found.as_ref().is_err_and(|error| error.kind() == StoreErrorKind::Full)
}

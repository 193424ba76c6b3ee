//! What a flush that is held up, or fails, means to everybody else. The log is one that the tests let go on.

use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use session_core::{
    Applied, Change, Condition, Cursor, Driver, Key, Operation, Prefix, Record, Result, Revision, StoreError,
    StoreErrorKind, Touch,
};
use sled::{Db, Tree};

use crate::config::{Durability, SledConfig};
use crate::flusher::Log;
use crate::store::SledStore;

/// Where the flushes of a test stand.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    fails: bool,
    let_go: bool,
}

impl Gate {
    fn set(&self, set: impl FnOnce(&mut State)) {
        set(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }
}

struct Held(Arc<Gate>, #[expect(dead_code, reason = "held, as a store holds its database")] Db);

impl Log for Held {
    fn flush(&self) -> Result<()> {
        let state = self.0.state.lock().unwrap();
        let state = self.0.changed.wait_while(state, |state| !state.open && !state.fails).unwrap();
        if state.fails { Err(StoreError::new(StoreErrorKind::Full, Operation::Flush)) } else { Ok(()) }
    }

    fn let_go(self) {
        self.0.set(|state| state.let_go = true);
    }
}

/// A store whose flushes wait for the gate, and the tree below it.
fn store(durability: Durability, limit: Duration) -> (SledStore, Arc<Gate>, Tree) {
    let database = sled::Config::new().temporary(true).open().unwrap();
    let tree = database.open_tree("records").unwrap();
    let gate = Arc::new(Gate::default());
    let config = SledConfig::in_database(database.clone()).durability(durability).flush_timeout(limit);
    let held = Held(Arc::clone(&gate), database);
    (SledStore::over(tree.clone(), held, config.options).unwrap(), gate, tree)
}

fn process() -> (SledStore, Arc<Gate>, Tree) {
    store(Durability::Process, Duration::from_secs(3_600))
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

/// What a future has come to after it went as far as it could by itself.
fn once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// What a future answers that waits for nobody.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match once(pin!(future)) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it waits"),
    }
}

/// Whatever is asked of a key, the answer would tell of its last change, and waits for the flush of that.
#[tokio::test]
async fn no_answer_tells_of_a_change_that_is_not_flushed() {
    let (store, gate, tree) = process();
    let one = key("user:one");
    let mut change = pin!(store.store(&one, record(1), Condition::Any));
    assert!(once(change.as_mut()).is_pending());
    assert!(tree.get(one.as_bytes()).unwrap().is_some(), "the change is there, for all to see");

    let mut found = pin!(store.retrieve(&one));
    let mut created = pin!(store.store(&one, record(2), Condition::Absent));
    let mut late = pin!(store.store(&one, record(3), Condition::Revision(rev(9))));
    let mut again = pin!(store.store(&one, record(1), Condition::Absent));
    let mut touched = pin!(store.touch(&one, Touch { from: rev(9), to: rev(10), deadline: None }));
    let mut removed = pin!(store.remove(&one, Condition::Revision(rev(9))));
    let users = Prefix::new("user").unwrap();
    let mut walked = pin!(store.traverse(&users, Cursor::start(), 10));
    assert!(once(found.as_mut()).is_pending(), "a retrieve");
    assert!(once(created.as_mut()).is_pending(), "a conflict of a store when absent");
    assert!(once(late.as_mut()).is_pending(), "a conflict of a store at an old revision");
    assert!(once(again.as_mut()).is_pending(), "the same change once more");
    assert!(once(touched.as_mut()).is_pending(), "a touch of an old revision");
    assert!(once(removed.as_mut()).is_pending(), "a removal at an old revision");
    assert!(once(walked.as_mut()).is_pending(), "a traversal");

    gate.set(|state| state.open = true);
    assert!(change.await.unwrap().is_applied());
    assert_eq!(found.await.unwrap(), Some(record(1)));
    assert_eq!(created.await.unwrap(), Change::Conflict(Some(record(1))));
    assert_eq!(late.await.unwrap(), Change::Conflict(Some(record(1))));
    assert!(again.await.unwrap().is_applied());
    assert!(!touched.await.unwrap());
    assert_eq!(removed.await.unwrap(), Change::Conflict(Some(record(1))));
    assert_eq!(walked.await.unwrap().entries.len(), 1);

    // And then it is flushed: nobody waits for it any more.
    gate.set(|state| state.open = false);
    assert_eq!(ready(store.retrieve(&one)).unwrap(), Some(record(1)));
    gate.set(|state| state.open = true);
}

#[tokio::test]
async fn a_change_whose_caller_is_gone_is_still_waited_for() {
    let (store, gate, _tree) = process();
    let one = key("user:one");
    assert!(once(pin!(store.store(&one, record(1), Condition::Any))).is_pending());
    let mut found = pin!(store.retrieve(&one));
    assert!(once(found.as_mut()).is_pending());
    gate.set(|state| state.open = true);
    assert_eq!(found.await.unwrap(), Some(record(1)));
}

#[tokio::test]
async fn readers_of_other_keys_wait_for_nothing() {
    let (store, gate, _tree) = process();
    assert!(once(pin!(store.store(&key("user:one"), record(1), Condition::Any))).is_pending());
    // One key in 4,096 shares its slot with the first.
    let others = (0..8).filter(|number| {
        let other = key(&format!("user:other-{number}"));
        once(pin!(store.retrieve(&other))).is_ready()
    });
    assert!(others.count() >= 6);
    gate.set(|state| state.open = true);
}

#[tokio::test]
async fn relaxed_waits_for_no_flush() {
    let (store, gate, _tree) = store(Durability::Relaxed, Duration::from_secs(3_600));
    let one = key("user:one");
    assert!(ready(store.store(&one, record(1), Condition::Absent)).unwrap().is_applied());
    assert_eq!(ready(store.retrieve(&one)).unwrap(), Some(record(1)));
    assert!(ready(store.remove(&one, Condition::Any)).unwrap().is_applied());
    assert!(once(pin!(store.flush())).is_pending());
    gate.set(|state| state.open = true);
}

#[tokio::test]
async fn a_flush_that_does_not_end_is_a_timeout_and_then_refuses_until_it_ends() {
    let (store, gate, _tree) = store(Durability::Process, Duration::from_millis(5));
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

/// What is answered in the end. On a machine that is busy any flush may take longer than a limit of milliseconds.
async fn patiently<T, F: Future<Output = Result<T>>>(call: impl Fn() -> F) -> T {
    loop {
        match call().await {
            Err(error) if error.is_retryable() => tokio::task::yield_now().await,
            other => return other.unwrap(),
        }
    }
}

#[tokio::test]
async fn after_a_flush_that_failed_nothing_is_changed_and_nothing_is_told_that_may_be_lost() {
    let (store, gate, tree) = process();
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
    // What was flushed before may be read.
    let found = store.retrieve(&old).await;
    assert!(matches!(&found, Ok(Some(found)) if *found == record(1)) || shares_slot(&found), "{found:?}");
    assert_eq!(store.close().await.unwrap_err().kind(), StoreErrorKind::Full);
    assert_eq!(ready(store.close()).unwrap_err().kind(), StoreErrorKind::Full, "what was lost stays lost");
}

#[tokio::test]
async fn close_comes_back_when_the_database_is_let_go_of() {
    let (store, gate, _tree) = process();
    let one = key("user:one");
    let mut change = pin!(store.store(&one, record(1), Condition::Any));
    assert!(once(change.as_mut()).is_pending());
    let mut closed = pin!(store.close());
    assert!(once(closed.as_mut()).is_pending());
    assert_eq!(ready(store.retrieve(&one)).unwrap_err().kind(), StoreErrorKind::Closed);
    let mut again = pin!(store.close());
    assert!(once(again.as_mut()).is_pending(), "closing again, before the database is let go of");
    gate.set(|state| state.open = true);
    assert!(change.await.unwrap().is_applied(), "what began before the close");
    again.await.unwrap();
    assert!(gate.state.lock().unwrap().let_go);
    closed.await.unwrap();
    assert!(ready(store.close()).is_ok(), "and afterwards");
}

/// sled holds up whoever changes what somebody watches and does not look at, as it does where its log is stuck.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_waits_in_sled_holds_up_no_close_and_keeps_the_database_open() {
    let (store, gate, tree) = store(Durability::Process, Duration::from_millis(500));
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
    assert_eq!(stuck.err(), Some(mpsc::RecvTimeoutError::Timeout), "it waits in sled");

    let (told, refused) = mpsc::channel();
    let (closer, runtime) = (store.clone(), tokio::runtime::Handle::current());
    std::thread::spawn(move || {
        let closed = runtime.block_on(closer.close());
        told.send((closed, ready(closer.retrieve(&key("user:one")))))
    });
    let refused = refused.recv_timeout(Duration::from_secs(10));
    let let_go = gate.state.lock().unwrap().let_go;
    // sled goes on: before anything is asserted, for a watcher that is dropped waits for whoever it holds up.
    assert!(watcher.next_timeout(Duration::from_secs(30)).is_ok());
    let (closed, found) = refused.expect("the close comes back");
    assert_eq!(closed.unwrap_err().kind(), StoreErrorKind::Timeout, "within the limit");
    assert_eq!(found.unwrap_err().kind(), StoreErrorKind::Closed);
    assert!(!let_go, "it is still worked on");

    // What had begun is made and flushed, and then the database is free.
    assert!(answer.recv_timeout(Duration::from_secs(30)).unwrap().unwrap().is_applied());
    patiently(|| store.close()).await;
    assert!(gate.state.lock().unwrap().let_go);
    assert!(tree.get("user:one").unwrap().is_some());
}

/// So many changes that nobody has looked at sled keeps for a watcher.
const WATCHED: usize = 1_024;

/// The one case in 4,096 in which both keys are counted in one place, and neither is told of.
fn shares_slot(found: &Result<Option<Record>>) -> bool {
    found.as_ref().is_err_and(|error| error.kind() == StoreErrorKind::Full)
}

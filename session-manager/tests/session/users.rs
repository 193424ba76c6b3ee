//! The sessions of a user, over SQLite with real threads.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_conformance::testing::{MapDriver, Probe, Request, step};
use session_core::{
    Change, Condition, Cursor, Driver, Key, Operation, Prefix, Record, Result, StoreError, StoreErrorKind,
    TestClock, Touch,
};
use session_manager::{Error, Event, IdUpdate, Observer, OnTooMany, SessionTag, Sessions};
use session_store_sqlite::SqliteStore;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// A walk over all sessions, with `find`, misses a session that rotates meanwhile in some of these rounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_user_misses_no_rotating_session_in_200_rounds() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = Sessions::new(SqliteStore::open(dir.path().join("sessions.db")).unwrap()).unwrap();
    for round in 0..200 {
        let session = sessions.load(None).await.unwrap();
        session.login("ada").unwrap();
        let _ = sessions.finish(&session).await.unwrap();
        let mut ids = vec![crate::told(&session)];
        let manager = sessions.clone();
        let rotates = tokio::spawn(async move {
            loop {
                let session = manager.load(ids[ids.len() - 1]).await.unwrap();
                if !session.exists().unwrap() {
                    return ids;
                }
                session.rotate().unwrap();
                let _ = manager.finish(&session).await.unwrap();
                if let IdUpdate::Set { id, .. } = session.id_update() {
                    ids.push(id);
                }
            }
        });
        tokio::time::sleep(std::time::Duration::from_micros(fastrand::u64(..3_000))).await;
        assert!(sessions.end_user("ada", "everywhere").await.unwrap() <= 2, "round {round}");
        for id in rotates.await.unwrap() {
            assert!(!sessions.load(id).await.unwrap().exists().unwrap(), "round {round}");
        }
        assert!(sessions.of_user("ada").await.unwrap().is_empty(), "round {round}");
    }
}

#[tokio::test]
async fn damaged_index_brings_back_no_session_of_an_older_epoch() {
    let map = MapDriver::new(crate::clock());
    let sessions = Sessions::builder(map.clone()).user_epochs(true).build().unwrap();
    let login = || async {
        let session = sessions.load(None).await.unwrap();
        session.login("ada").unwrap();
        let _ = sessions.finish(&session).await.unwrap();
        crate::told(&session)
    };
    let all = &sessions;
    let lives = |id| async move { all.load(id).await.unwrap().exists().unwrap() };
    let old = login().await;
    // As if the index had missed it.
    let missed = map.stored(&old.key()).unwrap();
    sessions.end_user("ada", "everywhere").await.unwrap();
    map.put(old.key(), missed);
    assert!(!lives(old).await);

    let index = Prefix::new("index").unwrap();
    let page = map.traverse(&index, Cursor::start(), 10).await.unwrap();
    let key = page.entries[0].key.clone();
    let damaged = map.stored(&key).unwrap();
    map.put(key, session_core::Record { data: vec![9; 9].into(), ..damaged });
    assert!(!lives(old).await);
    let new = login().await;
    assert!(lives(new).await && lives(login().await).await && lives(new).await && !lives(old).await);
}

/// A driver with one record that it cannot read, until it is replaced or removed without a condition.
#[derive(Clone)]
struct Rotten(MapDriver, Arc<Mutex<Option<Key>>>);

impl Rotten {
    fn check(&self, key: &Key, operation: Operation, condition: Option<Condition>) -> Result<()> {
        let mut rotten = self.1.lock().unwrap();
        if rotten.as_ref() != Some(key) {
            return Ok(());
        }
        if condition == Some(Condition::Any) {
            *rotten = None;
            return Ok(());
        }
        Err(StoreError::new(StoreErrorKind::Corrupt, operation))
    }
}

impl Driver for Rotten {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.check(key, Operation::Retrieve, None)?;
        self.0.retrieve(key).await
    }
    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.check(key, Operation::Store, Some(condition))?;
        self.0.store(key, record, condition).await
    }
    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.check(key, Operation::Remove, Some(condition))?;
        self.0.remove(key, condition).await
    }
    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.check(key, Operation::Touch, None)?;
        self.0.touch(key, touch).await
    }
    session_core::forward!(0: traverse purge flush close capabilities clock);
}

/// Three logins meet at an index that the driver cannot read, in 300 random orders.
#[tokio::test(start_paused = true)]
async fn concurrent_repairs_of_an_index_drop_no_entry() {
    for epochs in [false, true] {
        for seed in 0..150 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (map, rotten) = (MapDriver::new(crate::clock()), Arc::new(Mutex::new(None)));
            let probe = Probe::new(Rotten(map.clone(), Arc::clone(&rotten)));
            let sessions = Sessions::builder(probe.clone()).user_epochs(epochs).build().unwrap();
            login(&sessions).await.unwrap();
            let index = map.traverse(&Prefix::new("index").unwrap(), Cursor::start(), 10).await.unwrap();
            *rotten.lock().unwrap() = Some(index.entries[0].key.clone());
            probe.close_gates();
            let mut logins: Vec<Request<'_, std::result::Result<(), Error>>> =
                (0..3).map(|_| Box::pin(login(&sessions)) as _).collect();
            while !logins.is_empty() {
                let chosen = random.usize(..logins.len());
                if let Some(done) = step(&probe, &mut logins[chosen]).await {
                    done.unwrap();
                    drop(logins.remove(chosen));
                }
            }
            probe.open_gates();
            assert_eq!(sessions.of_user("ada").await.unwrap().len(), 3, "epochs {epochs}, seed {seed}");
            assert_eq!(
                map.traverse(&Prefix::new("index").unwrap(), Cursor::start(), 10)
                    .await
                    .unwrap()
                    .entries
                    .len(),
                1
            );
        }
    }
}

/// Runs a call to its end. Returns how many times it let other tasks run.
async fn pauses<T>(call: impl Future<Output = T>) -> (T, usize) {
    let (mut call, mut pauses) = (pin!(call), 0);
    let done = std::future::poll_fn(|context| {
        let polled = call.as_mut().poll(context);
        pauses += usize::from(polled.is_pending());
        polled
    });
    (done.await, pauses)
}

/// Work is counted: at most 16 sessions between two pauses, while a login checks them, ends them, or a logout does.
#[tokio::test]
async fn work_on_a_large_index_lets_other_tasks_run() {
    const COUNT: usize = 1_000;
    let map = MapDriver::new(crate::clock());
    let sessions = Sessions::new(map.clone()).unwrap();
    let capped = Sessions::builder(map).max_user_sessions(2, OnTooMany::EndOldest).build().unwrap();
    for _ in 0..COUNT {
        login(&sessions).await.unwrap();
    }
    let (done, paused) = pauses(login(&capped)).await;
    done.unwrap();
    assert!(paused >= 2 * (COUNT / 16) - 2, "{paused}");
    assert_eq!(sessions.of_user("ada").await.unwrap().len(), 2);
    for _ in 2..COUNT {
        login(&sessions).await.unwrap();
    }
    let (ended, paused) = pauses(sessions.end_user("ada", "everywhere")).await;
    assert_eq!(ended.unwrap(), COUNT);
    assert!(paused >= COUNT / 16, "{paused}");
}

/// A request that is killed while it repairs an index delays others for 40 seconds, and no longer. The damage is one event
/// of each request.
#[tokio::test(start_paused = true)]
async fn killed_repair_of_an_index_ends_with_its_lease() {
    let (clock, rotten) = (crate::clock(), Arc::new(Mutex::new(None)));
    let map = MapDriver::new(clock.clone());
    let probe = Probe::new(Rotten(map.clone(), Arc::clone(&rotten)));
    let damages = Arc::new(Damages::default());
    let sessions = Sessions::builder(probe.clone()).observer(damages.clone()).build().unwrap();
    login(&sessions).await.unwrap();
    let index = map.traverse(&Prefix::new("index").unwrap(), Cursor::start(), 10).await.unwrap();
    *rotten.lock().unwrap() = Some(index.entries[0].key.clone());
    probe.close_gates();
    let mut killed: Request<'_, std::result::Result<(), Error>> = Box::pin(login(&sessions));
    while !probe.applied().iter().any(|applied| applied.key.as_str().ends_with("-repair")) {
        assert!(step(&probe, &mut killed).await.is_none());
    }
    drop(killed);
    probe.open_gates();
    assert_eq!(damages.0.swap(0, Ordering::Relaxed), 1);
    for seconds in [30, 9, 1] {
        let refused = login(&sessions).await.unwrap_err();
        assert_eq!(refused.kind(), session_manager::ErrorKind::Contention);
        assert_eq!(damages.0.swap(0, Ordering::Relaxed), 1);
        clock.advance(Duration::from_secs(seconds));
    }
    login(&sessions).await.unwrap();
    assert_eq!(damages.0.swap(0, Ordering::Relaxed), 1);
    assert_eq!(sessions.of_user("ada").await.unwrap().len(), 1);
}

/// A lease that a killed request has taken while the clock was ahead does not last for as long as it was.
#[tokio::test(start_paused = true)]
async fn lease_of_a_clock_ahead_is_over() {
    let (clock, rotten) = (crate::clock(), Arc::new(Mutex::new(None)));
    let map = MapDriver::new(clock.clone());
    let sessions = Sessions::new(Rotten(map.clone(), Arc::clone(&rotten))).unwrap();
    login(&sessions).await.unwrap();
    let index = map.traverse(&Prefix::new("index").unwrap(), Cursor::start(), 10).await.unwrap();
    let index = index.entries[0].key.clone();
    let lease = Key::parse(&format!("{}-repair", index.as_str())).unwrap();
    for (ahead, is_over) in
        [(Duration::ZERO, false), (10 * SECOND, false), (11 * SECOND, true), (90 * DAY, true)]
    {
        *rotten.lock().unwrap() = Some(index.clone());
        // The lease lasts 30 s, and 10 s because clocks of hosts differ.
        let expires = Some(sessions.now().saturating_add(40 * SECOND + ahead));
        let revision = session_core::Revision::from_bytes([7; 8]);
        map.put(lease.clone(), Record { data: bytes::Bytes::new(), expires, revision });
        assert_eq!(login(&sessions).await.is_ok(), is_over, "{ahead:?}");
    }
}

/// Counts the events of damaged records.
#[derive(Default)]
struct Damages(AtomicU32);

impl Observer for Damages {
    fn event(&self, _: Option<SessionTag>, event: &Event) {
        self.0.fetch_add(u32::from(matches!(event, Event::Corrupt)), Ordering::Relaxed);
    }
}

/// A request that is stalled with the lease of an index replaces nothing: another one may have repaired it since. A store
/// that does not answer is given up before the lease ends, and the lease stays.
#[tokio::test(start_paused = true)]
async fn stalled_repair_of_an_index_is_given_up() {
    use session_manager::ErrorKind::{Contention, Store};
    for (seconds, answers, error, leases) in
        [(14, true, None, 0), (15, true, Some(Contention), 0), (14, false, Some(Store), 1)]
    {
        let (clock, rotten) = (crate::clock(), Arc::new(Mutex::new(None)));
        let map = MapDriver::new(clock.clone());
        let driver = Rotten(map.clone(), Arc::clone(&rotten));
        let driver = Stalling { driver, clock, seconds, answers };
        let sessions = Sessions::builder(driver).user_epochs(true).build().unwrap();
        login(&sessions).await.unwrap();
        let prefix = Prefix::new("index").unwrap();
        let records = || map.traverse(&prefix, Cursor::start(), 10);
        *rotten.lock().unwrap() = Some(records().await.unwrap().entries[0].key.clone());
        let began = tokio::time::Instant::now();
        assert_eq!(login(&sessions).await.err().map(|error| error.kind()), error);
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        assert_eq!(rotten.lock().unwrap().is_some(), error.is_some(), "{seconds} s, {answers}");
        assert_eq!(records().await.unwrap().entries.len(), 1 + leases, "{seconds} s, {answers}");
    }
}

/// The process is suspended for a while after it has read a damaged index under its lease.
struct Stalling {
    driver: Rotten,
    clock: TestClock,
    seconds: u64,
    /// Whether the store that replaces the index returns.
    answers: bool,
}

impl Driver for Stalling {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let found = self.driver.retrieve(key).await;
        let lease = Key::parse(&format!("{}-repair", key.as_str())).unwrap();
        if found.is_err() && self.driver.retrieve(&lease).await?.is_some() {
            self.clock.advance(Duration::from_secs(self.seconds));
        }
        found
    }
    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        if condition == Condition::Any && !self.answers {
            std::future::pending::<()>().await;
        }
        self.driver.store(key, record, condition).await
    }
    session_core::forward!(driver: remove touch traverse purge flush close capabilities clock);
}

async fn login<D: Driver>(sessions: &Sessions<D>) -> std::result::Result<(), Error> {
    let session = sessions.load(None).await?;
    session.login("ada")?;
    sessions.finish(&session).await.map(drop)
}

//! The sessions of a user, over SQLite with real threads.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_conformance::testing::{MapDriver, Probe, Request, Tree, interleave, step};
use session_core::{
    Change, Condition, Cursor, Driver, Key, Operation, Prefix, Record, Result, Revision, SessionId,
    StoreError, StoreErrorKind, TestClock, Touch,
};
use session_manager::{
    Committed, Error, ErrorKind, Event, Handle, IdUpdate, Observer, OnTooMany, Outcome, SessionTag, Sessions,
};
use session_store_sqlite::SqliteStore;

use crate::{HOUR, told};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// A walk over all sessions, with `find`, misses a session that rotates meanwhile in some of these rounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_user_misses_no_rotating_session_in_200_rounds() {
    misses_no_rotating_session(200, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_others_misses_no_rotating_session_in_200_rounds() {
    misses_no_rotating_session(200, true).await;
}

async fn misses_no_rotating_session(rounds: usize, others: bool) {
    let dir = tempfile::tempdir().unwrap();
    let sessions = Sessions::new(SqliteStore::open(dir.path().join("sessions.db")).unwrap()).unwrap();
    let own = if others { Some(sessions.load(logged_in(&sessions).await).await.unwrap()) } else { None };
    for round in 0..rounds {
        let mut ids = vec![logged_in(&sessions).await];
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
        tokio::time::sleep(Duration::from_micros(fastrand::u64(..3_000))).await;
        let ended = match &own {
            Some(own) => sessions.end_others(own, "elsewhere").await,
            None => sessions.end_user("ada", "everywhere").await,
        };
        assert!(ended.unwrap() <= 2, "round {round}");
        for id in rotates.await.unwrap() {
            assert!(!sessions.load(id).await.unwrap().exists().unwrap(), "round {round}");
        }
        let left = sessions.of_user("ada").await.unwrap();
        assert_eq!(left.len(), usize::from(others), "round {round}");
        assert!(own.iter().all(|own| left[0].is(own).unwrap()), "round {round}");
    }
}

/// Sessions over a map, with a renewal of ids after an hour, at most as many per user as given.
fn over_map(most: Option<(usize, OnTooMany)>) -> (TestClock, Probe<MapDriver>, Sessions<Probe<MapDriver>>) {
    let clock = crate::clock();
    let probe = Probe::new(MapDriver::new(clock.clone()));
    let mut builder = Sessions::builder(probe.clone()).renewal_timeout(HOUR);
    if let Some((most, on_too_many)) = most {
        builder = builder.max_user_sessions(most, on_too_many);
    }
    (clock, probe, builder.build().unwrap())
}

/// A session ends the user's others while another tab gives it a new id.
#[tokio::test(start_paused = true)]
async fn end_others_spares_its_own_session_in_every_order() {
    for way in ["rotate", "login", "renew"] {
        let mut tree = Tree::new();
        while tree.again() {
            let (clock, probe, sessions) = over_map(None);
            let (old, other) = (logged_in(&sessions).await, logged_in(&sessions).await);
            if way == "renew" {
                clock.advance(HOUR);
            }
            let (own, tab) = (sessions.load(old).await.unwrap(), sessions.load(old).await.unwrap());
            match way {
                "rotate" => tab.rotate().unwrap(),
                "login" => tab.login("ada").unwrap(),
                _ => crate::add(&tab),
            }
            probe.close_gates();
            let moves = async {
                let _ = sessions.finish(&tab).await.unwrap();
                0
            };
            let ends = async { sessions.end_others(&own, "others").await.unwrap() };
            let ended =
                interleave(&probe, &mut tree, vec![Box::pin(moves), Box::pin(ends)]).await.unwrap()[1];
            probe.open_gates();
            let order = format!("{way} in the order {:?}", tree.choices());
            let moved = sessions.load(told(&tab)).await.unwrap();
            assert_eq!(moved.user().unwrap().as_deref(), Some("ada"), "{order}");
            let listed = sessions.of_user("ada").await.unwrap();
            assert!(listed.iter().any(|found| found.is(&moved).unwrap()), "{order}");
            // It ends nothing if it finds that its id was replaced.
            assert_eq!((listed.len(), ended), if ended == 0 { (2, 0) } else { (1, 1) }, "{order}");
            assert_eq!(sessions.load(other).await.unwrap().exists().unwrap(), ended == 0, "{order}");
        }
        eprintln!("{} orders of {way}", tree.runs());
        assert!(tree.runs() > 100);
    }
}

/// The user may have one session, and that one is rotated by two tabs.
#[tokio::test(start_paused = true)]
async fn limit_of_one_session_allows_two_rotations_in_every_order() {
    for on_too_many in [OnTooMany::EndOldest, OnTooMany::Reject] {
        let mut tree = Tree::new();
        while tree.again() {
            let (_, probe, sessions) = over_map(Some((1, on_too_many)));
            let old = logged_in(&sessions).await;
            let tabs = [sessions.load(old).await.unwrap(), sessions.load(old).await.unwrap()];
            tabs.iter().for_each(|tab| tab.rotate().unwrap());
            probe.close_gates();
            let requests: Vec<Request<'_, std::result::Result<Committed, Error>>> =
                tabs.iter().map(|tab| Box::pin(sessions.finish(tab)) as _).collect();
            let done = interleave(&probe, &mut tree, requests).await.unwrap();
            probe.open_gates();
            let order = format!("{on_too_many:?} in the order {:?}", tree.choices());
            let rotated = done.iter().zip(&tabs).filter(|(done, _)| {
                done.as_ref().unwrap_or_else(|error| panic!("{error:?}, {order}")).outcome == Outcome::Rotated
            });
            let ids: Vec<_> = rotated.map(|(_, tab)| told(tab)).collect();
            assert_eq!(ids.len(), 1, "{order}");
            assert!(sessions.load(ids[0]).await.unwrap().exists().unwrap(), "{order}");
            assert_eq!(sessions.of_user("ada").await.unwrap().len(), 1, "{order}");
        }
        eprintln!("{} orders of {on_too_many:?}", tree.runs());
        assert!(tree.runs() > 100);
    }
}

#[tokio::test]
async fn last_use_moves_with_each_use_and_never_back() {
    let clock = crate::clock();
    let builder = Sessions::builder(MapDriver::new(clock.clone())).idle_timeout(2 * HOUR);
    let sessions = builder.absolute_lifetime(Some(5 * HOUR)).build().unwrap();
    let id = logged_in(&sessions).await;
    let created = sessions.now();
    let at = |hours: u32| created.saturating_add(hours * HOUR);
    // From the third hour on, its deadline is the absolute one, which no use moves.
    for (hours, expected) in [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3)] {
        clock.set(at(hours));
        let session = sessions.load(id).await.unwrap();
        assert_eq!(session.get::<u32>("n").unwrap(), None);
        let _ = sessions.finish(&session).await.unwrap();
        let [found] = &sessions.of_user("ada").await.unwrap()[..] else { panic!("one session") };
        let times = (found.created(), found.last_used());
        assert_eq!(times, (created, at(expected)), "after {hours} hours");
    }
    // A change is exact.
    crate::disturb(&sessions, id, crate::add).await;
    assert_eq!(sessions.of_user("ada").await.unwrap()[0].last_used(), at(4));
}

/// A login checks 32 entries of a long index.
#[tokio::test]
async fn index_with_200_dead_entries_shrinks_to_the_live_ones() {
    let map = MapDriver::new(crate::clock());
    let sessions = Sessions::new(map.clone()).unwrap();
    let entries = || {
        let index = map.all().into_iter().find(|(key, _)| key.prefix() == "index");
        (index.unwrap().1.data.len() - 16) / 67
    };
    let mut ids = Vec::new();
    for _ in 0..200 {
        ids.push(logged_in(&sessions).await);
    }
    assert_eq!(entries(), 200);
    for id in ids {
        assert!(map.remove(&id.key(), Condition::Any).await.unwrap().is_applied());
    }
    let mut before = entries();
    for live in 1..=20 {
        let _ = logged_in(&sessions).await;
        let after = entries();
        assert!(after <= before.max(live), "{live} live ones: {before} entries, then {after}");
        before = after;
    }
    assert_eq!(sessions.of_user("ada").await.unwrap().len(), 20);
    assert_eq!(entries(), 20);
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

/// The id of a new session of ada.
async fn logged_in<D: Driver>(sessions: &Sessions<D>) -> SessionId {
    let session = sessions.load(None).await.unwrap();
    session.login("ada").unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    told(&session)
}

/// An operator's tool knows a session by its handle alone.
#[tokio::test]
async fn session_is_found_by_handle_and_damage_has_a_name() {
    let (clock, probe, sessions) = over_map(None);
    let session = sessions.load(None).await.unwrap();
    session.insert("cart", &3).unwrap();
    session.insert("offer", &7).unwrap();
    assert!(session.expire_key("offer", SECOND).unwrap());
    session.login("ada").unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    let id = told(&session);
    let handle = Handle::from(id);
    let found = sessions.find_one(&handle).await.unwrap().unwrap();
    assert_eq!((found.handle(), found.user()), (handle.clone(), Some("ada")));
    assert_eq!(
        (found.keys(), found.get::<u32>("cart").unwrap()),
        (vec!["cart".into(), "offer".into()], Some(3))
    );
    clock.advance(SECOND);
    assert_eq!(found.keys(), ["cart"]);

    // A rotation is another session to an operator, and an end is final.
    let session = sessions.load(id).await.unwrap();
    session.rotate().unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    assert!(sessions.find_one(&handle).await.unwrap().is_none());
    let handle = Handle::from(told(&session));

    let garbage = Record::new(&b"not a session"[..], None, Revision::from_bytes([9; 8]));
    let key = Key::new(&Prefix::SESSION, handle.as_str()).unwrap();
    assert!(probe.store(&key, garbage, Condition::Any).await.unwrap().is_applied());
    assert_eq!(sessions.find_one(&handle).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let page = sessions.find(Cursor::start(), 10).await.unwrap();
    assert_eq!((page.sessions.len(), page.damaged), (0, vec![handle.clone()]));
    assert!(sessions.end(&handle, "by an operator").await.unwrap());
    assert!(sessions.find_one(&handle).await.unwrap().is_none());
}

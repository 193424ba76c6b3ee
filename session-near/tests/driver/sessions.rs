//! The view of an application: two processes with a cache each, over one store.

use std::time::Duration;

use session_conformance::testing::{MapDriver, Probe};
use session_core::{SessionId, SystemClock};
use session_manager::{EndReason, IdUpdate, Outcome, Sessions};
use session_near::NearCache;

const STALENESS: Duration = Duration::from_millis(400);

type Store = Probe<MapDriver>;
type Process = Sessions<NearCache<Store>>;

/// Two processes and their store.
fn two() -> (Store, Process, Process) {
    let store = Probe::new(MapDriver::new(SystemClock));
    let process = || Sessions::new(NearCache::open(store.clone(), STALENESS).unwrap()).unwrap();
    (store.clone(), process(), process())
}

async fn session(process: &Process, user: Option<&str>) -> SessionId {
    let session = process.load(None).await.unwrap();
    session.insert("n", &0_u64).unwrap();
    if let Some(user) = user {
        session.login(user).unwrap();
    }
    let _ = process.finish(&session).await.unwrap();
    let IdUpdate::Set { id, .. } = session.id_update() else { panic!("no id") };
    id
}

async fn lives(process: &Process, id: SessionId) -> bool {
    process.load(id).await.unwrap().exists().unwrap()
}

async fn wait() {
    tokio::time::sleep(STALENESS).await;
}

#[tokio::test]
async fn requests_of_one_page_read_the_store_once() {
    let (store, process, _) = two();
    let id = session(&process, None).await;
    store.calls();
    for _ in 0..20 {
        let session = process.load(id).await.unwrap();
        assert_eq!(session.get::<u64>("n").unwrap(), Some(0));
        let _ = process.finish(&session).await.unwrap();
    }
    let calls = store.calls().len();
    // More only if the machine is so busy that the bound passes.
    assert!((1..10).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn logout_in_this_process_is_at_once() {
    let (_, process, _) = two();
    let clone = Sessions::new(process.driver().clone()).unwrap();
    let ids = [session(&process, Some("alice")).await, session(&process, Some("alice")).await];
    for id in ids {
        assert!(lives(&process, id).await && lives(&clone, id).await);
    }
    clone.load(ids[0]).await.unwrap().destroy("logged out").await.unwrap();
    assert!(!lives(&process, ids[0]).await);
    assert_eq!(process.end_user("alice", "ended by support").await.unwrap(), 1);
    assert!(!lives(&process, ids[1]).await && !lives(&clone, ids[1]).await);
}

#[tokio::test]
async fn logout_in_another_process_is_noticed_within_the_bound() {
    let (_, one, other) = two();
    let id = session(&one, None).await;
    assert!(lives(&other, id).await);
    let late = other.load(id).await.unwrap();
    let reference = late.reference().unwrap();
    one.load(id).await.unwrap().destroy("logged out").await.unwrap();
    assert!(!reference.is_live().await.unwrap(), "the store is asked");
    // A request that has read the old record writes nothing.
    late.insert("n", &7_u64).unwrap();
    let committed = other.commit(&late).await.unwrap();
    assert!(matches!(committed.outcome, Outcome::Ended(EndReason::Revoked)), "{committed:?}");
    assert!(!lives(&other, id).await, "the conflict has told it");

    let id = session(&one, None).await;
    assert!(lives(&other, id).await);
    one.load(id).await.unwrap().destroy("logged out").await.unwrap();
    wait().await;
    assert!(!lives(&other, id).await);
}

#[tokio::test]
async fn changes_of_two_processes_are_both_kept() {
    let (_, one, other) = two();
    let id = session(&one, None).await;
    let processes = [&one, &other];
    for turn in 0..20 {
        // Each reads what it has cached, most of it old, and commits.
        let process = processes[turn % 2];
        let session = process.load(id).await.unwrap();
        session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
        let _ = process.finish(&session).await.unwrap();
    }
    wait().await;
    for process in processes {
        assert_eq!(process.load(id).await.unwrap().get::<u64>("n").unwrap(), Some(20));
    }
}

#[tokio::test]
async fn new_id_of_a_login_is_known_everywhere() {
    let (_, one, other) = two();
    let id = session(&one, None).await;
    assert!(lives(&other, id).await);
    let session = one.load(id).await.unwrap();
    session.login("alice").unwrap();
    session.insert("n", &1_u64).unwrap();
    let _ = one.finish(&session).await.unwrap();
    let IdUpdate::Set { id: new, .. } = session.id_update() else { panic!("no id") };
    // The next request, with the new id, at the other process: no record of it is old.
    let next = other.load(new).await.unwrap();
    assert_eq!((next.get::<u64>("n").unwrap(), next.exists().unwrap()), (Some(1), true));
    // The old id is anonymous at once where the login was, and within the bound elsewhere. It can change nothing.
    assert!(!lives(&one, id).await);
    let late = other.load(id).await.unwrap();
    late.insert("n", &9_u64).unwrap();
    let _ = other.commit(&late).await;
    assert_eq!(one.load(new).await.unwrap().get::<u64>("n").unwrap(), Some(1));
    wait().await;
    assert!(!lives(&other, id).await);
}

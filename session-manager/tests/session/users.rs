//! The sessions of a user, over SQLite with real threads.

use session_conformance::testing::MapDriver;
use session_core::{Cursor, Driver, Prefix};
use session_manager::{IdUpdate, Sessions};
use session_store_sqlite::SqliteStore;

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

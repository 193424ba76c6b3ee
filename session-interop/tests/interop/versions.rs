//! tower-sessions 0.14 and 0.15 over one store.

use std::sync::Arc;

use session_interop::TowerStore;

use crate::stores::memory;

#[tokio::test]
async fn both_versions_read_and_guard_the_same_sessions() {
    let (driver, _) = memory();
    let store = Arc::new(TowerStore::new(driver));
    let old = tower_sessions_core_0_14::Session::new(None, Arc::clone(&store), None);
    old.insert("n", 1).await.unwrap();
    old.save().await.unwrap();
    let id = old.id().unwrap();

    let new_id = tower_sessions_core_0_15::session::Id(id.0);
    let new = tower_sessions_core_0_15::Session::new(Some(new_id), Arc::clone(&store), None);
    assert_eq!(new.get::<u64>("n").await.unwrap(), Some(1));
    new.insert("n", 2).await.unwrap();
    new.save().await.unwrap();

    old.insert("n", 3).await.unwrap();
    assert!(old.save().await.unwrap_err().to_string().contains("another request changed the same value"));
    let again = tower_sessions_core_0_14::Session::new(Some(id), Arc::clone(&store), None);
    assert_eq!(again.get::<u64>("n").await.unwrap(), Some(2));
    again.delete().await.unwrap();
    new.insert("n", 4).await.unwrap();
    assert!(new.save().await.unwrap_err().to_string().contains("session has ended"));
}

//! tower-sessions MemoryStore: a request loads a session, the user logs out, and the request saves the session.

use time::{Duration, OffsetDateTime};
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::Result;
use tower_sessions::{MemoryStore, SessionStore};

#[tokio::main]
async fn main() -> Result<()> {
    let store = MemoryStore::default();
    let expiry_date = OffsetDateTime::now_utc() + Duration::days(1);
    let mut session = Record { id: Id::default(), data: Default::default(), expiry_date };
    store.create(&mut session).await?;

    let loaded = store.load(&session.id).await?.expect("it was created");
    store.delete(&session.id).await?;
    store.save(&loaded).await?;

    println!("the session exists after delete and save: {}", store.load(&session.id).await?.is_some());
    Ok(())
}

//! tower-sessions MemoryStore: a session is created with the id of an expired one.

use time::{Duration, OffsetDateTime};
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::Result;
use tower_sessions::{MemoryStore, SessionStore};

#[tokio::main]
async fn main() -> Result<()> {
    let store = MemoryStore::default();
    let (id, now) = (Id::default(), OffsetDateTime::now_utc());
    store.save(&Record { id, data: Default::default(), expiry_date: now - Duration::hours(1) }).await?;

    let mut session = Record { id, data: Default::default(), expiry_date: now + Duration::hours(1) };
    store.create(&mut session).await?;
    println!("create kept the id of an expired session: {}", session.id == id);
    Ok(())
}

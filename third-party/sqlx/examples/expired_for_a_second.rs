//! tower-sessions-sqlx-store over SQLite: a session is loaded half a second after its expiry date.

use time::{Duration, OffsetDateTime};
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{Result, SessionStore};
use tower_sessions_sqlx_store::SqliteStore;
use tower_sessions_sqlx_store::sqlx::SqlitePool;

#[tokio::main]
async fn main() -> Result<()> {
    let pool = SqlitePool::connect("sqlite::memory:").await.expect("a database in memory");
    let store = SqliteStore::new(pool);
    store.migrate().await.expect("a new database");

    // The expiry date is a whole second.
    let expiry_date =
        OffsetDateTime::now_utc().replace_nanosecond(0).expect("0 is in range") + Duration::seconds(2);
    let mut session = Record { id: Id::default(), data: Default::default(), expiry_date };
    store.create(&mut session).await?;

    let wait = expiry_date + Duration::milliseconds(500) - OffsetDateTime::now_utc();
    tokio::time::sleep(wait.unsigned_abs()).await;
    println!("load 0.5 s after the expiry date: {}", store.load(&session.id).await?.is_some());
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    println!("load 1.5 s after the expiry date: {}", store.load(&session.id).await?.is_some());
    Ok(())
}

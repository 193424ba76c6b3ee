//! tower-sessions-rusqlite-store: a session is loaded before its expiry date.

use time::{Duration, OffsetDateTime};
use tokio_rusqlite::Connection;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{Result, SessionStore};
use tower_sessions_rusqlite_store::RusqliteStore;

#[tokio::main]
async fn main() -> Result<()> {
    let store = RusqliteStore::new(Connection::open_in_memory().await.expect("a database in memory"));
    store.migrate().await.expect("a new database");

    // The expiry date is 0.9 s after a whole second, which begins now.
    let second =
        OffsetDateTime::now_utc().replace_nanosecond(0).expect("0 is in range") + Duration::seconds(1);
    let expiry_date = second + Duration::milliseconds(900);
    tokio::time::sleep((second - OffsetDateTime::now_utc()).unsigned_abs()).await;
    let mut session = Record { id: Id::default(), data: Default::default(), expiry_date };
    store.create(&mut session).await?;

    let found = store.load(&session.id).await?.is_some();
    println!("before the expiry date: {}", OffsetDateTime::now_utc() < expiry_date);
    println!("load returns the session: {found}");
    Ok(())
}

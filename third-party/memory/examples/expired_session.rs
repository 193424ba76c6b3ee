//! tower-sessions-file-store: a session whose expiry date was an hour ago.

use time::{Duration, OffsetDateTime};
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::Result;
use tower_sessions_file_store::FileSessionStorage;

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("expired-session-{}", std::process::id()));
    let store = FileSessionStorage::new_in_folder(folder.clone());
    let expiry_date = OffsetDateTime::now_utc() - Duration::hours(1);
    let mut session = Record { id: Id::default(), data: Default::default(), expiry_date };
    store.create(&mut session).await?;

    println!("load returns the expired session: {}", store.load(&session.id).await?.is_some());
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}

//! tower-sessions-fs-store: two requests create a session with one id at the same time.

use time::{Duration, OffsetDateTime};
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::Result;
use tower_sessions_fs_store::FileStore;

#[tokio::main]
async fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("create-race-{}", std::process::id()));
    let store = FileStore::new(Box::leak(folder.clone().into_boxed_path()));
    let expiry_date = OffsetDateTime::now_utc() + Duration::days(1);

    let mut both_kept = false;
    for _ in 0..1_000 {
        let session = Record { id: Id::default(), data: Default::default(), expiry_date };
        let (mut one, mut other) = (session.clone(), session.clone());
        tokio::try_join!(store.create(&mut one), store.create(&mut other))?;
        both_kept |= one.id == other.id;
    }
    println!("two creations at once both kept the id: {both_kept}");
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}

//! tower-sessions-file-based-store: a client disconnects while its request saves, and then the user logs out.

use time::{Duration, OffsetDateTime};
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};
use tower_sessions_file_based_store::FileStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("dropped-save-{}", std::process::id()));
    let store = FileStore::in_dir(&folder)?;
    let expiry_date = OffsetDateTime::now_utc() + Duration::days(1);
    let mut session = Record { id: Id::default(), data: Default::default(), expiry_date };
    store.create(&mut session).await?;

    let mut is_back = false;
    for _ in 0..1_000 {
        // The web server drops the future of the request after its first poll.
        let _ = tokio::time::timeout(std::time::Duration::ZERO, store.save(&session)).await;
        store.delete(&session.id).await?;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        is_back |= store.load(&session.id).await?.is_some();
    }
    println!("the dropped save took effect after the delete: {is_back}");
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}

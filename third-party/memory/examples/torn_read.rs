//! tower-sessions-file-store: one task saves a session of 10 kB again and again, another one loads it.

use time::{Duration, OffsetDateTime};
use tower_sessions::SessionStore;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::Result;
use tower_sessions_file_store::FileSessionStorage;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("torn-read-{}", std::process::id()));
    let store = std::sync::Arc::new(FileSessionStorage::new_in_folder(folder.clone()));
    let expiry_date = OffsetDateTime::now_utc() + Duration::days(1);
    let data = [("text".to_owned(), "x".repeat(10_000).into())].into();
    let mut session = Record { id: Id::default(), data, expiry_date };
    store.create(&mut session).await?;

    let (id, writer) = (session.id, std::sync::Arc::clone(&store));
    let saves = tokio::spawn(async move {
        for _ in 0..100 {
            writer.save(&session).await.expect("the session exists");
        }
    });
    let mut failed = 0;
    while !saves.is_finished() {
        failed += u32::from(!matches!(store.load(&id).await, Ok(Some(_))));
    }
    println!("loads failed while the session was saved: {}", failed > 0);
    println!("a load after the last save succeeds: {}", matches!(store.load(&id).await, Ok(Some(_))));
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}

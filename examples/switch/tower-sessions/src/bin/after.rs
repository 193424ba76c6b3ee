//! The notebook.

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = session_interop::TowerStore::new(session_store_sqlite::SqliteStore::open("sessions.db")?);
    switch_tower_sessions::serve(store).await
}

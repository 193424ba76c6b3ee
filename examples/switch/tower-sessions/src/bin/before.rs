//! The notebook.

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = tower_sessions::MemoryStore::default();
    switch_tower_sessions::serve(store).await
}

//! tower-sessions: two requests of one session load it, set different values, and save it.

use std::sync::Arc;

use tower_sessions::session::Error;
use tower_sessions::{MemoryStore, Session};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let store = Arc::new(MemoryStore::default());
    let session = Session::new(None, store.clone(), None);
    session.insert("user", "alice").await?;
    session.save().await?;

    let [one, other] = [(); 2].map(|()| Session::new(session.id(), store.clone(), None));
    one.insert("cart", 1).await?;
    other.insert("language", "en").await?;
    one.save().await?;
    other.save().await?;

    let after = Session::new(session.id(), store, None);
    println!("cart: {:?}", after.get::<u32>("cart").await?);
    println!("language: {:?}", after.get::<String>("language").await?);
    Ok(())
}

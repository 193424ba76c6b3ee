//! actix-session CookieSessionStore: a client sends the cookie again that it had before the logout.

use actix_session::storage::{CookieSessionStore, SessionStore};
use actix_web::cookie::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = CookieSessionStore::default();
    let state = [("user".to_owned(), "alice".to_owned())];
    let cookie = store.save(state.into(), &Duration::seconds(1)).await?;

    store.delete(&cookie).await?;
    println!("the session after delete: {:?}", store.load(&cookie).await?);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    println!("the session after its time to live: {:?}", store.load(&cookie).await?);
    Ok(())
}

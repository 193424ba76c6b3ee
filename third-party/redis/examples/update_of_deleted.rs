//! actix-session RedisSessionStore: a request saves a session that was deleted after the request loaded it.

use actix_session::storage::{RedisSessionStore, SessionStore};
use actix_web::cookie::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("the URL of a Redis server is missing")?;
    let store = RedisSessionStore::new(url).await?;
    let (state, ttl) = ([("user".to_owned(), "alice".to_owned())], Duration::days(1));
    let key = store.save(state.clone().into(), &ttl).await?;

    store.delete(&key).await?;
    let old = key.as_ref().to_owned();
    let key = store.update(key, state.into(), &ttl).await?;
    println!("update returns another key: {}", key.as_ref() != old);
    println!("a session exists under it: {}", store.load(&key).await?.is_some());
    Ok(())
}

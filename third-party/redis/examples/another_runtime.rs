//! actix-session RedisSessionStore: a store is used in one runtime, which ends, and then in another one.

use actix_session::storage::{RedisSessionStore, SessionStore};
use actix_web::cookie::time::Duration;
use tokio::runtime::Runtime;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("the URL of a Redis server is missing")?;
    let first = Runtime::new()?;
    let store = first.block_on(RedisSessionStore::new(url))?;
    println!("save in the first runtime: {}", first.block_on(store.save([].into(), &Duration::days(1))).is_ok());
    drop(first);

    let second = Runtime::new()?;
    println!("save in the second runtime: {}", second.block_on(store.save([].into(), &Duration::days(1))).is_ok());
    Ok(())
}

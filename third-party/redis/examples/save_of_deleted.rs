//! tower-sessions-redis-store: a request saves a deleted session, and another one creates a session with a taken id.

use time::{Duration, OffsetDateTime};
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::SessionStore;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike as _, Config, Pool};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).ok_or("the URL of a Redis server is missing")?;
    let pool = Pool::new(Config::from_url(&url)?, None, None, None, 1)?;
    pool.init().await?;
    let store = RedisStore::new(pool);
    let expiry_date = OffsetDateTime::now_utc() + Duration::days(1);
    let mut session = Record { id: Id::default(), data: Default::default(), expiry_date };

    store.create(&mut session).await?;
    println!("create with a taken id: {:?}", store.create(&mut session).await);
    store.delete(&session.id).await?;
    println!("save of a deleted session: {:?}", store.save(&session).await);
    println!("the session exists: {}", store.load(&session.id).await?.is_some());
    Ok(())
}

//! The store of tower-sessions.

use session_conformance::HarnessResult;
use session_core::Survives;
use third_party_adapter::Store;
use third_party_adapter::tower::Tower14;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike as _, Config, Pool};

use crate::server::{self, Database};

pub struct TowerRedis;

impl Store for TowerRedis {
    const NAME: &'static str = "tower-sessions-redis-store";
    const PACKAGE: &'static str = "tower-sessions-redis-store";
    const TRAIT: &'static str = "tower-sessions 0.14";
    const SURVIVES: Survives = Survives::Kill;
    type Home = Database;
    type Handle = Tower14<RedisStore<Pool>>;

    async fn create() -> HarnessResult<Database> {
        Database::create()
    }

    /// As in the store's documentation: a pool of six.
    async fn open(home: &Database) -> HarnessResult<Self::Handle> {
        let pool = Pool::new(Config::from_url(&home.0)?, None, None, None, 6)?;
        pool.init().await?;
        Ok(Tower14::new(RedisStore::new(pool)))
    }

    fn address(home: &Database) -> Option<String> {
        Some(home.0.clone())
    }

    fn attach(address: &str) -> HarnessResult<Database> {
        Ok(Database(address.to_owned()))
    }

    fn engine() -> Option<String> {
        server::engine()
    }
}

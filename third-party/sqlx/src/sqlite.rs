//! SQLite.

use session_conformance::HarnessResult;
use session_conformance::testing::FreshPath;
use session_core::Survives;
use third_party_adapter::Store;
use third_party_adapter::tower::Tower14;
use tower_sessions_sqlx_store::SqliteStore;
use tower_sessions_sqlx_store::sqlx::SqlitePool;

pub struct Sqlite;

/// A pool with sqlx's own settings, as in the store's documentation.
async fn pool(home: &FreshPath) -> HarnessResult<SqlitePool> {
    Ok(SqlitePool::connect(&format!("sqlite://{}?mode=rwc", home.path().display())).await?)
}

impl Store for Sqlite {
    const NAME: &'static str = "tower-sessions-sqlx-store, SQLite";
    const PACKAGE: &'static str = "tower-sessions-sqlx-store";
    const TRAIT: &'static str = "tower-sessions 0.14";
    const SURVIVES: Survives = Survives::Kill;
    const UNASKED: &'static [(&'static str, &'static str)] =
        &[("C16", "the connections belong to the runtime in which they were opened")];
    type Home = FreshPath;
    type Handle = Tower14<SqliteStore>;

    async fn create() -> HarnessResult<FreshPath> {
        let home = FreshPath::new("sessions.db")?;
        let pool = pool(&home).await?;
        SqliteStore::new(pool.clone()).migrate().await?;
        pool.close().await;
        Ok(home)
    }

    async fn open(home: &FreshPath) -> HarnessResult<Self::Handle> {
        Ok(Tower14::new(SqliteStore::new(pool(home).await?)))
    }

    fn address(home: &FreshPath) -> Option<String> {
        home.address()
    }

    fn attach(address: &str) -> HarnessResult<FreshPath> {
        Ok(FreshPath::of_another(address))
    }
}

//! PostgreSQL.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use session_conformance::{HarnessError, HarnessResult};
use session_core::Survives;
use third_party_adapter::Store;
use third_party_adapter::tower::Tower14;
use tower_sessions_sqlx_store::PostgresStore;
use tower_sessions_sqlx_store::sqlx::PgPool;
use tower_sessions_sqlx_store::sqlx::postgres::PgPoolOptions;
use xtask_postgres::{Options, Server, sql};

pub struct Postgres;

/// A schema of the server that all clauses of this process share.
pub struct Schema {
    port: u16,
    name: String,
}

fn server() -> HarnessResult<u16> {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    let options = || Options::new().set("max_connections", "400");
    let server = SERVER.get_or_init(|| Server::start(options()).map_err(|error| error.to_string()));
    Ok(server.as_ref().map_err(HarnessError::new)?.port())
}

/// sqlx's own settings, with fewer connections: the suite opens many handles.
async fn pool(port: u16) -> HarnessResult<PgPool> {
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    Ok(PgPoolOptions::new().max_connections(8).connect(&url).await?)
}

impl Store for Postgres {
    const NAME: &'static str = "tower-sessions-sqlx-store, PostgreSQL";
    const PACKAGE: &'static str = "tower-sessions-sqlx-store";
    const TRAIT: &'static str = "tower-sessions 0.14";
    const SURVIVES: Survives = Survives::Kill;
    const UNASKED: &'static [(&'static str, &'static str)] =
        &[("C16", "the connections belong to the runtime in which they were opened")];
    type Home = Schema;
    type Handle = Tower14<PostgresStore>;

    async fn create() -> HarnessResult<Schema> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let home = Schema { port: server()?, name: format!("s{}", NEXT.fetch_add(1, Ordering::Relaxed)) };
        let pool = pool(home.port).await?;
        let store =
            PostgresStore::new(pool.clone()).with_schema_name(&home.name).map_err(HarnessError::new)?;
        store.migrate().await?;
        pool.close().await;
        Ok(home)
    }

    async fn open(home: &Schema) -> HarnessResult<Self::Handle> {
        let store = PostgresStore::new(pool(home.port).await?).with_schema_name(&home.name);
        Ok(Tower14::new(store.map_err(HarnessError::new)?))
    }

    fn address(home: &Schema) -> Option<String> {
        Some(format!("{} {}", home.port, home.name))
    }

    fn attach(address: &str) -> HarnessResult<Schema> {
        let (port, name) = address.split_once(' ').ok_or_else(|| HarnessError::new("no address"))?;
        Ok(Schema { port: port.parse()?, name: name.to_owned() })
    }

    fn engine() -> Option<String> {
        let answer = sql(server().ok()?, "SHOW server_version").ok()?;
        Some(format!("PostgreSQL {}", answer.split_whitespace().next()?))
    }
}

//! The store of tower-sessions over libSQL, with a local file.

use std::process::ExitCode;

use libsql::{Builder, Connection};
use session_conformance::HarnessResult;
use session_conformance::testing::FreshPath;
use session_core::Survives;
use third_party_adapter::tower::Tower14;
use third_party_adapter::{Store, entry, main as serve};
use tower_sessions_libsql_store::LibsqlStore;

fn main() -> ExitCode {
    serve(include_str!("../Cargo.lock"), &[entry::<Libsql>()])
}

struct Libsql;

/// As in the store's documentation: one connection, without further settings.
async fn connection(home: &FreshPath) -> HarnessResult<Connection> {
    Ok(Builder::new_local(home.path()).build().await?.connect()?)
}

impl Store for Libsql {
    const NAME: &'static str = "tower-sessions-libsql-store";
    const PACKAGE: &'static str = "tower-sessions-libsql-store";
    const TRAIT: &'static str = "tower-sessions 0.14";
    const SURVIVES: Survives = Survives::Kill;
    type Home = FreshPath;
    type Handle = Tower14<LibsqlStore>;

    async fn create() -> HarnessResult<FreshPath> {
        let home = FreshPath::new("sessions.db")?;
        LibsqlStore::new(connection(&home).await?).migrate().await?;
        Ok(home)
    }

    async fn open(home: &FreshPath) -> HarnessResult<Self::Handle> {
        Ok(Tower14::new(LibsqlStore::new(connection(home).await?)))
    }

    fn address(home: &FreshPath) -> Option<String> {
        home.address()
    }

    fn attach(address: &str) -> HarnessResult<FreshPath> {
        Ok(FreshPath::of_another(address))
    }
}

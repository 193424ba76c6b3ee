//! The store of tower-sessions over rusqlite.

use std::process::ExitCode;

use session_conformance::HarnessResult;
use session_conformance::testing::FreshPath;
use session_core::Survives;
use third_party_adapter::tower::Tower15;
use third_party_adapter::{Store, entry, main as serve};
use tokio_rusqlite::Connection;
use tower_sessions_rusqlite_store::RusqliteStore;

fn main() -> ExitCode {
    serve(include_str!("../Cargo.lock"), &[entry::<Rusqlite>()])
}

struct Rusqlite;

impl Store for Rusqlite {
    const NAME: &'static str = "tower-sessions-rusqlite-store";
    const PACKAGE: &'static str = "tower-sessions-rusqlite-store";
    const TRAIT: &'static str = "tower-sessions 0.15";
    const SURVIVES: Survives = Survives::Kill;
    type Home = FreshPath;
    type Handle = Tower15<RusqliteStore>;

    async fn create() -> HarnessResult<FreshPath> {
        let home = FreshPath::new("sessions.db")?;
        let store = RusqliteStore::new(Connection::open(home.path()).await?);
        store.migrate().await?;
        Ok(home)
    }

    async fn open(home: &FreshPath) -> HarnessResult<Self::Handle> {
        Ok(Tower15::new(RusqliteStore::new(Connection::open(home.path()).await?)))
    }

    fn address(home: &FreshPath) -> Option<String> {
        home.address()
    }

    fn attach(address: &str) -> HarnessResult<FreshPath> {
        Ok(FreshPath::of_another(address))
    }
}

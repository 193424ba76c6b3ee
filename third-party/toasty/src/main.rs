//! The store of tower-sessions over Toasty, with SQLite.

use std::process::ExitCode;

use session_conformance::HarnessResult;
use session_conformance::testing::FreshPath;
use session_core::Survives;
use third_party_adapter::tower::Tower15;
use third_party_adapter::{Store, entry, main as serve};
use tower_sessions_toasty_store::ToastyStore;

fn main() -> ExitCode {
    serve(include_str!("../Cargo.lock"), &[entry::<Toasty>()])
}

struct Toasty;

async fn store(home: &FreshPath) -> HarnessResult<ToastyStore> {
    Ok(ToastyStore::connect(format!("sqlite://{}", home.path().display())).await?)
}

impl Store for Toasty {
    const NAME: &'static str = "tower-sessions-toasty-store, SQLite";
    const PACKAGE: &'static str = "tower-sessions-toasty-store";
    const TRAIT: &'static str = "tower-sessions 0.15";
    const SURVIVES: Survives = Survives::Kill;
    const UNASKED: &'static [(&'static str, &'static str)] =
        &[("C16", "the connections belong to the runtime in which they were opened")];
    type Home = FreshPath;
    type Handle = Tower15<ToastyStore>;

    async fn create() -> HarnessResult<FreshPath> {
        let home = FreshPath::new("sessions.db")?;
        store(&home).await?.migrate().await?;
        Ok(home)
    }

    async fn open(home: &FreshPath) -> HarnessResult<Self::Handle> {
        Ok(Tower15::new(store(home).await?))
    }

    fn address(home: &FreshPath) -> Option<String> {
        home.address()
    }

    fn attach(address: &str) -> HarnessResult<FreshPath> {
        Ok(FreshPath::of_another(address))
    }
}

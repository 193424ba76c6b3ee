//! Stores in memory.

use session_conformance::{HarnessResult, Requirement};
use session_core::Survives;
use third_party_adapter::tower::{Tower14, Tower15};
use third_party_adapter::{Control, Store, VOLATILE};
use tower_sessions::MemoryStore;
use tower_sessions_moka_store::MokaStore;

pub struct InControl;

impl Store for InControl {
    const NAME: &'static str = "control";
    const PACKAGE: &'static str = "third-party-adapter";
    const TRAIT: &'static str = "the four calls";
    const SURVIVES: Survives = Survives::Nothing;
    const LACKS: &'static [(Requirement, &'static str)] = VOLATILE;
    type Home = Control;
    type Handle = Control;

    async fn create() -> HarnessResult<Control> {
        Ok(Control::default())
    }

    async fn open(home: &Control) -> HarnessResult<Control> {
        Ok(home.clone())
    }
}

pub struct Memory;

impl Store for Memory {
    const NAME: &'static str = "tower-sessions MemoryStore";
    const PACKAGE: &'static str = "tower-sessions-memory-store";
    const TRAIT: &'static str = "tower-sessions 0.15";
    const SURVIVES: Survives = Survives::Nothing;
    const LACKS: &'static [(Requirement, &'static str)] = VOLATILE;
    type Home = Tower15<MemoryStore>;
    type Handle = Tower15<MemoryStore>;

    async fn create() -> HarnessResult<Self::Home> {
        Ok(Tower15::new(MemoryStore::default()))
    }

    async fn open(home: &Self::Home) -> HarnessResult<Self::Handle> {
        Ok(home.clone())
    }
}

pub struct Moka;

impl Store for Moka {
    const NAME: &'static str = "tower-sessions-moka-store";
    const PACKAGE: &'static str = "tower-sessions-moka-store";
    const TRAIT: &'static str = "tower-sessions 0.14";
    const SURVIVES: Survives = Survives::Nothing;
    const LACKS: &'static [(Requirement, &'static str)] = VOLATILE;
    type Home = Tower14<MokaStore>;
    type Handle = Tower14<MokaStore>;

    async fn create() -> HarnessResult<Self::Home> {
        Ok(Tower14::new(MokaStore::new(None)))
    }

    async fn open(home: &Self::Home) -> HarnessResult<Self::Handle> {
        Ok(home.clone())
    }
}

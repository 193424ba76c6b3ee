//! All clauses that apply to the driver.

use std::sync::{Arc, OnceLock};

use session_conformance::{Harness, HarnessError};
use session_core::Clock;
use third_party_driver::MapStore;

struct MapHarness;

impl Harness for MapHarness {
    type Driver = MapStore;
    /// The first handle creates the store with its clock; the others are clones.
    type Storage = OnceLock<MapStore>;

    fn name(&self) -> String {
        "third-party".into()
    }

    async fn create(&self) -> Result<OnceLock<MapStore>, HarnessError> {
        Ok(OnceLock::new())
    }

    async fn open(
        &self,
        storage: &OnceLock<MapStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<MapStore, HarnessError> {
        Ok(storage.get_or_init(|| MapStore::new(clock)).clone())
    }
}

session_conformance::suite!(MapHarness, lacks: [IN_MEMORY, UNBOUNDED]);

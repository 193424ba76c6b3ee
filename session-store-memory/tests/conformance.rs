//! The conformance suite over the memory driver.

use std::sync::{Arc, OnceLock};

use session_conformance::{Harness, Trouble};
use session_core::Clock;
use session_store_memory::{Config, Memory};

/// The store is the driver itself: made with the clock of the first handle, and every handle is a clone.
struct InMemory;

impl Harness for InMemory {
    type Driver = Memory;
    type Storage = OnceLock<Memory>;

    fn name(&self) -> String {
        "memory".into()
    }

    async fn make(&self) -> Result<OnceLock<Memory>, Trouble> {
        Ok(OnceLock::new())
    }

    async fn open(&self, storage: &OnceLock<Memory>, clock: Arc<dyn Clock>) -> Result<Memory, Trouble> {
        let fresh = Memory::open(Config::new().max_value(4 << 20).clock(clock))?;
        Ok(storage.get_or_init(|| fresh).clone())
    }
}

session_conformance::suite!(
    InMemory,
    lacks: {
        Close: "the data goes with the process",
        Kill: "the data goes with the process",
        PowerLoss: "the data goes with the process",
        Processes: "the memory of a process is its own",
        Damage: "nobody but the driver can reach its memory",
    },
);

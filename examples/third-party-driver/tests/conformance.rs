//! Every clause that applies, tried on the shelf.

use std::sync::{Arc, OnceLock};

use session_conformance::{Harness, HarnessError};
use session_core::Clock;
use third_party_driver::Shelf;

/// The store is the driver itself: made with the clock of the first handle, and every handle is a clone.
struct InMemory;

impl Harness for InMemory {
    type Driver = Shelf;
    type Storage = OnceLock<Shelf>;

    fn name(&self) -> String {
        "third-party".into()
    }

    async fn create(&self) -> Result<OnceLock<Shelf>, HarnessError> {
        Ok(OnceLock::new())
    }

    async fn open(&self, storage: &OnceLock<Shelf>, clock: Arc<dyn Clock>) -> Result<Shelf, HarnessError> {
        Ok(storage.get_or_init(|| Shelf::new(clock)).clone())
    }
}

session_conformance::suite!(
    InMemory,
    lacks: {
        Purge: "what has expired stays on the shelf until its key is stored again",
        ValueBound: "only memory bounds a value",
        Close: "the data goes with the process",
        Kill: "the data goes with the process",
        PowerLoss: "the data goes with the process",
        Processes: "the memory of a process is its own",
        Damage: "nobody but the driver can reach its memory",
        Checksum: "nobody but the driver can reach its memory",
        Outage: "the memory of a process is there as long as the process",
        Full: "only memory bounds the shelf",
        Permission: "nobody can take its memory away from a process",
    },
);

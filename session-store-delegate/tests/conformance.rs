//! The conformance suite over two models in memory. `examples/delegate` has it over one on disk, with every level.

#[allow(dead_code, reason = "each of the two test binaries uses a part of it")]
mod support;

use std::sync::Arc;

use session_conformance::{Harness, HarnessError};
use session_core::{Capabilities, Clock, Key};
use session_store_delegate::{DelegateConfig, DelegateStore, InPlace, Value};

use support::blobs::{Blobs, by_name};
use support::objects::Objects;

/// An asynchronous model with a mapping of its own.
struct Tagged;

impl Harness for Tagged {
    type Driver = DelegateStore<Blobs>;
    type Storage = Blobs;

    fn name(&self) -> String {
        "delegate-async".into()
    }

    async fn create(&self) -> Result<Blobs, HarnessError> {
        Ok(Blobs::default())
    }

    async fn open(
        &self,
        storage: &Blobs,
        clock: Arc<dyn Clock>,
    ) -> Result<DelegateStore<Blobs>, HarnessError> {
        Ok(DelegateStore::open(DelegateConfig::new(storage.clone()).mapping(by_name).clock(clock)))
    }

    async fn damage(&self, storage: &Blobs, key: &Key) -> Result<(), HarnessError> {
        let damaged =
            storage.blob(key, |blob| blob.tag = Some(blob.tag.take().unwrap_or_default().slice(..7)));
        damaged.ok_or_else(|| HarnessError::new("no blob to damage"))
    }
}

session_conformance::suite!(
    Tagged,
    lacks: {
        Close: "the data goes with the process",
        Kill: "the data goes with the process",
        PowerLoss: "the data goes with the process",
        Processes: "the memory of a process is its own",
        Checksum: "a bent byte of a field is another value",
        Outage: "nobody can take a process's own memory away from it",
        Full: "only memory bounds it",
        Permission: "nobody can deny a process its own memory",
    },
);

/// A model that cannot compare, and that blocks.
mod blind {
    use super::*;

    struct Blind;

    impl Harness for Blind {
        type Driver = DelegateStore<InPlace<Objects>>;
        type Storage = Objects;

        fn name(&self) -> String {
            "delegate-blind".into()
        }

        async fn create(&self) -> Result<Objects, HarnessError> {
            Ok(Objects::new(Capabilities::none().exactly_once(true)))
        }

        async fn open(&self, storage: &Objects, clock: Arc<dyn Clock>) -> Result<Self::Driver, HarnessError> {
            Ok(DelegateStore::in_place(DelegateConfig::new(storage.clone()).clock(clock)))
        }

        async fn damage(&self, storage: &Objects, key: &Key) -> Result<(), HarnessError> {
            let damaged =
                storage.object(key.id(), |object| object.insert("session".into(), Value::Damaged).is_some());
            if damaged { Ok(()) } else { Err(HarnessError::new("no object to damage")) }
        }
    }

    session_conformance::suite!(
        Blind,
        lacks: {
            Conditional: "the model writes whatever is there",
            Purge: "what is stored anew between a look and a removal would be lost",
            ValueBound: "only memory bounds a value",
            Close: "the data goes with the process",
            Kill: "the data goes with the process",
            PowerLoss: "the data goes with the process",
            Processes: "the memory of a process is its own",
            Checksum: "a bent byte of a field is another value",
            Outage: "nobody can take a process's own memory away from it",
            Full: "only memory bounds it",
            Permission: "nobody can deny a process its own memory",
        },
    );
}

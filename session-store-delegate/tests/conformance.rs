//! The conformance suite over two models in memory. `examples/delegate` runs all levels over a model on disk.

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
    lacks: [VOLATILE] {
        Checksum: "a field has no checksum",
        Outage: "a process cannot lose its own memory",
        Full: "only memory bounds it",
        Permission: "a process has always access to its own memory",
    },
);

/// A blocking model that cannot compare.
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
        lacks: [VOLATILE, UNBOUNDED] {
            Conditional: "the model cannot compare",
            Purge: "a record that is stored between a look and a removal would be lost",
            Checksum: "a field has no checksum",
            Outage: "a process cannot lose its own memory",
            Permission: "a process has always access to its own memory",
        },
    );
}

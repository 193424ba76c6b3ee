//! The conformance suite over a model in memory. `examples/delegate` runs all levels over a model on disk.

#[path = "driver/objects.rs"]
#[allow(dead_code, reason = "each of the two test binaries uses a part of it")]
mod objects;

use std::sync::Arc;

use session_conformance::{Harness, HarnessError};
use session_core::{Capabilities, Clock, Key};
use session_store_delegate::{DelegateConfig, DelegateStore, Fields, Value};

use objects::Objects;

/// A model that is pending in every call, or one that cannot compare.
struct InMemory {
    compares: bool,
}

impl Harness for InMemory {
    type Driver = DelegateStore<Objects>;
    type Storage = Objects;

    fn name(&self) -> String {
        if self.compares { "delegate-async".into() } else { "delegate-blind".into() }
    }

    async fn create(&self) -> Result<Objects, HarnessError> {
        let claims = Capabilities::none().exactly_once(true);
        if !self.compares {
            return Ok(Objects::new(claims));
        }
        Ok(Objects::pending(claims.conditional(true).max_record_bytes(Some(2 << 20))))
    }

    async fn open(&self, storage: &Objects, clock: Arc<dyn Clock>) -> Result<Self::Driver, HarnessError> {
        Ok(DelegateStore::open(DelegateConfig::new(storage.clone()).clock(clock)))
    }

    async fn damage(&self, storage: &Objects, key: &Key) -> Result<(), HarnessError> {
        let fields = Fields::of(key.prefix());
        let (field, value) = match self.compares {
            true => (fields.revision, Value::Bytes(vec![0; 7].into())),
            false => (fields.data, Value::Damaged),
        };
        let damaged = storage.object(key.id(), |object| object.insert(field.into(), value).is_some());
        if damaged { Ok(()) } else { Err(HarnessError::new("no object to damage")) }
    }
}

session_conformance::suite!(
    InMemory { compares: true },
    lacks: [VOLATILE] { AtOnce: "a model may wait",
        Checksum: "a field has no checksum",
        Index: "the model finds its objects",
        Outage: "a process cannot lose its own memory",
        Full: "only memory bounds it",
        Permission: "a process has always access to its own memory",
        Files: "the model has no files",
    },
);

mod blind {
    use super::InMemory;

    session_conformance::suite!(
        InMemory { compares: false },
        lacks: [VOLATILE, UNBOUNDED] { AtOnce: "a model may wait",
            Conditional: "the model cannot compare",
            Purge: "a record that is stored between a look and a removal would be lost",
            Checksum: "a field has no checksum",
            Index: "the model finds its objects",
            Outage: "a process cannot lose its own memory",
            Permission: "a process has always access to its own memory",
            Files: "the model has no files",
        },
    );
}

//! The conformance suite over a model in memory. `examples/delegate` runs all levels over a model on disk.

#[path = "driver/objects.rs"]
#[allow(dead_code, reason = "each of the two test binaries uses a part of it")]
mod objects;

use std::sync::Arc;

use session_conformance::{Harness, HarnessError};
use session_core::{Capabilities, Clock, Key};
use session_store_delegate::{DelegateConfig, DelegateStore, Fields, Value};

use objects::Objects;

/// A model that is pending in every call.
struct Pending;

/// A model that cannot compare.
struct Blind;

fn open(model: &Objects, clock: Arc<dyn Clock>) -> DelegateStore<Objects> {
    DelegateStore::open(DelegateConfig::new(model.clone()).clock(clock))
}

fn damage(model: &Objects, key: &Key, field: &str, value: Value) -> Result<(), HarnessError> {
    let damaged = model.object(key.id(), |object| object.insert(field.into(), value).is_some());
    if damaged { Ok(()) } else { Err(HarnessError::new("no object to damage")) }
}

impl Harness for Pending {
    type Driver = DelegateStore<Objects>;
    type Storage = Objects;

    fn name(&self) -> String {
        "delegate-async".into()
    }

    async fn create(&self) -> Result<Objects, HarnessError> {
        let claims = Capabilities::none().conditional(true).exactly_once(true);
        Ok(Objects::pending(claims.max_record_bytes(Some(2 << 20))))
    }

    async fn open(&self, storage: &Objects, clock: Arc<dyn Clock>) -> Result<Self::Driver, HarnessError> {
        Ok(open(storage, clock))
    }

    async fn damage(&self, storage: &Objects, key: &Key) -> Result<(), HarnessError> {
        damage(storage, key, &Fields::of(key.prefix()).revision, Value::Bytes(vec![0; 7].into()))
    }
}

session_conformance::suite!(
    Pending,
    lacks: [VOLATILE] {
        Checksum: "a field has no checksum",
        Outage: "a process cannot lose its own memory",
        Full: "only memory bounds it",
        Permission: "a process has always access to its own memory",
    },
);

mod blind {
    use super::*;

    impl Harness for Blind {
        type Driver = DelegateStore<Objects>;
        type Storage = Objects;

        fn name(&self) -> String {
            "delegate-blind".into()
        }

        async fn create(&self) -> Result<Objects, HarnessError> {
            Ok(Objects::new(Capabilities::none().exactly_once(true)))
        }

        async fn open(&self, storage: &Objects, clock: Arc<dyn Clock>) -> Result<Self::Driver, HarnessError> {
            Ok(open(storage, clock))
        }

        async fn damage(&self, storage: &Objects, key: &Key) -> Result<(), HarnessError> {
            damage(storage, key, &Fields::of(key.prefix()).data, Value::Damaged)
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

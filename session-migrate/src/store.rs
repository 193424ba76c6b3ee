//! The driver.

use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, ExpiryMode, Key, Page, Prefix, Purged, Record,
    Result, RollsBack, Touch,
};

use crate::pair::Pair;

/// A driver over two drivers, for applications whose sessions move from one store to another while they run.
///
/// It reads from the new store, and from the old one what has not moved yet. Before it changes a record, it moves it. So
/// every change is made in the new store, and the guarantees of both stores hold for the pair: nothing is lost, and
/// nothing that has ended comes back.
///
/// Every process that uses the sessions has to use `Migrating` over the same two stores: see the
/// [crate's documentation](crate#the-steps-of-a-migration).
#[derive(Clone, Debug)]
pub struct Migrating<O, N> {
    pub(crate) old: O,
    pub(crate) new: N,
}

impl<O, N> Migrating<O, N> {
    /// The store that the records leave.
    #[must_use]
    pub const fn old_store(&self) -> &O {
        &self.old
    }

    /// The store that they move to.
    #[must_use]
    pub const fn new_store(&self) -> &N {
        &self.new
    }

    pub(crate) const fn pair(&self) -> Pair<'_, O, N> {
        Pair { old: &self.old, new: &self.new }
    }
}

impl<O: Driver, N: Driver> Driver for Migrating<O, N> {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.pair().retrieve(key).await
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.pair().store(key, record, condition).await
    }

    async fn store_over(&self, key: &Key, record: Record, loaded: &Record) -> Result<Change> {
        self.pair().store_over(key, record, loaded).await
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.pair().remove(key, condition).await
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.pair().traverse(prefix, &from, limit).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.pair().touch(key, touch).await
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.pair().purge(limit).await
    }

    async fn flush(&self) -> Result<()> {
        self.new.flush().await?;
        self.old.flush().await
    }

    /// Closes both stores, also if the first one fails.
    async fn close(&self) -> Result<()> {
        let new = self.new.close().await;
        self.old.close().await.and(new)
    }

    /// What both stores promise. The largest record is the new store's, because every record is stored there.
    fn capabilities(&self) -> Capabilities {
        let (old, new) = (self.old.capabilities(), self.new.capabilities());
        Capabilities::none()
            .conditional(old.conditional && new.conditional)
            .survives(old.survives.min(new.survives))
            .rolls_back(worse(old.rolls_back, new.rolls_back))
            .shared(old.shared.min(new.shared))
            .expiry(later(old.expiry, new.expiry))
            .max_record_bytes(new.max_record_bytes)
            .evicts(old.evicts || new.evicts)
            .at_once(old.at_once && new.at_once)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.new.clock()
    }
}

fn worse(one: RollsBack, other: RollsBack) -> RollsBack {
    match (one, other) {
        (RollsBack::Never, only) | (only, RollsBack::Never) => only,
        (RollsBack::PowerLoss, RollsBack::PowerLoss) => RollsBack::PowerLoss,
        _ => RollsBack::Failover,
    }
}

/// `Caller` where one of the stores needs a purge, unless the other one expires records late.
fn later(old: ExpiryMode, new: ExpiryMode) -> ExpiryMode {
    match (old, new) {
        (ExpiryMode::Engine { granularity: one }, ExpiryMode::Engine { granularity: other }) => {
            ExpiryMode::Engine { granularity: one.max(other) }
        }
        (engine @ ExpiryMode::Engine { granularity }, ExpiryMode::Caller)
        | (ExpiryMode::Caller, engine @ ExpiryMode::Engine { granularity })
            if granularity > Duration::ZERO =>
        {
            engine
        }
        _ => ExpiryMode::Caller,
    }
}

//! The move of one record: the protocol on which everything else relies.
//!
//! The value of a key is the new store's record; without one it is the old store's. A reservation counts as none. Every
//! step keeps two rules:
//!
//! 1. Records only leave the old store. So a key that is empty there stays empty.
//! 2. A record of the new store is changed or removed only after the old store was seen empty for its key. So a record
//!    that is in both stores is the same in both, and a removal never uncovers an older record.
//!
//! A move is four steps: reserve the key in the new store on condition `Absent`; read the old record; store it in the new
//! store on condition of the reservation's revision; remove the old record on condition of its own revision. A crash after
//! any step leaves the value unchanged. A step that is delayed until other processes have moved, changed or removed the
//! record does nothing, because its condition fails.

use session_core::{
    Change, Condition, Driver, Key, Operation, Record, Revision, StoreError, StoreErrorKind, Timestamp,
};

use crate::error::{On, Side, Sided, SidedError, misconfigured};
use crate::reservation::{is_reservation, real, reserve};

/// The two stores of a migration.
pub(crate) struct Pair<'a, O, N> {
    pub(crate) old: &'a O,
    pub(crate) new: &'a N,
}

/// The result of the first three steps of a move.
pub(crate) enum Found {
    /// The old store has no record.
    Nothing,
    /// The new store has the record of the old one now.
    Copied(Record),
    /// The new store had a record.
    Present { old: Record, new: Record },
}

impl<O: Driver, N: Driver> Pair<'_, O, N> {
    /// Makes sure that the old store is empty for `key`, for good. Moves its record if it has one.
    pub(crate) async fn settle(&self, key: &Key) -> Sided<()> {
        if self.vacate(key).await? {
            return Ok(());
        }
        match self.fill(key).await? {
            Found::Nothing => Ok(()),
            Found::Copied(old) | Found::Present { old, .. } => self.clean(key, &old).await,
        }
    }

    /// Whether the old store has no live record. An expired one is removed: a process whose clock is behind would find it
    /// live, and a purge would count it beside the one that moved.
    ///
    /// The call is a store of an expired record on condition `Absent`, which removes what is expired and otherwise changes
    /// nothing (E08).
    async fn vacate(&self, key: &Key) -> Sided<bool> {
        let revision = Revision::random().on(Side::Old)?;
        let past = Record::new(&b""[..], Some(Timestamp::EPOCH), revision);
        Ok(self.old.store(key, past, Condition::Absent).await.on(Side::Old)?.is_applied())
    }

    /// The first three steps of a move.
    pub(crate) async fn fill(&self, key: &Key) -> Sided<Found> {
        loop {
            let reservation = reserve(self.new.clock().now()).on(Side::New)?;
            let own = reservation.revision;
            let held = match self.new.store(key, reservation, Condition::Absent).await.on(Side::New)? {
                Change::Applied => own,
                // Of another process, which may have died. Whichever process is first finishes the move.
                Change::Conflict(Some(other)) if is_reservation(&other) => other.revision,
                Change::Conflict(Some(new)) => {
                    let old = self.old.retrieve(key).await.on(Side::Old)?;
                    return Ok(old.map_or(Found::Nothing, |old| Found::Present { old, new }));
                }
                Change::Conflict(None) => continue,
            };
            match self.fill_reserved(key, held).await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(failed) => {
                    // Otherwise the reservation stays until it expires. The first error says more than a second one.
                    let _ = self.new.remove(key, Condition::Revision(held)).await;
                    return Err(failed);
                }
            }
        }
    }

    /// Replaces the reservation by the old record. `None` if another process has replaced it.
    async fn fill_reserved(&self, key: &Key, held: Revision) -> Sided<Option<Found>> {
        // Read after the reservation was seen. A record that was read earlier may have been moved and removed since.
        let Some(old) = self.old.retrieve(key).await.on(Side::Old)? else {
            let _ = self.new.remove(key, Condition::Revision(held)).await.on(Side::New)?;
            return Ok(Some(Found::Nothing));
        };
        let change = self.new.store(key, old.clone(), Condition::Revision(held)).await.on(Side::New)?;
        Ok(change.is_applied().then_some(Found::Copied(old)))
    }

    /// The last step: removes the old record, which the new store has.
    pub(crate) async fn clean(&self, key: &Key, old: &Record) -> Sided<()> {
        match self.old.remove(key, Condition::Revision(old.revision)).await.on(Side::Old)? {
            Change::Applied => Ok(()),
            // Another process has removed it, or it has expired.
            Change::Conflict(None) if self.vacate(key).await? => Ok(()),
            Change::Conflict(_) => Err(SidedError {
                side: Side::Old,
                error: misconfigured("a process without `Migrating` changed a record of the old store")
                    .during(Operation::Remove),
            }),
        }
    }

    /// The last step, once the new store has returned the record. `false` if it returns another one, or none, while the
    /// old store keeps the record.
    pub(crate) async fn confirm_and_clean(&self, key: &Key, old: &Record) -> Sided<bool> {
        let new = real(self.new.retrieve(key).await.on(Side::New)?);
        if new.as_ref() == Some(old) {
            self.clean(key, old).await?;
            return Ok(true);
        }
        // An application changes the new record after it has emptied the old store.
        self.vacate(key).await
    }

    /// Fails if the stores cannot be the two sides of a migration. Moving from a store into itself would remove every
    /// record.
    pub(crate) async fn check(&self) -> Sided<()> {
        for (side, conditional) in [
            (Side::Old, self.old.capabilities().conditional),
            (Side::New, self.new.capabilities().conditional),
        ] {
            if !conditional {
                let error = misconfigured("a migration needs drivers that compare and store in one step");
                return Err(SidedError { side, error });
            }
        }
        let during = |error: StoreError| error.during(Operation::Open);
        let probe = reserve(self.new.clock().now()).on(Side::New)?;
        let digits: String = probe.revision.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let key = Key::parse(&format!("migrate:{digits}")).map_err(during).on(Side::New)?;
        // Removes the probe also if its time has passed (E08).
        let past = Record { expires: Some(Timestamp::EPOCH), ..probe.clone() };
        let stored = self.new.store(&key, probe, Condition::Absent).await.map_err(during).on(Side::New)?;
        let same = self.old.retrieve(&key).await.map_err(during).on(Side::Old);
        let _ = self.new.store(&key, past, Condition::Any).await.map_err(during).on(Side::New)?;
        if stored.is_applied() && same?.is_some() {
            let error = misconfigured("the old store and the new one are the same store");
            return Err(SidedError { side: Side::New, error });
        }
        Ok(())
    }
}

/// Whether the record of a key cannot be moved, now or later.
pub(crate) fn is_immovable(error: &StoreError) -> bool {
    matches!(error.kind(), StoreErrorKind::TooLarge | StoreErrorKind::Corrupt)
}

//! Failures from outside: marker files beside the log make it unavailable, forbidden or small.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use session_core::{Key, Operation, Record, Result, StoreError, StoreErrorKind};

use super::log::{Log, Slot};
use super::{Defect, Reference};

/// The file that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Gone,
    Denied,
    /// Holds how many bytes the live records may take.
    Small,
}

impl Trouble {
    pub fn file(self, log: &Path) -> PathBuf {
        log.with_extension(match self {
            Self::Gone => "gone",
            Self::Denied => "denied",
            Self::Small => "small",
        })
    }

    fn is_at(self, log: &Path) -> bool {
        self.file(log).exists()
    }
}

impl Reference {
    /// Whether the store can be reached and used. `Some` where a mutant has an answer of its own.
    pub(super) fn reach(&self, operation: Operation) -> Result<Option<Trouble>> {
        let path = &self.handle.path;
        let lost = self.handle.lost.load(Ordering::SeqCst);
        if lost && matches!(self.handle.defect, Some(Defect::GoneForever | Defect::DeniedForever)) {
            return Err(StoreError::new(StoreErrorKind::Backend, operation));
        }
        let (trouble, kind) = if Trouble::Gone.is_at(path) {
            (Trouble::Gone, StoreErrorKind::Unavailable)
        } else if Trouble::Denied.is_at(path) {
            (Trouble::Denied, StoreErrorKind::Misconfigured)
        } else {
            return Ok(None);
        };
        self.handle.lost.store(true, Ordering::SeqCst);
        if self.has(Defect::GoneLosesAll) {
            self.step(|log| log.index.clone().into_keys().try_for_each(|key| log.remove(&key)))?;
        }
        match (operation, self.handle.defect) {
            (Operation::Retrieve, Some(Defect::GoneIsAbsent | Defect::DeniedIsAbsent))
            | (Operation::Store, Some(Defect::GoneSaysYes)) => Ok(Some(trouble)),
            _ => Err(StoreError::new(kind, operation)),
        }
    }

    /// Fails if `record` does not fit.
    pub(super) fn room_for(
        &self,
        log: &mut Log,
        key: &Key,
        record: &Record,
        slot: Option<Slot>,
    ) -> Result<bool> {
        let old = slot.map_or(0, |slot| slot.len);
        let new = record.data.len() + key.as_bytes().len() + session_core::frame::HEADER_LEN;
        // A racy mutant may hold a slot that is gone by now.
        let wants = (log.live_bytes() + new).saturating_sub(old);
        let still = self.has(Defect::FullForever) && self.handle.was_full.load(Ordering::SeqCst);
        if !still && self.room().is_none_or(|room| wants <= room) {
            return Ok(true);
        }
        self.handle.was_full.store(true, Ordering::SeqCst);
        match self.handle.defect {
            Some(Defect::FullSaysYes) => return Ok(false),
            Some(Defect::FullRemovesOld) if slot.is_some() => log.remove(key)?,
            _ => {}
        }
        Err(StoreError::new(StoreErrorKind::Full, Operation::Store))
    }

    /// The answer of a mutant to a removal.
    pub(super) fn room_to_remove(&self) -> Result<()> {
        if self.has(Defect::FullRefusesRemovals) && self.handle.was_full.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Full, Operation::Remove));
        }
        Ok(())
    }

    fn room(&self) -> Option<usize> {
        std::fs::read_to_string(Trouble::Small.file(&self.handle.path)).ok()?.trim().parse().ok()
    }
}

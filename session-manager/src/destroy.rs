//! Ending a session at once.

use std::borrow::Cow;

use session_core::{Applied, Change, Condition, Driver, Key, Record, Revision};

use crate::error::Error;
use crate::event::Event;
use crate::manager::Manager;
use crate::outcome::EndReason;
use crate::settle::Patience;
use crate::table::{Content, Table};
use crate::work::{Pending, Work};

/// The result of removing a session's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// This call removed it.
    Removed,
    /// It was gone already.
    Gone,
    /// A rotation replaced it. The tombstone with this revision stays, so that late requests create nothing under the
    /// old id.
    Replaced(Revision),
}

impl<D: Driver> Manager<D> {
    pub(crate) async fn destroy(&self, work: &mut Work, reason: Cow<'static, str>) -> Result<bool, Error> {
        let mut removal = Removal::Gone;
        if let Some(loaded) = work.loaded().cloned() {
            removal = self.end_record(&loaded.key, loaded.revision).await?;
        }
        // A call whose answer was lost may have stored the session under an id that only this handle knows.
        let pending = work.pending().cloned();
        if let Some(Pending { next, before, tombstone, .. }) = &pending
            && (before.is_none() || tombstone.is_some())
        {
            let ours = |placed: &(Key, Record)| removal == Removal::Replaced(placed.1.revision);
            if before.is_none() || tombstone.as_deref().is_some_and(ours) {
                removal = self.end_record(&next.key, next.revision).await?;
            } else {
                self.abandon(next).await;
            }
        }
        let Some(loaded) = work.loaded().cloned().or(pending.map(|pending| pending.next)) else {
            if !work.is_dead() || work.logs_in_anyway() {
                drop(work.take_log());
            }
            return Ok(false);
        };
        let known = work.is_known();
        let (end, dead) = match removal {
            Removal::Removed => (EndReason::Destroyed(reason), false),
            Removal::Gone => (self.why_gone(&loaded), false),
            Removal::Replaced(_) => (EndReason::Replaced, true),
        };
        work.finish_with(self.config.new_header(), Some(end.clone()), dead);
        if removal == Removal::Removed {
            self.emit(Some(&loaded.key), &Event::Ended(end));
            // Only the request that ended a session deletes its cookie, and only if the client has it. For a session
            // that this very request created, a deletion could hit another cookie.
            work.tell_to_forget(known);
        }
        Ok(removal == Removal::Removed)
    }

    /// Removes the session under `key`, even if another request changed it, but never a tombstone.
    pub(crate) async fn end_record(&self, key: &Key, mut revision: Revision) -> Result<Removal, Error> {
        let mut patience = Patience::new();
        let mut doubt = false;
        loop {
            let found = match self.remove_if(key, Condition::Revision(revision)).await {
                Ok(Change::Applied) => return Ok(Removal::Removed),
                // Our own removal, whose answer was lost.
                Ok(Change::Conflict(None)) if doubt => return Ok(Removal::Removed),
                Ok(Change::Conflict(None)) => return Ok(Removal::Gone),
                Ok(Change::Conflict(Some(record))) => record,
                Err(error) if error.applied() == Applied::Unknown => {
                    doubt = true;
                    match self.driver.retrieve(key).await {
                        Ok(None) => return Ok(Removal::Removed),
                        Ok(Some(record)) => record,
                        Err(_) => return Err(Error::uncertain(error)),
                    }
                }
                Err(error) if doubt => return Err(Error::uncertain(error)),
                Err(error) => return Err(error.into()),
            };
            revision = found.revision;
            if matches!(Table::parse(found.data), Ok(Content::Tombstone(_))) {
                return Ok(Removal::Replaced(revision));
            }
            patience.spend().await?;
        }
    }
}

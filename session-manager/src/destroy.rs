//! Ending a session, at once.

use std::borrow::Cow;

use session_core::{Applied, Change, Condition, Driver, Key, Revision};

use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::outcome::{EndReason, IdUpdate};
use crate::sessions::Inner;
use crate::settle::Patience;
use crate::table::{Content, Table};
use crate::work::{Pending, Work};

/// What became of a record that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is gone, by this call.
    Removed,
    /// It was gone already.
    Gone,
    /// A rotation replaced it: the tombstone with this revision stays, for it keeps late requests from creating anything
    /// under the old id.
    Replaced(Revision),
}

impl<D: Driver> Inner<D> {
    pub(crate) async fn destroy(&self, work: &mut Work, reason: Cow<'static, str>) -> Result<bool, Error> {
        if work.sealed {
            return Err(Error::new(ErrorKind::Committed));
        }
        let mut removal = Removal::Gone;
        if let Some(loaded) = &work.loaded {
            removal = self.end_record(&loaded.key, loaded.revision).await?;
        }
        // A call whose answer was lost may have put the session under an id of which only this handle knows.
        if let Some(Pending { next, before, tombstone, .. }) = work.pending.as_deref()
            && (before.is_none() || tombstone.is_some())
        {
            let ours = |(_, revision, _): &(_, Revision, _)| removal == Removal::Replaced(*revision);
            if before.is_none() || tombstone.as_ref().is_some_and(ours) {
                removal = self.end_record(&next.key, next.revision).await?;
            } else {
                self.take_back(next).await;
            }
        }
        let (known, loaded) = (work.known, work.loaded.clone());
        let Some(loaded) = loaded.or_else(|| work.pending.as_ref().map(|pending| pending.next.clone()))
        else {
            if !work.dead {
                work.detach();
            }
            return Ok(false);
        };
        work.detach();
        work.client = IdUpdate::None;
        match removal {
            Removal::Removed => {
                let reason = EndReason::Destroyed(reason);
                self.emit(Some(&loaded.key), &Event::Ended(reason.clone()));
                work.end = Some(reason);
                work.known = known;
                // Only the request that itself ended a session sends the deletion of its cookie, and only where the
                // client has it: what this very request created has none yet, and a deletion could hit another.
                if known {
                    work.client = IdUpdate::Clear;
                }
            }
            Removal::Gone => work.end = Some(self.why_gone(&loaded)),
            Removal::Replaced(_) => {
                work.end = Some(EndReason::Replaced);
                work.dead = true;
            }
        }
        Ok(removal == Removal::Removed)
    }

    /// Removes the session under `key`, whoever wrote it last, but never a tombstone.
    pub(crate) async fn end_record(&self, key: &Key, mut revision: Revision) -> Result<Removal, Error> {
        let mut patience = Patience::new();
        let mut doubt = false;
        loop {
            let there = match self.remove_if(key, Condition::Revision(revision)).await {
                Ok(Change::Applied) => return Ok(Removal::Removed),
                // A removal of ours whose answer was lost counts as ours.
                Ok(Change::Conflict(None)) if doubt => return Ok(Removal::Removed),
                Ok(Change::Conflict(None)) => return Ok(Removal::Gone),
                Ok(Change::Conflict(Some(record))) => record,
                Err(error) if error.applied() == Applied::Unknown => {
                    doubt = true;
                    match self.driver.retrieve(key).await {
                        Ok(None) => return Ok(Removal::Removed),
                        Ok(Some(record)) => record,
                        Err(_) => return Err(Error::new(ErrorKind::Uncertain).with_source(error)),
                    }
                }
                Err(error) if doubt => return Err(Error::new(ErrorKind::Uncertain).with_source(error)),
                Err(error) => return Err(error.into()),
            };
            revision = there.revision;
            if matches!(Table::parse(there.data), Ok(Content::Tombstone)) {
                return Ok(Removal::Replaced(revision));
            }
            patience.spend().await?;
        }
    }
}

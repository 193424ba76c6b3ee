//! Ending a session, at once.

use std::borrow::Cow;

use session_core::{Applied, Condition, Driver, Key, Revision, Stored};

use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::outcome::{ClientAction, EndReason};
use crate::sessions::Inner;
use crate::settle::Patience;
use crate::table::{Content, Table};
use crate::work::{Phase, Work};

/// What became of a record that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is gone, by this call.
    Removed,
    /// It was gone already.
    Gone,
    /// A rotation replaced it: the marker stays, for it keeps late requests from creating anything under the old id.
    Replaced,
}

impl<D: Driver> Inner<D> {
    pub(crate) async fn destroy(&self, work: &mut Work, reason: Cow<'static, str>) -> Result<bool, Error> {
        if work.phase == Phase::Sealed {
            return Err(Error::new(ErrorKind::Committed));
        }
        // A rotation whose answer was lost may have moved the session to an id of which only this handle knows.
        if let Err(error) = self.resolve(work).await
            && error.kind() != ErrorKind::Uncertain
        {
            return Err(error);
        }
        let Some(loaded) = work.loaded.clone() else {
            if !work.dead {
                work.detach();
            }
            return Ok(false);
        };
        let removal = self.end_record(&loaded.key, loaded.revision).await?;
        work.detach();
        match removal {
            Removal::Removed => {
                let reason = EndReason::Destroyed(reason);
                self.emit(Some(&loaded.key), &Event::Ended(reason.clone()));
                work.end = Some(reason);
                work.client = ClientAction::Forget;
            }
            // Only the request that itself ended a session sends the deletion of its cookie.
            Removal::Gone => {
                work.end = Some(self.why_gone(&loaded));
                work.client = ClientAction::Keep;
            }
            Removal::Replaced => {
                work.end = Some(EndReason::Replaced);
                work.dead = true;
                work.client = ClientAction::Keep;
            }
        }
        Ok(removal == Removal::Removed)
    }

    /// Removes the session under `key`, whoever wrote it last, but never a marker.
    pub(crate) async fn end_record(&self, key: &Key, mut revision: Revision) -> Result<Removal, Error> {
        let mut patience = Patience::new();
        let mut doubt = false;
        loop {
            let there = match self.driver.remove(key, Condition::Revision(revision)).await {
                Ok(Stored::Yes) => return Ok(Removal::Removed),
                // A removal of ours whose answer was lost counts as ours.
                Ok(Stored::Conflict(None)) if doubt => return Ok(Removal::Removed),
                Ok(Stored::Conflict(None)) => return Ok(Removal::Gone),
                Ok(Stored::Conflict(Some(record))) => record,
                Err(error) if error.applied() == Applied::Unknown => {
                    doubt = true;
                    match self.driver.retrieve(key).await {
                        Ok(None) => return Ok(Removal::Removed),
                        Ok(Some(record)) => record,
                        Err(_) => return Err(Error::new(ErrorKind::Uncertain).with_source(error)),
                    }
                }
                Err(error) => return Err(error.into()),
            };
            if matches!(Table::parse(there.data), Ok(Content::Marker)) {
                return Ok(Removal::Replaced);
            }
            revision = there.revision;
            patience.spend().await?;
        }
    }
}

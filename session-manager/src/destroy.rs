//! Ending a session at once.

use std::borrow::Cow;

use session_core::{Driver, Key, Record};

use crate::error::Error;
use crate::event::Event;
use crate::manager::Manager;
use crate::outcome::EndReason;
use crate::settle::Removal;
use crate::work::{Pending, Work};

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
        let header = Some(&work.table().header).filter(|header| header.user().is_some()).cloned();
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
            if let Some(header) = header {
                self.leave_header(&header, &loaded.key).await;
            }
        }
        Ok(removal == Removal::Removed)
    }
}

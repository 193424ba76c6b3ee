//! Ending a session at once.

use std::borrow::Cow;

use session_core::{Driver, Key, Record, StoreErrorKind};

use crate::error::Error;
use crate::event::Event;
use crate::forward::MOVES;
use crate::manager::Manager;
use crate::outcome::EndReason;
use crate::request::RequestInfo;
use crate::settle::Removal;
use crate::table::{Content, Table};
use crate::work::{Pending, Work};

impl<D: Driver> Manager<D> {
    /// Ends the session of the request and all others that it presented.
    pub(crate) async fn destroy(
        &self,
        request: &RequestInfo,
        work: &mut Work,
        reason: Cow<'static, str>,
    ) -> Result<bool, Error> {
        let mut others = false;
        if self.candidates(request).are_several() {
            // First, so that no other request finds one of them in place of the loaded session.
            others = Box::pin(self.destroy_others(request, work, &reason)).await?;
        }
        Ok(self.destroy_loaded(work, reason).await? || others)
    }

    #[cold]
    async fn destroy_others(
        &self,
        request: &RequestInfo,
        work: &mut Work,
        reason: &str,
    ) -> Result<bool, Error> {
        let mut ended = false;
        for id in self.candidates(request).iter() {
            if work.loaded().is_some_and(|loaded| loaded.id == *id) {
                continue;
            }
            let key = id.key();
            let own = work.loaded().map(|loaded| loaded.key.clone());
            match self.destroy_other(request, key, own, reason).await? {
                Removal::Removed => {
                    ended = true;
                    work.note_other_ended();
                }
                Removal::Replaced(_) => work.set_beside_tombstone(),
                Removal::Gone => {}
            }
        }
        Ok(ended)
    }

    /// Ends the session under an id that the request did not load. A session that is bound to another client stays, and
    /// so does a damaged record.
    async fn destroy_other(
        &self,
        request: &RequestInfo,
        mut key: Key,
        own: Option<Key>,
        reason: &str,
    ) -> Result<Removal, Error> {
        let mut moves = 0;
        let (table, revision) = loop {
            let record = match self.driver.retrieve(&key).await {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(Removal::Gone),
                Err(error) if error.kind() == StoreErrorKind::Corrupt => return Ok(Removal::Gone),
                Err(error) => return Err(error.into()),
            };
            match Table::parse(record.data) {
                Ok(Content::Session(table)) => break (table, record.revision),
                Ok(Content::Tombstone(_)) => return Ok(Removal::Replaced(record.revision)),
                // The loaded session ends last.
                Ok(Content::Forwarder(forwarder)) if moves < MOVES && Some(&forwarder.to) != own.as_ref() => {
                    (key, moves) = (forwarder.to, moves + 1);
                }
                Ok(Content::Forwarder(_)) | Err(_) => return Ok(Removal::Gone),
            }
        };
        if self.mismatch(request, &table).is_some() {
            return Ok(Removal::Gone);
        }
        let removal = self.end_record(&mut key, revision).await?;
        if removal == Removal::Removed {
            self.emit(Some(&key), &Event::Ended(EndReason::Destroyed(reason.to_owned().into())));
            if table.header.user().is_some() {
                self.leave_header(&table.header, &key).await;
            }
        }
        Ok(removal)
    }

    async fn destroy_loaded(&self, work: &mut Work, reason: Cow<'static, str>) -> Result<bool, Error> {
        let mut removal = Removal::Gone;
        let mut at = None;
        if let Some(mut loaded) = work.loaded().cloned() {
            removal = self.end_record(&mut loaded.key, loaded.revision).await?;
            at = Some(loaded);
        }
        // A call whose answer was lost may have stored the session under an id that only this handle knows.
        let mut pending = work.pending().cloned();
        if let Some(Pending { next, before, tombstone, .. }) = &mut pending
            && (before.is_none() || tombstone.is_some())
        {
            let ours = |placed: &(Key, Record)| removal == Removal::Replaced(placed.1.revision);
            if before.is_none() || tombstone.as_deref().is_some_and(ours) {
                removal = self.end_record(&mut next.key, next.revision).await?;
            } else {
                self.abandon(next).await;
            }
        }
        let Some(loaded) = at.or(pending.map(|pending| pending.next)) else {
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
            if self.carried.is_some() {
                // The client may have a copy in another place, which no store ends.
                work.note_other_ended();
            }
            if let Some(header) = header {
                self.leave_header(&header, &loaded.key).await;
            }
        }
        Ok(removal == Removal::Removed)
    }
}

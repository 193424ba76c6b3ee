//! Finding out what a store call did whose answer this handle never saw.

use session_core::{Change, Driver, Record, is_live};

use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::manager::Manager;
use crate::outcome::{EndReason, Outcome};
use crate::settle::Before;
use crate::table::{Content, Table};
use crate::work::{Pending, Work};

impl<D: Driver> Manager<D> {
    /// Resolves the pending call. `None` if it was not applied and is not pending any more.
    pub(crate) async fn resolve(&self, work: &mut Work) -> Result<Option<Outcome>, Error> {
        let Some(pending) = work.pending().cloned() else { return Ok(None) };
        match &pending {
            Pending { before: None, .. } => self.resolve_creation(work, &pending).await,
            Pending { tombstone: Some(_), .. } => self.resolve_rotation(work, &pending).await,
            _ => self.resolve_update(work, &pending).await,
        }
    }

    /// A creation must not be sent twice, so this only reads.
    async fn resolve_creation(&self, work: &mut Work, pending: &Pending) -> Result<Option<Outcome>, Error> {
        let next = &pending.next;
        match self.driver.retrieve(&next.key).await {
            Ok(Some(found)) if found.revision == next.revision => {}
            Ok(_) => {
                work.forget_pending();
                return Ok(None);
            }
            Err(error) => return Err(Error::uncertain(error)),
        }
        self.enter_created(work).await?;
        work.adopt(true, self.clock.now())?;
        self.emit(Some(&next.key), &Event::Created);
        Ok(Some(Outcome::Created))
    }

    /// An update is sent again, which is idempotent.
    async fn resolve_update(&self, work: &mut Work, pending: &Pending) -> Result<Option<Outcome>, Error> {
        let Pending { next, before: Some(before), .. } = pending else { return Ok(None) };
        match self.replace(&next.key, || pending.record(), Before::Revision(*before), false).await? {
            // It shortened the session's time, which is over now.
            Change::Applied if !is_live(next.expires, self.clock.now()) => {
                Ok(Some(self.ended(work, EndReason::Expired, 0).outcome))
            }
            Change::Applied => {
                work.adopt(false, self.clock.now())?;
                Ok(Some(Outcome::Updated))
            }
            Change::Conflict(None) => {
                let reason = self.why_gone(next);
                Ok(Some(self.ended(work, reason, 0).outcome))
            }
            // It may have been applied and overwritten since.
            Change::Conflict(Some(_)) => Err(Error::new(ErrorKind::Uncertain)),
        }
    }

    /// The call was the one that places the tombstone.
    async fn resolve_rotation(&self, work: &mut Work, pending: &Pending) -> Result<Option<Outcome>, Error> {
        let Pending { next, before: Some(before), tombstone: Some(placed), .. } = pending else {
            return Ok(None);
        };
        let (old, tombstone) = &**placed;
        let now = self.clock.now();
        let found: Option<Record> = if is_live(next.expires, now) && tombstone.is_live(now) {
            match self.replace(old, || tombstone.clone(), Before::Revision(*before), true).await? {
                Change::Applied => return self.rotated(work).map(Some),
                Change::Conflict(found) => found,
            }
        } else {
            // It is too late to place the tombstone.
            self.driver.retrieve(old).await.map_err(Error::uncertain)?
        };
        work.forget_pending();
        self.abandon(next).await;
        self.leave_header(&pending.table.header, &next.key).await;
        let reason = match found.map(|record| Table::parse(record.data)) {
            None => EndReason::Revoked,
            Some(Ok(Content::Tombstone(_))) => EndReason::Replaced,
            // Nothing replaces a tombstone or a forwarder, so ours was not placed: from the start, then.
            Some(_) => return Ok(None),
        };
        Ok(Some(self.ended(work, reason, 0).outcome))
    }
}

//! Preparing sessions before their clients come: bulk import.

use std::sync::Arc;

use session_core::{Condition, Driver, Record, Revision, Timestamp};

use crate::error::Error;
use crate::handover::Prepared;
use crate::request::{OldId, RequestInfo};
use crate::session::Session;
use crate::sessions::Sessions;

use super::marker::{Marker, marker_key};

impl<D: Driver> Sessions<D> {
    /// Stores what an old session becomes, for the first request that presents it. It is for a bulk import, after which the old
    /// store is not needed any more.
    ///
    /// The request still gets a new id, once, and [`Event::TakenOver`](crate::Event::TakenOver) reports it; its times begin then. Until
    /// then the session has no id, and is in no list of its user. It ends at `until`. `map` is called with an empty session, as
    /// in [`handover`](crate::SessionsBuilder::handover). The timeouts are those of the manager that hands the session over, so
    /// those that `map` sets have no effect.
    ///
    /// Repeating a call changes nothing, so an import that was killed starts again from the beginning. A logout that presents the
    /// old id removes what was prepared. The application needs a `handover` whose source finds the old id in a request: a prepared
    /// session is used without reading the source. A driver without compare-and-swap may overwrite a takeover of the same moment.
    ///
    /// # Errors
    /// Those of `map`; `Store`, `Entropy`. After a lost answer the call may be repeated.
    pub async fn prepare(
        &self,
        old: &OldId,
        until: Timestamp,
        map: impl FnOnce(&Session) -> Result<bool, Error>,
    ) -> Result<Prepared, Error> {
        self.prepare_if(old, until, map, true).await
    }

    /// The result that [`prepare`](Self::prepare) would have. Stores nothing.
    ///
    /// # Errors
    /// The same.
    pub async fn check_prepare(
        &self,
        old: &OldId,
        until: Timestamp,
        map: impl FnOnce(&Session) -> Result<bool, Error>,
    ) -> Result<Prepared, Error> {
        self.prepare_if(old, until, map, false).await
    }

    async fn prepare_if(
        &self,
        old: &OldId,
        until: Timestamp,
        map: impl FnOnce(&Session) -> Result<bool, Error>,
        stores: bool,
    ) -> Result<Prepared, Error> {
        let manager = &self.manager;
        let now = manager.clock.now();
        if until <= now {
            return Ok(Prepared::Expired);
        }
        let session = manager.scratch(Arc::clone(manager) as _, &RequestInfo::default()).await;
        if !map(&session)? {
            return Ok(Prepared::Refused);
        }
        let mapped = session.turn(true).await.work.take().filter(|work| work.has_changes());
        let Some(mut work) = mapped else { return Ok(Prepared::Refused) };
        let draft = work.draft(now, |header| header.created = now);
        let table = Box::new(work.table_of(draft, now));
        let data = Marker::Prepared(Timestamp::from_millis(0), table).encode();
        let record = Record { data, expires: Some(until), revision: Revision::random()? };
        let key = marker_key(old);
        let is_new = if stores {
            manager.store_if(&key, record, Condition::Absent).await?.is_applied()
        } else {
            manager.driver.retrieve(&key).await?.is_none()
        };
        Ok(if is_new { Prepared::Stored } else { Prepared::Known })
    }
}

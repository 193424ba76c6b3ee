//! Timed renewal: the same session under a new id, without a login.
//!
//! A renewal is a rotation that leaves a forwarder instead of a tombstone, so a request with the old id finds the session
//! under the new one. The session remembers its old key until a request has presented the new id. That request shortens
//! the life of the forwarder.

use std::time::Duration;

use session_core::{Change, Driver, Revision, StoreErrorKind, Touch};

use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::forward::{Forwarder, MOVES};
use crate::manager::Manager;
use crate::outcome::{Committed, EndReason};
use crate::rotate::Cause;
use crate::settle::Before;
use crate::table::{Content, Draft, Table};
use crate::work::{Loaded, Work};

/// How long an old id opens its session after a request has presented the new one: longer than requests that were under
/// way with the old one.
pub(crate) const FORWARD_TIME: Duration = Duration::from_secs(20);

impl<D: Driver> Manager<D> {
    /// Whether the id of the session has reached its age. Only a request that has that very id renews it, so clients that
    /// never accept a new one leave no chain of forwarders.
    pub(crate) fn renewal_due(&self, work: &Work) -> bool {
        let Some(time) = self.config.renewal else { return false };
        work.extends()
            && work.presented_id()
            && work.table().header.issued().saturating_add(time) <= self.clock.now()
    }

    /// Whether this request is the first one with a new id.
    pub(crate) fn confirms(&self, work: &Work) -> bool {
        matches!(work.table().header.renewal(), Some((_, Some(_))))
            && work.presented_id()
            && work.pending().is_none()
            && !work.is_detached()
    }

    /// Renews the id, or else commits under the old one: a store that has no room for a second record may have it for a
    /// change of the first.
    pub(crate) async fn renew(&self, work: &mut Work) -> Result<Committed, Error> {
        let is_needed = work.has_changes();
        match self.rotate(work, Cause::Renewal).await {
            Err(error) if work.pending().is_some() && is_needed => Err(error),
            Err(_) => {
                self.emit(work.loaded().map(|loaded| &loaded.key), &Event::RenewalFailed);
                match work.pending() {
                    None => self.change_in_place(work).await,
                    // The next request finds out. The response to one that only reads does not depend on it.
                    Some(_) => Ok(Committed::unchanged()),
                }
            }
            done => done,
        }
    }

    /// The session to which a forwarder under the key of `loaded` leads, or the reason why there is none.
    pub(crate) async fn follow(
        &self,
        loaded: &Loaded,
        forwarder: Forwarder,
    ) -> Result<Result<(Loaded, Table), EndReason>, Error> {
        let (mut from, mut forwarder) = (loaded.id, forwarder);
        for _ in 0..MOVES {
            let corrupt = |key| {
                self.emit(Some(key), &Event::Corrupt);
                Error::new(ErrorKind::Corrupt)
            };
            let Some(id) = forwarder.open(from) else { return Err(corrupt(&from.key())) };
            let key = forwarder.to;
            let record = match self.driver.retrieve(&key).await {
                Ok(Some(record)) if record.is_live(self.clock.now()) => record,
                Ok(_) => return Ok(Err(self.why_gone(loaded))),
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    return Err(corrupt(&key).with_source(error));
                }
                Err(error) => return Err(error.into()),
            };
            let (expires, revision) = (record.expires, record.revision);
            match Table::parse(record.data) {
                Ok(Content::Session(table)) => {
                    return Ok(Ok((Loaded { id, key, revision, expires }, table)));
                }
                Ok(Content::Forwarder(next)) => (from, forwarder) = (id, next),
                Ok(Content::Tombstone(_)) => break,
                Err(_) => return Err(corrupt(&key)),
            }
        }
        Ok(Err(EndReason::Replaced))
    }

    /// The client has the new id: the old one ends soon, and the session forgets it. If this fails, the next request does
    /// it.
    pub(crate) async fn confirm(&self, work: &mut Work) {
        let Some((_, Some(before))) = work.table().header.renewal() else { return };
        let Some(loaded) = work.loaded().cloned() else { return };
        let Ok(found) = self.driver.retrieve(&before).await else { return };
        let now = self.clock.now();
        let latest = now.saturating_add(FORWARD_TIME);
        if let Some(record) = found
            && record.expires.is_none_or(|expires| expires > latest)
            && let Ok(Content::Forwarder(forwarder)) = Table::parse(record.data)
            && forwarder.to == loaded.key
        {
            let Ok(to) = Revision::random() else { return };
            let touch = Touch { from: record.revision, to, deadline: Some(latest) };
            if self.touch_if(&before, touch).await.is_err() {
                return;
            }
        }
        let table = work.table();
        let mut header = table.header.clone();
        // The age of an id counts from its first use, so two renewals are never close together.
        header.set_renewal(Some((now, None)));
        let updated = header.updated;
        let table = Draft::filtered(header, table.body(), |_| true).stamped(updated);
        let Ok(revision) = Revision::random() else { return };
        let next = Loaded { revision, ..loaded.clone() };
        let (data, expires) = (table.data(), next.expires);
        let record = || session_core::Record { data: data.clone(), expires, revision };
        let old = work.loaded_record(loaded.revision);
        if let Ok(Change::Applied) = self.replace(&next.key, record, Before::Loaded(&old), false).await {
            // If the log cannot be replayed on the same data, the commit finds a conflict and says so.
            drop(work.rebase(next, table, now));
        }
    }
}

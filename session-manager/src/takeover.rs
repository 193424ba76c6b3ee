//! Taking over a session of the old system, once.
//!
//! A takeover stores a claim for [`CLAIM_TIME`], then the new session, then the marker for its full time. If the process stops in
//! between, a later request takes the old session over. If the second store of the marker finds another one, this takeover was too
//! slow: its session ends before any client has its id. A prepared session stays in its marker until the last step.

mod marker;
mod owned;
mod prepare;

use std::sync::Arc;
use std::time::Duration;

use session_core::{Change, Condition, Driver, Key, Record, Revision, StoreErrorKind, Timestamp};

use crate::backend::Backend;
use crate::entry::{FLASH, LABEL, VALUE, entries};
use crate::error::Error;
use crate::event::Event;
use crate::handover::{EndOld, Takeover};
use crate::manager::Manager;
use crate::op::Op;
use crate::outcome::EndReason;
use crate::policy::OnStoreError;
use crate::request::{OldId, RequestInfo};
use crate::session::Session;
use crate::settle::{Before, New};
use crate::table::{CLOCK_DIFFERENCE, TOMBSTONE_TIME, Table};
use crate::values::decoded;
use crate::work::Work;

use self::marker::{Marker, marker_key};

/// How long a takeover may take before another request may try.
const CLAIM_TIME: Duration = Duration::from_secs(30);
/// The value of a session that keeps the old id.
const KEPT_ID: &str = "handover.old_id";

/// The marker that a takeover found, and the revision of its own claim in that place.
struct Claim {
    key: Key,
    revision: Revision,
    prepared: Option<Record>,
}

impl<D: Driver> Manager<D> {
    /// The session of a request that presents an old one.
    pub(crate) async fn take_over(
        &self,
        this: Arc<dyn Backend>,
        request: &RequestInfo,
        found: Box<Work>,
    ) -> Result<Box<Work>, Error> {
        let (Some(takeover), Some(old)) = (&self.takeover, request.old_id()) else { return Ok(found) };
        // A session that was replaced, revoked or is bound to another client is not absent.
        if found.is_dead() || !matches!(found.end(), None | Some(EndReason::Expired)) {
            return Ok(found);
        }
        if let Some(away) = takeover.owns {
            return Box::pin(self.follow_old(this, request, takeover, old, away, found)).await;
        }
        let key = marker_key(old);
        let before = self.without_stopped(&key, takeover, self.driver.retrieve(&key).await?).await?;
        let prepared = match before.as_ref().map(|record| Marker::parse(&record.data)) {
            None => None,
            Some(Marker::Prepared(at, table)) if !self.is_within(at, CLAIM_TIME) => Some(table),
            Some(marker) => return Ok(self.taken_before(&marker)),
        };
        let session = self.scratch(this, request).await;
        let is_prepared = match &prepared {
            Some(table) => fill(&session, table).map(|()| true)?,
            None => false,
        };
        if !is_prepared && !self.map_old(takeover, old, &session).await? {
            return Ok(found);
        }
        if let Some(id) = old.as_str().filter(|_| takeover.keep_id) {
            session.insert(KEPT_ID, id)?;
        }
        let mapped = session.turn(true).await.work.take().filter(|work| work.has_changes());
        let Some(work) = mapped else { return Ok(found) };
        let before = before.filter(|_| is_prepared);
        match self.settle_takeover(request, takeover, old, before, work).await? {
            Ok(work) => Ok(work),
            Err(empty) => Ok(empty.unwrap_or(found)),
        }
    }

    /// A session that the application's mapping fills.
    pub(crate) async fn scratch(&self, this: Arc<dyn Backend>, request: &RequestInfo) -> Session {
        let session = Session::new(this, request.clone().old(None));
        let new = Work::empty(self.config.new_header(), None, false);
        session.turn(false).await.work = Some(Box::new(new));
        session
    }

    /// Whether the old system has a live session that the application accepts, whose content `session` gets.
    pub(crate) async fn map_old(
        &self,
        takeover: &Takeover,
        old: &OldId,
        session: &Session,
    ) -> Result<bool, Error> {
        match takeover.old.map(old, session).await {
            Err(error)
                if error.store_error().is_some_and(|error| error.kind() == StoreErrorKind::Corrupt) =>
            {
                self.emit(None, &Event::OldUnreadable);
                Ok(false)
            }
            answer => answer,
        }
    }

    /// Stores the session in `work` as that of `old`, once. `prepared` is the record of an import. `Err` is the session of a
    /// request that has none: another request has taken it over, or with `None`, nothing was stored.
    pub(crate) async fn settle_takeover(
        &self,
        request: &RequestInfo,
        takeover: &Takeover,
        old: &OldId,
        prepared: Option<Record>,
        mut work: Box<Work>,
    ) -> Result<Result<Box<Work>, Option<Box<Work>>>, Error> {
        let claim = match self.claim_old(takeover, old, prepared).await? {
            Ok(claim) => claim,
            Err(marker) => return Ok(Err(Some(self.taken_before(&marker)))),
        };
        let committed = self.commit(request, &mut work).await;
        if committed.is_err() || work.loaded().is_none() {
            self.unclaim(&claim).await;
            return committed.map(|_| Err(None));
        }
        let time = if takeover.owns.is_some() { TOMBSTONE_TIME } else { self.memory(takeover) };
        let marker = self.marker(&Marker::Taken(self.clock.now()), time)?;
        match self.replace(&claim.key, || marker.clone(), Before::Revision(claim.revision), true).await {
            Ok(Change::Applied) => {}
            other => {
                let ended = self.destroy(request, &mut work, "taken over twice".into()).await;
                let found = other?;
                ended?;
                let found = if let Change::Conflict(Some(found)) = found { found.data } else { marker.data };
                return Ok(Err(Some(self.taken_before(&Marker::parse(&found)))));
            }
        }
        self.emit(work.loaded().map(|loaded| &loaded.key), &Event::TakenOver);
        if takeover.end == EndOld::Now && takeover.old.end(old).await.is_err() {
            self.emit(None, &Event::OldEndFailed);
        }
        Ok(Ok(work))
    }

    /// Claims an old session for this request, or returns the marker of another one.
    async fn claim_old(
        &self,
        takeover: &Takeover,
        old: &OldId,
        prepared: Option<Record>,
    ) -> Result<Result<Claim, Marker>, Error> {
        let key = marker_key(old);
        let now = self.clock.now();
        let Some(record) = prepared else {
            let claim = self.marker(&Marker::Taken(now), CLAIM_TIME)?;
            let revision = claim.revision;
            let mut stored = self.store_new(&key, claim.clone()).await?;
            if matches!(stored, New::Taken) {
                let found = self.driver.retrieve(&key).await?;
                if let Some(found) = self.without_stopped(&key, takeover, found).await? {
                    return Ok(Err(Marker::parse(&found.data)));
                }
                stored = self.store_new(&key, claim).await?;
            }
            return match stored {
                New::Stored => Ok(Ok(Claim { key, revision, prepared: None })),
                New::Taken => Ok(Err(Marker::Taken(now))),
                New::Lost(error) => Err(Error::uncertain(error)),
            };
        };
        let Marker::Prepared(_, table) = Marker::parse(&record.data) else {
            return Ok(Err(Marker::Taken(now)));
        };
        let revision = Revision::random()?;
        let claim = Record { data: Marker::Prepared(now, table).encode(), expires: record.expires, revision };
        match self.replace(&key, || claim.clone(), Before::Loaded(&record), true).await? {
            Change::Applied => Ok(Ok(Claim { key, revision, prepared: Some(record) })),
            Change::Conflict(Some(found)) => Ok(Err(Marker::parse(&found.data))),
            _ => Ok(Err(Marker::Taken(now))),
        }
    }

    /// The marker under `key`, unless it is one of a clock that was ahead and has lasted long enough: such a claim, or such a
    /// short marker, is removed, because it would block the old session for as long as that clock was ahead.
    async fn without_stopped(
        &self,
        key: &Key,
        takeover: &Takeover,
        found: Option<Record>,
    ) -> Result<Option<Record>, Error> {
        let Some(record) = found else { return Ok(None) };
        let Marker::Taken(at) = Marker::parse(&record.data) else { return Ok(Some(record)) };
        let short = if takeover.owns.is_some() { TOMBSTONE_TIME } else { CLAIM_TIME };
        // The deadline was computed a little later than the moment.
        let longest = at.saturating_add(short + CLOCK_DIFFERENCE);
        if self.is_within(at, short) || record.expires.is_none_or(|expires| expires > longest) {
            return Ok(Some(record));
        }
        match self.remove_if(key, Condition::Revision(record.revision)).await? {
            Change::Conflict(found) => Ok(found),
            Change::Applied => Ok(None),
        }
    }

    /// Whether less than `time` has passed since `at`. A moment that a clock ahead has written was long ago: nothing shows
    /// when.
    fn is_within(&self, at: Timestamp, time: Duration) -> bool {
        let now = self.clock.now();
        now < at.saturating_add(time) && at <= now.saturating_add(CLOCK_DIFFERENCE)
    }

    /// Gives a claim back. If that fails, it ends by itself.
    async fn unclaim(&self, claim: &Claim) {
        let Ok(revision) = Revision::random() else { return };
        drop(match &claim.prepared {
            None => self.remove_if(&claim.key, Condition::Revision(claim.revision)).await,
            Some(record) => {
                let record = Record { revision, ..record.clone() };
                self.store_before(&claim.key, record, Before::Revision(claim.revision)).await
            }
        });
    }

    /// The id of the old session that this session took over, if it keeps it.
    pub(crate) fn kept_old(&self, work: &mut Work) -> Option<OldId> {
        self.takeover.as_ref().filter(|takeover| takeover.keep_id)?;
        let entry = work.find(VALUE, KEPT_ID, || self.clock.now())?;
        decoded::<String>(KEPT_ID, &entry).ok().map(OldId::new)
    }

    /// After a logout: the old session is not taken over again, and ends as configured.
    pub(crate) async fn close_old(&self, request: &RequestInfo, old: &OldId) -> Result<(), Error> {
        let Some(takeover) = self.takeover.as_ref().filter(|_| !old.as_bytes().is_empty()) else {
            return Ok(());
        };
        let key = marker_key(old);
        let closed = |time| self.marker(&Marker::Taken(Timestamp::from_millis(0)), time);
        let marked = self.driver.store(&key, closed(self.memory(takeover))?, Condition::Any).await;
        let ended = match takeover.end {
            EndOld::Never => Ok(()),
            EndOld::Now | EndOld::AtLogout => takeover.old.end(old).await,
        };
        if let Err(error) = marked.map_err(Error::from).and(ended) {
            self.emit(None, &Event::OldEndFailed);
            return if request.on_store_error == OnStoreError::Continue { Ok(()) } else { Err(error) };
        }
        if takeover.owns.is_some() && takeover.end != EndOld::Never {
            // The old system may give its next session the same id. If this fails, that one is refused for longer.
            drop(self.driver.store(&key, closed(TOMBSTONE_TIME)?, Condition::Any).await);
        }
        Ok(())
    }

    /// The session of a request whose old session was taken over.
    fn taken_before(&self, marker: &Marker) -> Box<Work> {
        self.emit(None, &Event::TakenBefore);
        // As under a tombstone: the response with the new id may be on its way, and a cookie of this one would replace it.
        let is_recent = self.is_within(marker.at(), TOMBSTONE_TIME);
        let end = Some(EndReason::Replaced).filter(|_| is_recent);
        Box::new(Work::empty(self.config.new_header(), end, is_recent))
    }

    fn marker(&self, marker: &Marker, time: Duration) -> Result<Record, Error> {
        let expires = Some(self.clock.now().saturating_add(time));
        Ok(Record { data: marker.encode(), expires, revision: Revision::random()? })
    }

    /// A marker lives at least as long as the session of ours.
    fn memory(&self, takeover: &Takeover) -> Duration {
        takeover.memory.max(self.config.lifetime.unwrap_or_default())
    }
}

/// Gives a new session the content of a prepared one. Its times are those of this manager, and begin now.
fn fill(session: &Session, table: &Table) -> Result<(), Error> {
    if let Some(user) = table.header.user() {
        session.login(user)?;
    }
    for entry in entries(table.body()) {
        let op = match entry.class() {
            VALUE => Op::Insert,
            FLASH => Op::FlashSet,
            LABEL => Op::Label,
            _ => continue,
        };
        session.record_entry(entry.whole.to_vec(), op)?;
    }
    let persistence = table.header.persistence();
    if persistence == session.config().new_header().persistence() {
        return Ok(());
    }
    session.write(|work| work.record(Op::Persistence(persistence)))
}

//! Finding the session that a request asks for.

use std::time::Duration;

use session_core::{Driver, Key, Record, Revision, SessionId, StoreErrorKind, Timestamp, Touch};

use crate::client::{AddressCheck, Agent};
use crate::config::OnCorrupt;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::forward::MOVES;
use crate::manager::Manager;
use crate::outcome::EndReason;
use crate::renew::FORWARD_TIME;
use crate::request::RequestInfo;
use crate::table::{CLOCK_DIFFERENCE, Content, TOMBSTONE_TIME, Table};
use crate::work::{Loaded, Work};

/// The content of the store under one id of a request. All parts are boxes, so that it stays in two registers: the usual
/// case is returned through three functions.
enum Found {
    Session(Box<Work>),
    Replaced(Box<Replaced>),
    /// A timed renewal has moved the session.
    Moved(Box<Moved>),
    Refused(Box<EndReason>),
    Nothing,
}

/// What a tombstone says.
struct Replaced {
    /// The anonymous session that a login left.
    left: Option<Box<Table>>,
    /// Its revision, if it was written by a clock that was ahead.
    late: Option<Revision>,
}

/// Where a timed renewal has moved the session.
struct Moved {
    to: SessionId,
    /// The key and the revision of a forwarder that lasts longer than after the first use of the new id.
    lasting: Option<Box<(Key, Revision)>>,
}

impl<D: Driver> Manager<D> {
    /// Tries the ids of the request in order.
    pub(crate) async fn load(&self, request: &RequestInfo) -> Result<Box<Work>, Error> {
        let candidates = self.candidates(request);
        if candidates.malformed() > 0 {
            self.emit(None, &Event::MalformedId { count: candidates.malformed() });
        }
        if candidates.ignored() > 0 {
            self.emit(None, &Event::IgnoredIds { count: candidates.ignored() });
        }
        let mut end = None;
        let mut replaced = None;
        // The id of a session that the client keeps is genuine: only its deadline can have passed.
        let (mut ids, mut moves) = (candidates.iter().copied(), 0);
        let mut lasting: Option<Box<(Key, Revision)>> = None;
        let mut next = ids.next();
        while let Some(id) = next {
            let key = id.key();
            // A record of an earlier moment costs the commit a conflict, and no change is lost.
            let found = match self.driver.retrieve_recent(&key).await {
                Ok(Some(record)) => self.open(request, id, key, record)?,
                Ok(None) => {
                    let is_genuine = self.config.carried.is_some() || moves > 0;
                    let event = if is_genuine { Event::Ended(EndReason::Expired) } else { Event::UnknownId };
                    self.emit(Some(&key), &event);
                    Found::Nothing
                }
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    self.corrupt(&key, Error::new(ErrorKind::Corrupt).with_source(error))?
                }
                Err(error) => return Err(error.into()),
            };
            if matches!(&found, Found::Session(work) if work.table().header.is_confirmed())
                && let Some(forwarder) = lasting.take()
            {
                let (key, revision) = *forwarder;
                Box::pin(self.shorten(key, revision, FORWARD_TIME)).await;
            }
            match found {
                Found::Session(work) if !self.config.user_epochs => {
                    return Ok(beside(work, &replaced).told_if(moves > 0));
                }
                // Boxed because it is rare.
                Found::Session(work) => match Box::pin(self.with_epoch(work, id.key())).await? {
                    Some(work) => return Ok(beside(work, &replaced).told_if(moves > 0)),
                    None => end = Some(EndReason::Revoked),
                },
                Found::Replaced(found) => {
                    if let Some(revision) = found.late {
                        Box::pin(self.shorten(id.key(), revision, TOMBSTONE_TIME)).await;
                    }
                    replaced = replaced.or(Some(found.left));
                }
                Found::Moved(moved) if moves < MOVES => {
                    (next, moves, lasting) = (Some(moved.to), moves + 1, lasting.or(moved.lasting));
                    continue;
                }
                Found::Moved(_) => end = end.or(Some(EndReason::Replaced)),
                Found::Refused(reason) => end = Some(*reason),
                Found::Nothing => end = end.or(Some(EndReason::Expired)),
            }
            (next, moves, lasting) = (ids.next(), 0, None);
        }
        Ok(self.empty(end, replaced))
    }

    /// The session that was loaded before, as it is now, or the reason why it has ended. All its references learn of
    /// the end.
    pub(crate) async fn look(&self, loaded: &Loaded) -> Result<Result<Box<Work>, EndReason>, Error> {
        let found = self.live_at(loaded).await?;
        if let Err(reason) = &found {
            self.watches.end(&loaded.key, reason);
            self.emit(Some(&loaded.key), &Event::Ended(reason.clone()));
        }
        Ok(found)
    }

    async fn live_at(&self, loaded: &Loaded) -> Result<Result<Box<Work>, EndReason>, Error> {
        // Damage is not an end: the record may be readable again.
        let corrupt = |error| {
            self.emit(Some(&loaded.key), &Event::Corrupt);
            Err(error)
        };
        let record = match self.driver.retrieve(&loaded.key).await {
            Ok(record) => record.filter(|record| record.is_live(self.clock.now())),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                return corrupt(Error::new(ErrorKind::Corrupt).with_source(error));
            }
            Err(error) => return Err(error.into()),
        };
        let Some(Record { data, expires, revision }) = record else { return Ok(Err(self.why_gone(loaded))) };
        let (at, table) = match Table::parse(data) {
            Ok(Content::Session(table)) => (Loaded { expires, revision, ..loaded.clone() }, table),
            Ok(Content::Tombstone(_)) => return Ok(Err(EndReason::Replaced)),
            Ok(Content::Forwarder(forwarder)) => match Box::pin(self.follow(loaded, forwarder)).await? {
                Ok(moved) => {
                    self.watches.moved(&loaded.key, &moved.0);
                    moved
                }
                Err(reason) => return Ok(Err(reason)),
            },
            Err(_) => return corrupt(Error::new(ErrorKind::Corrupt)),
        };
        if self.config.user_epochs && !self.has_epoch(table.header.clone()).await? {
            return Ok(Err(EndReason::Revoked));
        }
        Ok(Ok(Work::stored(at, table)))
    }

    /// The session, unless its user's epoch is over.
    async fn with_epoch(&self, work: Box<Work>, key: Key) -> Result<Option<Box<Work>>, Error> {
        if self.has_epoch(work.table().header.clone()).await? {
            return Ok(Some(work));
        }
        self.emit(Some(&key), &Event::Ended(EndReason::Revoked));
        Ok(None)
    }

    /// The session of a request whose ids open none.
    #[cold]
    fn empty(&self, end: Option<EndReason>, replaced: Option<Option<Box<Table>>>) -> Box<Work> {
        // Under a tombstone this request creates nothing. Its cookie would replace the cookie of the login that left
        // the tombstone, which the browser may have received already.
        let end = if replaced.is_some() { Some(EndReason::Replaced) } else { end };
        let mut work = Box::new(Work::empty(self.config.new_header(), end, replaced.is_some()));
        work.set_left(replaced.flatten());
        work
    }

    fn open(&self, request: &RequestInfo, id: SessionId, key: Key, record: Record) -> Result<Found, Error> {
        let Record { data, expires, revision } = record;
        let table = match Table::parse(data) {
            Ok(Content::Session(table)) => table,
            Ok(Content::Tombstone(left)) => return Ok(self.replaced(request, &key, left, expires, revision)),
            Ok(Content::Forwarder(forwarder)) => match forwarder.open(id) {
                Some(to) => {
                    let latest = self.clock.now().saturating_add(FORWARD_TIME + CLOCK_DIFFERENCE);
                    let lasts = expires.is_none_or(|expires| expires > latest);
                    let lasting = lasts.then(|| Box::new((key, revision)));
                    return Ok(Found::Moved(Box::new(Moved { to, lasting })));
                }
                None => return self.corrupt(&key, Error::new(ErrorKind::Corrupt)),
            },
            Err(_) => return self.corrupt(&key, Error::new(ErrorKind::Corrupt)),
        };
        if let Some(reason) = self.mismatch(request, &table) {
            self.emit(Some(&key), &Event::Ended(reason.clone()));
            return Ok(Found::Refused(Box::new(reason)));
        }
        self.emit_loaded(&key);
        Ok(Found::Session(Work::stored(Loaded { id, key, revision, expires }, table)))
    }

    #[cold]
    fn replaced(
        &self,
        request: &RequestInfo,
        key: &Key,
        left: Option<Box<Table>>,
        expires: Option<Timestamp>,
        revision: Revision,
    ) -> Found {
        self.emit(Some(key), &Event::Ended(EndReason::Replaced));
        let left = left.filter(|left| self.mismatch(request, left).is_none());
        let latest = self.clock.now().saturating_add(TOMBSTONE_TIME + CLOCK_DIFFERENCE);
        let late = expires.is_some_and(|expires| expires > latest).then_some(revision);
        Found::Replaced(Box::new(Replaced { left, late }))
    }

    /// The time of a tombstone or a forwarder that a clock ahead has counted counts from now. If this fails, the next
    /// request does it.
    async fn shorten(&self, key: Key, revision: Revision, time: Duration) {
        let Ok(to) = Revision::random() else { return };
        let deadline = Some(self.clock.now().saturating_add(time));
        drop(self.touch_if(&key, Touch { from: revision, to, deadline }).await);
    }

    #[cold]
    fn corrupt(&self, key: &Key, error: Error) -> Result<Found, Error> {
        self.emit(Some(key), &Event::Corrupt);
        match self.config.on_corrupt {
            OnCorrupt::Fresh => Ok(Found::Nothing),
            OnCorrupt::Fail => Err(error),
        }
    }

    /// Whether the session is bound to another client than the one that asks.
    #[inline]
    pub(crate) fn mismatch(&self, request: &RequestInfo, table: &Table) -> Option<EndReason> {
        let header = &table.header;
        if self.config.address != AddressCheck::Off
            && header.network().is_some_and(|network| !network.contains(request.client_address()))
        {
            return Some(EndReason::AddressMismatch);
        }
        if self.config.agent
            && header.agent().is_some_and(|agent| request.client_agent().map(Agent::of) != Some(agent))
        {
            return Some(EndReason::UserAgentMismatch);
        }
        None
    }
}

/// The session of a request whose earlier ids opened none.
fn beside(mut work: Box<Work>, replaced: &Option<Option<Box<Table>>>) -> Box<Work> {
    if replaced.is_some() {
        work.set_beside_tombstone();
    }
    work
}

//! Sessions that belong to the old system as long as both run side by side.
//!
//! A session of ours that followed a login of the old system keeps the key of that session's marker under [`FOLLOWS`]. At each
//! request the old session is read and mapped, and the two are compared.

use std::sync::Arc;

use session_core::{Condition, Driver, Key, Timestamp};

use crate::backend::Backend;
use crate::entry::VALUE;
use crate::error::Error;
use crate::event::Event;
use crate::handover::{OnOldFailure, Takeover};
use crate::manager::Manager;
use crate::op::{Op, parsed};
use crate::request::{OldId, RequestInfo};
use crate::values::decoded;
use crate::work::Work;

use super::marker::{Marker, marker_key};

/// The value of a session that follows one of the old system.
const FOLLOWS: &str = "handover.follows";

impl<D: Driver> Manager<D> {
    /// The session of a request while the old system owns the logins.
    pub(crate) async fn follow_old(
        &self,
        this: Arc<dyn Backend>,
        request: &RequestInfo,
        takeover: &Takeover,
        old: &OldId,
        away: OnOldFailure,
        mut found: Box<Work>,
    ) -> Result<Box<Work>, Error> {
        let follows = self.followed(&mut found);
        let has_own_user = found.header().user().is_some() && follows.is_none();
        if has_own_user {
            return Ok(found);
        }
        let session = self.scratch(this, request).await;
        // A request without an old id has logged out there.
        let accepted = if old.as_bytes().is_empty() {
            false
        } else {
            match self.map_old(takeover, old, &session).await {
                Err(error) if away == OnOldFailure::Keep && error.store_error().is_some() => {
                    self.emit(found.loaded().map(|loaded| &loaded.key), &Event::OldAway);
                    return Ok(found);
                }
                accepted => accepted?,
            }
        };
        if !accepted {
            if let Some(follows) = follows {
                self.end_follower(request, &mut found, &follows, "ended in the old system").await?;
            }
            return Ok(found);
        }
        session.insert(FOLLOWS, marker_key(old).as_str())?;
        let Some(mapped) = session.turn(true).await.work.take() else { return Ok(found) };
        if let Some(follows) = follows {
            if found.header().user() == mapped.header().user() {
                self.refresh(&mut found, &mapped)?;
                return Ok(found);
            }
            self.end_follower(request, &mut found, &follows, "another user in the old system").await?;
        }
        let work = if found.loaded().is_some() { join(found, mapped) } else { mapped };
        let nothing = || Box::new(Work::empty(self.config.new_header(), None, false));
        let settled = self.settle_takeover(request, takeover, old, None, work).await?;
        Ok(settled.unwrap_or_else(|other| other.unwrap_or_else(nothing)))
    }

    /// The marker of the old session that a session of ours follows.
    fn followed(&self, work: &mut Work) -> Option<Key> {
        work.loaded()?;
        let entry = work.find(VALUE, FOLLOWS, || self.clock.now())?;
        let key = decoded::<String>(FOLLOWS, &entry).ok()?;
        Key::parse(&key).ok().filter(|key| key.as_str().starts_with("handover:"))
    }

    /// Ends a session of ours because of the old system. The request that has ended it removes the marker too: the old system
    /// may give its next login the same id.
    async fn end_follower(
        &self,
        request: &RequestInfo,
        work: &mut Work,
        follows: &Key,
        reason: &'static str,
    ) -> Result<(), Error> {
        if !self.destroy(request, work, reason.into()).await? {
            return Ok(());
        }
        let Some(record) = self.driver.retrieve(follows).await? else { return Ok(()) };
        // A marker without a moment closes the old session for good.
        if Marker::parse(&record.data).at() != Timestamp::from_millis(0) {
            drop(self.remove_if(follows, Condition::Revision(record.revision)).await?);
        }
        Ok(())
    }

    /// Records the values of the old session that differ from ours. The request's commit stores them.
    fn refresh(&self, found: &mut Work, mapped: &Work) -> Result<(), Error> {
        let now = || self.clock.now();
        for entry in mapped.live(VALUE, now) {
            let Ok(key) = std::str::from_utf8(entry.key()) else { continue };
            let ours = found.find(VALUE, key, now);
            let is_same = ours.is_some_and(|ours| {
                let ours = parsed(&ours);
                (ours.codec(), ours.value()) == (entry.codec(), entry.value())
            });
            if !is_same {
                found.admit(entry.whole, self.config.limits)?;
                found.record(Op::Insert(entry.whole.to_vec()));
            }
        }
        Ok(())
    }
}

/// An anonymous session of ours keeps its values, as at a login.
fn join(mut found: Box<Work>, mut mapped: Box<Work>) -> Box<Work> {
    let rotates = mapped.rotates();
    for op in mapped.take_log() {
        match op {
            Op::Login(login) => found.log_in(*login),
            op => found.record(op),
        }
    }
    if rotates && !found.rotates() {
        found.rotate();
    }
    found
}

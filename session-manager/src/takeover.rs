//! Taking over a session of the old system, once.
//!
//! The marker of an old session is a record under `handover:` and the hexadecimal SHA-256 of a fixed tag and the old id.
//! It has no deadline of its own inside; the record's deadline counts. All numbers are little-endian:
//!
//! | offset | length | marker |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | kind, 5 |
//! | 2 | 6 | zero |
//! | 8 | 8 | when it was taken over, ms since the Unix epoch; 0 after a logout |
//! | 16 | | additions of later releases, ignored |
//!
//! A takeover stores the marker for [`CLAIM_TIME`], then the new session, then the marker for its full time. If the process
//! stops in between, a later request takes the old session over. If the second store of the marker finds another one, this
//! takeover was too slow: its session ends before any client has its id.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use session_core::{Change, Condition, Driver, Key, Record, Revision, StoreErrorKind, Timestamp};
use sha2::{Digest, Sha256};

use crate::backend::Backend;
use crate::entry::VALUE;
use crate::error::Error;
use crate::event::Event;
use crate::handover::{EndOld, Takeover};
use crate::index::hex;
use crate::manager::Manager;
use crate::outcome::EndReason;
use crate::policy::OnStoreError;
use crate::request::{OldId, RequestInfo};
use crate::session::Session;
use crate::settle::{Before, New};
use crate::table::TOMBSTONE_TIME;
use crate::values::decoded;
use crate::work::Work;

/// How long a takeover may take before another request may try.
const CLAIM_TIME: Duration = Duration::from_secs(30);
const HEAD: [u8; 8] = [1, 5, 0, 0, 0, 0, 0, 0];
/// The value of a session that keeps the old id.
const KEPT_ID: &str = "handover.old_id";
const KEY_TAG: &[u8] = b"session-kit handover v1\0";

impl<D: Driver> Manager<D> {
    /// The session of a request that has none: a new one with the content of the old session, or `empty`.
    pub(crate) async fn take_over(
        &self,
        this: Arc<dyn Backend>,
        request: &RequestInfo,
        empty: Box<Work>,
    ) -> Result<Box<Work>, Error> {
        let (Some(takeover), Some(old)) = (&self.takeover, &request.old) else { return Ok(empty) };
        // A session that was replaced, revoked or is bound to another client is not absent.
        if empty.is_dead() || !matches!(empty.end(), None | Some(EndReason::Expired)) {
            return Ok(empty);
        }
        let key = marker_key(old);
        if let Some(found) = self.driver.retrieve(&key).await? {
            return Ok(self.taken_before(&found.data));
        }
        let bare = RequestInfo { old: None, ..request.clone() };
        let session = Session::new(this, bare);
        let new = Work::empty(self.config.new_header(), None, false);
        session.turn(false).await.work = Some(Box::new(new));
        match takeover.old.map(old, &session).await {
            Ok(true) => {}
            Ok(false) => return Ok(empty),
            Err(error)
                if error.store_error().is_some_and(|error| error.kind() == StoreErrorKind::Corrupt) =>
            {
                self.emit(None, &Event::OldUnreadable);
                return Ok(empty);
            }
            Err(error) => return Err(error),
        }
        if let Some(id) = old.as_str().filter(|_| takeover.keep_id) {
            session.insert(KEPT_ID, id)?;
        }
        let mapped = session.turn(true).await.work.take().filter(|work| work.has_changes());
        let Some(mut work) = mapped else { return Ok(empty) };
        let claim = self.marker(self.clock.now().as_millis(), CLAIM_TIME)?;
        let claimed = claim.revision;
        match self.store_new(&key, claim).await? {
            New::Stored => {}
            New::Taken => {
                let now = self.clock.now().as_millis().to_le_bytes();
                return Ok(self.taken_before(&[HEAD, now].concat()));
            }
            New::Lost(error) => return Err(Error::uncertain(error)),
        }
        let committed = self.commit(request, &mut work).await;
        if committed.is_err() || work.loaded().is_none() {
            drop(self.remove_if(&key, Condition::Revision(claimed)).await);
            return committed.map(|_| empty);
        }
        let marker = self.marker(self.clock.now().as_millis(), self.memory(takeover))?;
        match self.replace(&key, || marker.clone(), Before::Revision(claimed), true).await {
            Ok(Change::Applied) => {}
            other => {
                let ended = self.destroy(request, &mut work, "taken over twice".into()).await;
                let found = other?;
                ended?;
                let found = if let Change::Conflict(Some(found)) = found { found.data } else { marker.data };
                return Ok(self.taken_before(&found));
            }
        }
        self.emit(work.loaded().map(|loaded| &loaded.key), &Event::TakenOver);
        if takeover.end == EndOld::Now && takeover.old.end(old).await.is_err() {
            self.emit(None, &Event::OldEndFailed);
        }
        Ok(work)
    }

    /// The id of the old session that this session took over, if it keeps it.
    pub(crate) fn kept_old(&self, work: &mut Work) -> Option<OldId> {
        self.takeover.as_ref().filter(|takeover| takeover.keep_id)?;
        let entry = work.find(VALUE, KEPT_ID, || self.clock.now())?;
        decoded::<String>(KEPT_ID, &entry).ok().map(OldId::new)
    }

    /// After a logout: the old session is not taken over again, and ends as configured.
    pub(crate) async fn close_old(&self, request: &RequestInfo, old: &OldId) -> Result<(), Error> {
        let Some(takeover) = &self.takeover else { return Ok(()) };
        let marker = self.marker(0, self.memory(takeover))?;
        let marked = self.driver.store(&marker_key(old), marker, Condition::Any).await;
        let ended = match takeover.end {
            EndOld::Never => Ok(()),
            EndOld::Now | EndOld::AtLogout => takeover.old.end(old).await,
        };
        let Err(error) = marked.map_err(Error::from).and(ended) else { return Ok(()) };
        self.emit(None, &Event::OldEndFailed);
        if request.on_store_error == OnStoreError::Continue { Ok(()) } else { Err(error) }
    }

    /// The session of a request whose old session was taken over.
    fn taken_before(&self, marker: &[u8]) -> Box<Work> {
        self.emit(None, &Event::TakenBefore);
        let at = marker.strip_prefix(&HEAD).and_then(|rest| rest.first_chunk().copied());
        let at = Timestamp::from_millis(at.map_or(0, u64::from_le_bytes));
        // As under a tombstone: the response with the new id may be on its way, and a cookie of this one would replace it.
        let is_recent = self.clock.now() < at.saturating_add(TOMBSTONE_TIME);
        let end = Some(EndReason::Replaced).filter(|_| is_recent);
        Box::new(Work::empty(self.config.new_header(), end, is_recent))
    }

    fn marker(&self, at: u64, time: Duration) -> Result<Record, Error> {
        let data = Bytes::from([HEAD, at.to_le_bytes()].concat());
        let expires = Some(self.clock.now().saturating_add(time));
        Ok(Record { data, expires, revision: Revision::random()? })
    }

    /// A marker lives at least as long as the session of ours.
    fn memory(&self, takeover: &Takeover) -> Duration {
        takeover.memory.max(self.config.lifetime.unwrap_or_default())
    }
}

fn marker_key(old: &OldId) -> Key {
    let hash = Sha256::new().chain_update(KEY_TAG).chain_update(old.as_bytes()).finalize();
    Key::parse(&format!("handover:{}", hex(&hash))).expect("a prefix and 64 digits are a key")
}

//! Taking a value at once, not at the commit.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use session_core::{Change, Driver, Record, Revision, Timestamp};

use crate::entry::{VALUE, entries};
use crate::error::{Error, ErrorKind};
use crate::manager::Manager;
use crate::op::Claim;
use crate::session::Session;
use crate::settle::{Before, Patience};
use crate::table::Draft;
use crate::values::decoded;
use crate::work::{Loaded, Work};

impl Session {
    /// Takes the value of `key` out of the stored session at once, not at the commit: for tokens that one of several
    /// requests may spend. One request gets the value. The others get `None`, also if the session has ended or has a new
    /// id, and can answer with a page of their own. The log of this request is not stored.
    ///
    /// A value that this request has written and not committed is not claimed: the result is `None`.
    ///
    /// # Errors
    /// `NoStore` for a session that the client keeps; `Decode`, `Codec`, and then the value stays; `Store`; `Uncertain` if the answer was lost: the value may be gone;
    /// `Contention` after too many conflicts; `Committed`, `NotLoaded`.
    ///
    /// # Cancellation
    /// If dropped, the value is there or has been taken.
    pub async fn claim<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.needs_store()?;
        let mut turn = self.turn(false).await;
        if self.is_sealed() {
            return Err(Error::new(ErrorKind::Committed));
        }
        let work = turn.work.as_mut().ok_or_else(|| Error::new(ErrorKind::NotLoaded))?;
        loop {
            let Some(entry) = stored_entry(work, key, || self.now())? else { return Ok(None) };
            // Decoded first, so that a value that does not decode stays.
            let value = decoded(key, &entry)?;
            match self.backend().claim(work, &entry).await? {
                Claim::Won => return Ok(Some(value)),
                Claim::Lost => return Ok(None),
                Claim::Changed => {}
            }
        }
    }
}

/// The live value of `key`, if this request sees it as it is stored.
fn stored_entry(work: &mut Work, key: &str, now: impl FnOnce() -> Timestamp) -> Result<Option<Bytes>, Error> {
    if work.is_detached() {
        return Err(Error::new(ErrorKind::Store).with_detail("the session is detached"));
    }
    let found = work.find(VALUE, key, now);
    let stored = |entry: &Bytes| entries(work.table().body()).any(|stored| stored.whole == entry);
    Ok(found.filter(|entry| work.loaded().is_some() && stored(entry)))
}

impl<D: Driver> Manager<D> {
    /// Removes `entry` from the stored session, unless it has changed.
    pub(crate) async fn claim(&self, work: &mut Work, entry: &Bytes) -> Result<Claim, Error> {
        if work.pending().is_some() {
            drop(self.resolve(work).await?);
        }
        let mut patience = Patience::new();
        loop {
            let Some(loaded) = work.loaded().cloned() else { return Ok(Claim::Lost) };
            if !entries(work.table().body()).any(|stored| stored.whole == entry) {
                return Ok(Claim::Changed);
            }
            let now = self.clock.now();
            let header = work.table().header.clone();
            let draft = Draft::filtered(header, work.table().body(), |stored| stored.whole != entry);
            // Times of a clock that was ahead stay as they are: the next commit finds and corrects them.
            let table = draft.stamped(now.max(work.table().header.updated));
            let before = loaded.revision;
            let next = Loaded { revision: Revision::random()?, ..loaded };
            let (data, expires, revision) = (table.data(), next.expires, next.revision);
            let record = || Record { data: data.clone(), expires, revision };
            let old = work.loaded_record(before);
            match self.replace(&next.key, record, Before::Loaded(&old), false).await? {
                Change::Applied => {
                    work.rebase(next, table, now)?;
                    return Ok(Claim::Won);
                }
                Change::Conflict(found) => {
                    if self.rebase(work, found, &mut patience).await?.is_some() {
                        // If this request logs in, its new session does not have the value either.
                        work.rebase(Loaded { revision: before, ..next }, table, now)?;
                        return Ok(Claim::Lost);
                    }
                }
            }
        }
    }
}

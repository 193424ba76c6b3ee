//! Store calls whose answer may be lost, and back-off under contention.

use std::time::Duration;

use session_core::{
    Applied, Change, Condition, Decision, Driver, Found, Key, Record, Revision, StoreError, StoreErrorKind,
    Touch, decide_remove, decide_store,
};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::manager::Manager;
use crate::table::{Content, Table};
use crate::work::Work;

/// How many times a change whose answer was lost is sent before its effect counts as uncertain.
const ATTEMPTS: u32 = 3;

/// How many ids are drawn for one session before the random numbers of this machine count as broken.
pub(crate) const DRAWS: u32 = 3;

/// The record that a store replaces.
#[derive(Clone, Copy)]
pub(crate) enum Before<'a> {
    Revision(Revision),
    /// Spares some drivers work.
    Loaded(&'a Record),
}

impl Before<'_> {
    fn revision(self) -> Revision {
        match self {
            Self::Revision(revision) => revision,
            Self::Loaded(record) => record.revision,
        }
    }
}

impl Work {
    /// The stored record at `revision`, as it was loaded.
    pub(crate) fn loaded_record(&self, revision: Revision) -> Record {
        let expires = self.loaded().and_then(|loaded| loaded.expires);
        Record { data: self.table().data().clone(), expires, revision }
    }
}

/// The result of storing a record under a new id.
pub(crate) enum New {
    Stored,
    /// The id is in use.
    Taken,
    /// The answer was lost, and the record is not there: draw another id.
    Lost(StoreError),
}

impl New {
    /// The error after the last draw.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Lost(error) => error.into(),
            _ => Error::new(ErrorKind::NoFreeId),
        }
    }
}

impl<D: Driver> Manager<D> {
    /// Replaces the record `before`. If the answer is lost, this reads the record to learn what happened:
    ///
    /// - Our revision: the change was applied.
    /// - The revision of `before`: the change is sent again with the same revision, which is idempotent.
    /// - No record: the session has ended, whether or not the change was applied.
    /// - Another revision: `Uncertain`, because the change may have been applied and overwritten. A replay of the log
    ///   could count it twice. With `lasting`, used for tombstones, which nothing overwrites, it was not applied.
    pub(crate) async fn replace(
        &self,
        key: &Key,
        record: impl Fn() -> Record,
        before: Before<'_>,
        lasting: bool,
    ) -> Result<Change, Error> {
        match self.store_before(key, record(), before).await {
            Ok(answer) => Ok(answer),
            Err(error) if error.applied() == Applied::Unknown => {
                Box::pin(self.replace_again(key, record(), before.revision(), lasting, error)).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Stores in the place of the record `before`.
    pub(crate) async fn store_before(
        &self,
        key: &Key,
        record: Record,
        before: Before<'_>,
    ) -> session_core::Result<Change> {
        match before {
            Before::Loaded(loaded) if !self.last_write_wins => {
                self.driver.store_over(key, record, loaded).await
            }
            before => self.store_if(key, record, Condition::Revision(before.revision())).await,
        }
    }

    async fn replace_again(
        &self,
        key: &Key,
        record: Record,
        before: Revision,
        lasting: bool,
        mut lost: StoreError,
    ) -> Result<Change, Error> {
        for attempt in 1.. {
            match self.driver.retrieve(key).await {
                Ok(None) => return Ok(Change::Conflict(None)),
                Ok(Some(found)) if found.revision == record.revision => return Ok(Change::Applied),
                Ok(Some(found)) if found.revision == before && attempt < ATTEMPTS => {}
                Ok(Some(found)) if found.revision != before && lasting => {
                    return Ok(Change::Conflict(Some(found)));
                }
                _ => break,
            }
            lost = match self.store_if(key, record.clone(), Condition::Revision(before)).await {
                Ok(Change::Conflict(Some(_))) if !lasting => return Err(Error::new(ErrorKind::Uncertain)),
                Ok(answer) => return Ok(answer),
                Err(error) if error.applied() == Applied::Unknown => error,
                // An earlier call of this loop may still arrive.
                Err(error) => return Err(Error::uncertain(error)),
            };
        }
        Err(Error::uncertain(lost))
    }

    /// Stores a record under an id that was drawn for it, once. A second call could arrive after the end of the session
    /// and restore it. Under an abandoned id, a late call creates a record that no client can reach.
    pub(crate) async fn store_new(&self, key: &Key, record: Record) -> Result<New, Error> {
        let revision = record.revision;
        match self.store_if(key, record, Condition::Absent).await {
            Ok(Change::Applied) => Ok(New::Stored),
            // Another visitor's session: the log is never replayed on it.
            Ok(Change::Conflict(_)) => Ok(New::Taken),
            Err(error) if error.applied() == Applied::Unknown => match self.driver.retrieve(key).await {
                Ok(Some(found)) if found.revision == revision => Ok(New::Stored),
                Ok(_) => Ok(New::Lost(error)),
                Err(_) => Err(Error::uncertain(error)),
            },
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn store_if(
        &self,
        key: &Key,
        record: Record,
        condition: Condition,
    ) -> session_core::Result<Change> {
        if !self.last_write_wins {
            return self.driver.store(key, record, condition).await;
        }
        Box::pin(async {
            let found = self.driver.retrieve(key).await?;
            match decide_store(as_found(found.as_ref()), condition, record.revision, true) {
                Decision::AlreadyApplied => Ok(Change::Applied),
                Decision::Conflict => Ok(Change::Conflict(found)),
                _ => self.driver.store(key, record, Condition::Any).await,
            }
        })
        .await
    }

    /// Removes on a condition. This and the calls beside it read first if the driver has no compare-and-swap: the last
    /// write wins then, as `allow_last_write_wins` says.
    pub(crate) async fn remove_if(&self, key: &Key, condition: Condition) -> session_core::Result<Change> {
        if !self.last_write_wins {
            return self.driver.remove(key, condition).await;
        }
        let found = self.driver.retrieve(key).await?;
        match decide_remove(as_found(found.as_ref()), condition) {
            Decision::Delete => self.driver.remove(key, Condition::Any).await,
            Decision::AlreadyAbsent => Ok(Change::Applied),
            _ => Ok(Change::Conflict(found)),
        }
    }

    pub(crate) async fn touch_if(&self, key: &Key, touch: Touch) -> session_core::Result<bool> {
        if !self.last_write_wins {
            return self.driver.touch(key, touch).await;
        }
        match self.driver.retrieve(key).await? {
            Some(found) if found.revision == touch.from => {
                let touched = Record { expires: touch.deadline, revision: touch.to, ..found };
                Ok(self.driver.store(key, touched, Condition::Any).await?.is_applied())
            }
            _ => Ok(false),
        }
    }
}

/// The result of removing a session's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// This call removed it.
    Removed,
    /// It was gone already.
    Gone,
    /// A rotation replaced it. The tombstone with this revision stays, so that late requests create nothing under the
    /// old id.
    Replaced(Revision),
}

impl<D: Driver> Manager<D> {
    /// Removes the session under `key`, even if another request changed it or renewed its id, but never a tombstone.
    /// `key` becomes the key under which the session was.
    pub(crate) async fn end_record(&self, key: &mut Key, mut revision: Revision) -> Result<Removal, Error> {
        let mut patience = Patience::new();
        let mut doubt = false;
        loop {
            let found = match self.remove_if(key, Condition::Revision(revision)).await {
                Ok(Change::Applied) => return Ok(Removal::Removed),
                // Our own removal, whose answer was lost.
                Ok(Change::Conflict(None)) if doubt => return Ok(Removal::Removed),
                Ok(Change::Conflict(None)) => return Ok(Removal::Gone),
                Ok(Change::Conflict(Some(record))) => record,
                Err(error) if error.applied() == Applied::Unknown => {
                    doubt = true;
                    match self.driver.retrieve(key).await {
                        Ok(None) => return Ok(Removal::Removed),
                        Ok(Some(record)) => record,
                        Err(_) => return Err(Error::uncertain(error)),
                    }
                }
                Err(error) if error.kind() == StoreErrorKind::Corrupt => return self.end_damaged(key).await,
                Err(error) if doubt => return Err(Error::uncertain(error)),
                Err(error) => return Err(error.into()),
            };
            revision = found.revision;
            let mut content = Table::parse(found.data);
            while let Ok(Content::Forwarder(forwarder)) = content {
                *key = forwarder.to;
                let Some(record) = self.driver.retrieve(key).await? else { return Ok(Removal::Gone) };
                revision = record.revision;
                content = Table::parse(record.data);
                patience.spend().await?;
            }
            if matches!(content, Ok(Content::Tombstone(_))) {
                return Ok(Removal::Replaced(revision));
            }
            patience.spend().await?;
        }
    }
}

impl<D: Driver> Manager<D> {
    /// Removes a session whose record the driver cannot read. Other requests store nothing under a damaged
    /// record, so this removes no newer data.
    pub(crate) async fn end_damaged(&self, key: &Key) -> Result<Removal, Error> {
        match self.driver.remove(key, Condition::Any).await {
            Ok(Change::Applied) => Ok(Removal::Removed),
            Ok(Change::Conflict(_)) => Ok(Removal::Gone),
            Err(error) if error.applied() == Applied::Unknown => Err(Error::uncertain(error)),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                Err(Error::new(ErrorKind::Corrupt).with_source(error))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn as_found(record: Option<&Record>) -> Found {
    record.map_or(Found::Nothing, |record| Found::Live(record.revision))
}

/// How long a commit tries again while other requests write.
pub(crate) struct Patience {
    since: Option<Instant>,
    tries: u32,
}

impl Patience {
    const TIME: Duration = Duration::from_secs(5);
    const TRIES: u32 = 100;
    /// The first try with a pause before it.
    const PAUSE_FROM: u32 = 4;

    pub(crate) const fn new() -> Self {
        Self { since: None, tries: 0 }
    }

    /// The number of conflicts so far.
    pub(crate) const fn tries(&self) -> u32 {
        self.tries
    }

    /// Counts a conflict and pauses after several. Returns whether it paused. The pause is random: up to 1 ms at
    /// first, twice that each time, up to 16 ms.
    pub(crate) async fn spend(&mut self) -> Result<bool, Error> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.tries += 1;
        if self.tries >= Self::TRIES || since.elapsed() >= Self::TIME {
            return Err(Error::new(ErrorKind::Contention).with_detail("too many conflicts"));
        }
        if self.tries < Self::PAUSE_FROM {
            return Ok(false);
        }
        let most = 1_000 << (self.tries - Self::PAUSE_FROM).min(4);
        tokio::time::sleep(Duration::from_micros(fastrand::u64(..most))).await;
        Ok(true)
    }
}

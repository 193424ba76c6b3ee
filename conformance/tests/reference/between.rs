//! A wrapper around a driver with one defect, for clauses of level session.
//!
//! The session layer has no switch for defects. The wrapper causes the same effects: swallowed answers, old records,
//! tables that lost a part. Without a defect it forwards everything.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use session_core::{
    Change, Condition, Driver, Key, Operation, Purged, Record, Result, Revision, StoreError, StoreErrorKind,
    Timestamp, Touch,
};

use super::table::{self, TOMBSTONE};
use super::{Defect, Reference};

const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Clone, Debug)]
pub struct Between<D = Reference> {
    under: D,
    defect: Option<Defect>,
    memory: Arc<Mutex<Memory>>,
}

/// State of the defects.
#[derive(Debug, Default)]
struct Memory {
    versions: HashMap<Key, Vec<Record>>,
    last: Option<Key>,
    /// The keys with an odd number of calls.
    odd: HashSet<Key>,
    refused: bool,
}

impl Memory {
    fn newest(&self, key: &Key) -> Option<Record> {
        self.versions.get(key)?.last().cloned()
    }

    fn one_behind(&self, key: &Key) -> Option<Record> {
        self.versions.get(key)?.iter().rev().nth(1).cloned()
    }

    /// Whether this is an odd call for the key: the first, the third and so on.
    fn is_odd(&mut self, key: &Key) -> bool {
        if self.odd.remove(key) {
            return false;
        }
        self.odd.insert(key.clone())
    }
}

impl<D: Driver> Between<D> {
    pub fn new(under: D, defect: Option<Defect>) -> Self {
        Self { under, defect, memory: Arc::default() }
    }

    fn now(&self) -> Timestamp {
        self.under.clock().now()
    }

    fn remember<T>(&self, with: impl FnOnce(&mut Memory) -> T) -> T {
        with(&mut self.memory.lock().unwrap())
    }

    /// The record that a defect stores instead of `record`.
    fn altered(&self, mut record: Record, when: Condition) -> Record {
        let Some(defect) = self.defect else { return record };
        if *record.data == TOMBSTONE {
            match defect {
                Defect::MarkerForever => record.expires = None,
                Defect::MarkerIsEmptySession => record.data = table::empty(self.now()),
                _ => {}
            }
        } else if let Some(altered) = table::altered(&record.data, defect, when, self.now()) {
            record.data = altered;
        }
        match (defect, when) {
            (Defect::LosesDeadlines, _) => record.expires = None,
            (Defect::AddsAnHour, _) => record.expires = record.expires.map(|at| at.saturating_add(HOUR)),
            (Defect::KeepsRevision, Condition::Revision(kept)) => record.revision = kept,
            _ => {}
        }
        record
    }

    /// The answer of a defect that does not store.
    async fn instead_of_storing(
        &self,
        key: &Key,
        record: &Record,
        when: Condition,
    ) -> Option<Result<Change>> {
        match (self.defect?, when) {
            (Defect::LosesCreates, Condition::Absent) => Some(Ok(Change::Applied)),
            (Defect::LosesUpdates, Condition::Revision(expected)) => {
                let live = self.under.retrieve(key).await.ok()?;
                (live?.revision == expected).then_some(Ok(Change::Applied))
            }
            (Defect::RefusesFirstId, Condition::Absent) => {
                let first = self.remember(|memory| !std::mem::replace(&mut memory.refused, true));
                first.then_some(Ok(Change::Conflict(None)))
            }
            (Defect::SpuriousConflicts, Condition::Revision(_)) => {
                let first = self.remember(|memory| memory.is_odd(key));
                if first { Some(self.under.retrieve(key).await.map(Change::Conflict)) } else { None }
            }
            (Defect::MarkerIsLost, _) if *record.data == TOMBSTONE => Some(Ok(Change::Applied)),
            (Defect::MarkerRemoves, _) if *record.data == TOMBSTONE => {
                Some(self.under.remove(key, when).await)
            }
            _ => None,
        }
    }

    /// The answer of a mutant for an absent record.
    fn instead_of_nothing(&self, key: &Key) -> Result<Option<Record>> {
        let now = self.now();
        Ok(match self.defect {
            Some(Defect::AbsentIsAnError) => {
                return Err(StoreError::new(StoreErrorKind::Backend, Operation::Retrieve));
            }
            Some(Defect::AbsentIsEmptySession) => Some(Record::new(
                table::empty(now),
                Some(now.saturating_add(2 * HOUR)),
                Revision::from_bytes([1; 8]),
            )),
            Some(Defect::AbsentIsAnother) => {
                self.remember(|memory| memory.last.clone().and_then(|last| memory.newest(&last)))
            }
            Some(Defect::ShowsExpired) => {
                self.remember(|memory| memory.newest(key)).filter(|record| !record.is_live(now))
            }
            Some(Defect::ShowsRemoved) => self.remember(|memory| memory.newest(key)),
            _ => None,
        })
    }

    /// The answer of a mutant for a live record.
    async fn instead_of(&self, key: &Key, mut record: Record) -> Result<Option<Record>> {
        let is_table = matches!(record.data[..], [1, 1 | 2, ..]);
        match self.defect {
            Some(Defect::ReadsOneBehind) => {
                if let Some(older) = self.remember(|memory| memory.one_behind(key)) {
                    record = older;
                }
            }
            Some(Defect::ReadExtends) => {
                let expires = record.expires.map(|at| at.saturating_add(HOUR));
                drop(self.under.store(key, Record { expires, ..record.clone() }, Condition::Any).await?);
            }
            Some(Defect::ReadRemoves) => drop(self.under.remove(key, Condition::Any).await?),
            Some(Defect::ReadCutsData) => record.data.truncate(record.data.len().saturating_sub(1)),
            Some(Defect::ShowsEarlierDeadlines) => {
                record.expires = record.expires.map(|at| at.saturating_sub(HOUR / 2));
            }
            Some(Defect::GarbageIsAbsent) if !is_table => return Ok(None),
            Some(Defect::GarbageIsDeleted) if !is_table => {
                drop(self.under.remove(key, Condition::Any).await?);
                return Ok(None);
            }
            _ => {}
        }
        Ok(Some(record))
    }
}

impl<D: Driver> Driver for Between<D> {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        if self.defect == Some(Defect::FirstReadFails) && self.remember(|memory| memory.is_odd(key)) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, Operation::Retrieve));
        }
        match self.under.retrieve(key).await {
            Ok(Some(record)) => self.instead_of(key, record).await,
            Ok(None) => self.instead_of_nothing(key),
            Err(error)
                if self.defect == Some(Defect::DamagedIsDeleted)
                    && error.kind() == StoreErrorKind::Corrupt =>
            {
                // Storing what has expired removes.
                let expired = Record::new(Bytes::new(), Some(Timestamp::EPOCH), Revision::from_bytes([1; 8]));
                drop(self.under.store(key, expired, Condition::Any).await);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        if let Some(answer) = self.instead_of_storing(key, &record, when).await {
            return answer;
        }
        let record = self.altered(record, when);
        let answer = self.under.store(key, record.clone(), when).await?;
        if answer.is_applied() && self.defect.is_some() {
            self.remember(|memory| {
                memory.versions.entry(key.clone()).or_default().push(record);
                memory.last = Some(key.clone());
            });
        }
        Ok(match (self.defect, when, answer) {
            (Some(Defect::SwallowsConflicts), Condition::Revision(_), Change::Conflict(_))
            | (Some(Defect::SaysYesToTaken), Condition::Absent, Change::Conflict(_)) => Change::Applied,
            (Some(Defect::HidesConflicts), _, Change::Conflict(_)) => Change::Conflict(None),
            (Some(Defect::StaleConflicts), _, Change::Conflict(Some(live))) => {
                Change::Conflict(self.remember(|memory| memory.one_behind(key)).or(Some(live)))
            }
            (_, _, answer) => answer,
        })
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        let answer = self.under.remove(key, when).await?;
        Ok(match (self.defect, answer) {
            (Some(Defect::RemoveSaysGone), Change::Applied) => Change::Conflict(None),
            (Some(Defect::RemoveSaysYesOnConflict), Change::Conflict(Some(_))) => Change::Applied,
            (_, answer) => answer,
        })
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Touch { from, to, deadline } = touch;
        let hour_later = deadline.map(|at| at.saturating_add(HOUR));
        match self.defect {
            Some(Defect::TouchSaysTrue) => Ok(true),
            Some(Defect::TouchReverts) => {
                let versions = self.remember(|memory| memory.versions.get(key).cloned().unwrap_or_default());
                let Some(old) = versions.into_iter().find(|record| record.revision == from) else {
                    return Ok(false);
                };
                let reverted = Record { expires: deadline, revision: to, ..old };
                Ok(self.under.store(key, reverted, Condition::Any).await?.is_applied())
            }
            Some(Defect::TouchKeepsRevision) => self.under.touch(key, Touch { to: from, ..touch }).await,
            Some(Defect::AddsAnHour) => self.under.touch(key, Touch { deadline: hour_later, ..touch }).await,
            _ => self.under.touch(key, touch).await,
        }
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        if self.defect == Some(Defect::PurgeSaysNone) {
            return Ok(Purged::default());
        }
        self.under.purge(limit).await
    }

    session_core::forward!(under: traverse flush close capabilities clock);
}

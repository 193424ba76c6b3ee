//! Defects of `store`, `remove` and `touch`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use session_conformance::testing::condition_of;
use session_core::Condition::{self, Absent, Any, Revision as At};
use session_core::Operation::{Remove, Store, Touch as Touched};
use session_core::{
    Change, ChangeRequest, Decision, Driver, Found, Key, Operation, Record, Result, Revision, StoreError,
    StoreErrorKind, Timestamp, is_live,
};

use super::Defect::*;
use super::Defective;
use super::driver::MAX_VALUE;
use super::table::{self, is_tombstone};

const HOUR: Duration = Duration::from_secs(3_600);

fn full(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Full, operation)
}

/// The same change with another condition.
fn at(request: ChangeRequest, condition: Condition) -> ChangeRequest {
    match request {
        ChangeRequest::Store { record, .. } => ChangeRequest::Store { record, condition },
        ChangeRequest::Remove { .. } => ChangeRequest::Remove { condition },
        touch @ ChangeRequest::Touch(_) => touch,
    }
}

/// The same change whatever is stored: a touch becomes a store of the record that it was decided on.
fn unconditional(request: ChangeRequest, live: Option<Record>) -> ChangeRequest {
    match (request, live) {
        (ChangeRequest::Touch(touch), live) => {
            let live = live.unwrap_or_else(|| Record::new(&b""[..], None, touch.from));
            let record = Record { revision: touch.to, expires: touch.deadline, ..live };
            ChangeRequest::Store { record, condition: Any }
        }
        (request, _) => at(request, Any),
    }
}

impl Defective {
    pub(super) async fn write(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        let record = self.altered(record, condition);
        self.begin_store(key, &record).await?;
        let answer = self.change(key, ChangeRequest::Store { record, condition }).await;
        match (self.defect, answer.as_ref().map_err(StoreError::kind)) {
            (FullSaysYes, Err(StoreErrorKind::Full)) | (GoneSaysYes, Err(StoreErrorKind::Unavailable)) => {
                return Ok(Change::Applied);
            }
            (FullRemovesOld, Err(StoreErrorKind::Full)) => self.inner.put(key, None)?,
            _ => {}
        }
        answer
    }

    /// The condition of a `store_over`. The defects look at the record before the store.
    pub(super) async fn condition_over(&self, key: &Key, loaded: &Record) -> Result<Condition> {
        let key = &self.mapped(key);
        let found = self.inner.retrieve(key).await?;
        let is_revision = found.as_ref().is_some_and(|found| found.revision == loaded.revision);
        let revives = |stored: &Record| found.is_none() && stored.revision == loaded.revision;
        Ok(match self.defect {
            OverIgnoresRevision if found.is_some() => Any,
            OverComparesHint if found.as_ref() != Some(loaded) => At(Revision::from_bytes([0xff; 8])),
            OverRevives if self.inner.stored(key)?.as_ref().is_some_and(revives) => Any,
            RacyOver if is_revision => {
                self.pause().await;
                Any
            }
            _ => At(loaded.revision),
        })
    }

    /// The record that a defect stores instead of `record`.
    fn altered(&self, mut record: Record, when: Condition) -> Record {
        let is_tombstone = is_tombstone(&record.data);
        if !is_tombstone && let Some(altered) = table::altered(&record.data, self.defect, when, self.now()) {
            record.data = altered;
        }
        match (self.defect, when) {
            (MarkerForever, _) if is_tombstone => record.expires = None,
            (MarkerIsEmptySession, _) if is_tombstone => record.data = table::empty(self.now()),
            (CutsAtNul, _) => {
                let end = record.data.iter().position(|byte| *byte == 0).unwrap_or(record.data.len());
                record.data.truncate(end);
            }
            (CutsAt64K, _) => record.data.truncate(65_535),
            (CutsDeadline, _) => {
                let cut = |at: Timestamp| Timestamp::from_millis(at.as_millis() / 1_000 * 1_000);
                record.expires = record.expires.map(cut);
            }
            (ZeroMeansNever, _) => record.expires = record.expires.filter(|at| at.as_millis() != 0),
            (LosesDeadlines, _) => record.expires = None,
            (AddsAnHour, _) => record.expires = record.expires.map(|at| at.saturating_add(HOUR)),
            (KeepsRevision, At(kept)) => record.revision = kept,
            _ => {}
        }
        record
    }

    /// The first steps of a defect that stores in several.
    async fn begin_store(&self, key: &Key, record: &Record) -> Result<()> {
        match self.defect {
            TooLargeRemoves if record.data.len() as u64 > MAX_VALUE => self.inner.put(key, None)?,
            FullForever if self.remember(|memory| memory.full) => return Err(full(Store)),
            DropLosesRecord => {
                self.inner.put(key, None)?;
                self.pause().await;
            }
            TornWrite => {
                if let Some(Record { revision, .. }) = self.inner.retrieve(key).await? {
                    self.inner.put(key, Some(Record { revision, ..record.clone() }))?;
                }
                self.pause().await;
            }
            EmptyFirst => {
                self.inner.put(key, Some(Record { data: Bytes::new(), ..record.clone() }))?;
                self.pause().await;
            }
            DropKeepsLock => {
                let mut tries = 0;
                while self.busy.swap(true, Ordering::SeqCst) {
                    tries += 1;
                    if tries > 100 {
                        return Err(StoreError::new(StoreErrorKind::Timeout, Store));
                    }
                    self.pause().await;
                }
                self.pause().await;
                self.busy.store(false, Ordering::SeqCst);
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) async fn change(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        if self.is(TouchMovesAtSameRevision)
            && let ChangeRequest::Touch(touch) = &request
            && touch.from == touch.to
            && let Some(live) = self.inner.retrieve(key).await?
            && live.revision == touch.to
        {
            self.inner.put(key, Some(Record { expires: touch.deadline, ..live }))?;
            return Ok(Change::Applied);
        }
        if self.is(TrustsIndexInChanges)
            && let ChangeRequest::Store { record, .. } = &request
            && let Some(owner) = self.inner.owner(key)?
            && owner != *key
        {
            self.inner.put(&owner, Some(record.clone()))?;
            return Ok(Change::Applied);
        }
        if self.is(TrustsIndexInConflicts)
            && let Some(owner) = self.inner.owner(key)?
            && owner != *key
        {
            return Ok(Change::Conflict(self.inner.stored(key)?));
        }
        if self.is(TouchHidesDamage)
            && let ChangeRequest::Touch(touch) = &request
            && let Some(stored) = self.inner.stored(key)?
            && stored.revision == touch.from
            && touch.from != touch.to
        {
            let record = Record { revision: touch.to, expires: touch.deadline, ..stored };
            return self.inner.put(key, Some(record)).map(|()| Change::Applied);
        }
        if matches!(self.defect, DamagedConflicts | DamagedIsReplaced) && self.inner.check(key).is_err() {
            return match self.defect {
                DamagedConflicts if condition_of(&request) != Any => Ok(Change::Conflict(None)),
                _ => self.inner.change(key, unconditional(request, None)),
            };
        }
        // The driver has the others itself, and a step more would change when they race.
        if matches!(
            self.defect,
            Nothing | NoFileLock | LockFileOfTheDead | TornAppend | TouchTearsRecord | PowerDoesNotSync
        ) {
            return self.inner.change(key, request);
        }
        let _turn = if self.is(LockPerHandle) { Some(self.turn.lock().await) } else { None };
        let cached = self.remember(|memory| memory.cache.get(key).cloned());
        let live = match (self.defect, cached) {
            (RemovalNotWritten | TouchNotWritten, Some(cached)) => cached,
            _ => self.inner.retrieve(key).await.unwrap_or_default(),
        };
        let request = self.rewritten(key, request, live.as_ref());
        let decision = request.decide(Found::of(live.as_ref(), self.now()), self.now());
        if let Some(answer) = self.instead_of_deciding(key, &request, live.as_ref(), decision)? {
            return Ok(answer);
        }
        let (operation, when) = (request.operation(), condition_of(&request));
        let answer = match (self.defect, operation, when) {
            (AnswersEarly | LockPerHandle, ..)
            | (RacyRevision, Store, At(_))
            | (RacyAbsent, Store, Absent)
            | (RacyRemove, Remove, Any)
            | (RacyRemoveAtRevision, Remove, At(_))
            | (RacyTouch | TouchRevivesRemoved, Touched, _) => match decision {
                Decision::Conflict | Decision::Corrupt => Change::Conflict(live),
                _ => self.perform_late(key, request, live).await?,
            },
            (DroppedComesLate, Store, _) => {
                // The task continues when the caller gives up.
                let (own, key) = (self.clone(), key.clone());
                let late = async move {
                    own.pause().await;
                    own.perform(&key, request)
                };
                tokio::spawn(late).await.unwrap()?
            }
            _ => self.perform(key, request)?,
        };
        Ok(match (self.defect, operation, when, answer) {
            (SwallowsConflicts, Store, At(_), Change::Conflict(_))
            | (SaysYesToTaken, Store, Absent, Change::Conflict(_))
            | (RemoveAlwaysYes, Remove, _, Change::Conflict(None))
            | (RemoveSaysYesOnConflict, Remove, _, Change::Conflict(Some(_))) => Change::Applied,
            (HidesConflicts, Store, _, Change::Conflict(_))
            | (RemoveSaysGone, Remove, _, Change::Applied) => Change::Conflict(None),
            (StaleConflicts, Store, _, Change::Conflict(Some(live))) => {
                Change::Conflict(self.remember(|memory| memory.one_behind(key)).or(Some(live)))
            }
            (ConflictCutsData, Store, _, Change::Conflict(Some(live))) => {
                Change::Conflict(Some(Record { data: Bytes::new(), ..live }))
            }
            (.., answer) => answer,
        })
    }

    /// The request that a defect makes of `request`.
    fn rewritten(&self, key: &Key, mut request: ChangeRequest, live: Option<&Record>) -> ChangeRequest {
        let float = |revision: Revision| u64::from_be_bytes(revision.to_bytes()) as f64;
        let is = |record: Option<Record>, revision| record.is_some_and(|record| record.revision == revision);
        let old = live.and_then(|live| live.expires);
        match &mut request {
            ChangeRequest::Store { record, .. } if self.is(KeepsOldDeadline) && live.is_some() => {
                record.expires = old;
            }
            ChangeRequest::Touch(touch) => match self.defect {
                TouchIgnoresRevision => touch.from = live.map_or(touch.from, |live| live.revision),
                TouchKeepsRevision => touch.to = touch.from,
                TouchDoesNotExtend => touch.deadline = old,
                TouchOnlyExtends => touch.deadline = old.zip(touch.deadline).map(|(old, new)| old.max(new)),
                ZeroMeansNever => touch.deadline = touch.deadline.filter(|at| at.as_millis() != 0),
                AddsAnHour => touch.deadline = touch.deadline.map(|at| at.saturating_add(HOUR)),
                _ => {}
            },
            _ => {}
        }
        let is_ignored = match (self.defect, request.operation(), condition_of(&request)) {
            (AbsentReplaces, Store, Absent)
            | (StoreIgnoresRevision, Store, At(_))
            | (RemoveIgnoresAbsent, Remove, Absent)
            | (RemoveIgnoresRevision, Remove, At(_)) => true,
            (RevisionCreates, Store, At(_)) => live.is_none(),
            (ComparesAsFloat, Store, At(given)) => {
                live.is_some_and(|live| float(live.revision) == float(given))
            }
            (ComparesStaleCopy, Store, At(given)) => {
                is(self.remember(|memory| memory.one_behind(key)), given)
            }
            (ComparesHandleCache, Store, At(given)) => {
                is(self.remember(|memory| memory.cache.get(key).cloned()).flatten(), given)
            }
            (StoreRevivesExpired, Store, At(given)) => is(self.inner.stored(key).unwrap_or_default(), given),
            _ => false,
        };
        if is_ignored { at(request, Any) } else { request }
    }

    /// The answer of a defect that does not ask the driver.
    fn instead_of_deciding(
        &self,
        key: &Key,
        request: &ChangeRequest,
        live: Option<&Record>,
        decision: Decision,
    ) -> Result<Option<Change>> {
        let expired = self.inner.stored(key).unwrap_or_default().filter(|_| live.is_none());
        let conflict = Change::Conflict(live.cloned());
        let when = condition_of(request);
        if let ChangeRequest::Touch(touch) = request {
            let touched =
                || live.map(|live| Record { revision: touch.to, expires: touch.deadline, ..live.clone() });
            let versions = || self.remember(|memory| memory.versions.get(key).cloned().unwrap_or_default());
            return Ok(match (self.defect, decision) {
                (TouchSaysTrue, _) => Some(Change::Applied),
                (TouchRefusesPast, _) if !is_live(touch.deadline, self.now()) => Some(Change::Conflict(None)),
                (TouchRepeatIsFalse, Decision::AlreadyApplied) => Some(Change::Conflict(None)),
                (TouchCreates, Decision::Conflict) if live.is_none() => {
                    Some(self.perform(key, unconditional(request.clone(), None))?)
                }
                (TouchRevivesExpired, _)
                    if expired.as_ref().is_some_and(|old| old.revision == touch.from) =>
                {
                    Some(self.perform(key, unconditional(request.clone(), expired))?)
                }
                (TouchReverts, _) => {
                    Some(match versions().into_iter().find(|old| old.revision == touch.from) {
                        Some(old) => self.inner.change(key, unconditional(request.clone(), Some(old)))?,
                        None => Change::Conflict(None),
                    })
                }
                (TouchNotWritten, Decision::Write) => {
                    self.remember(|memory| memory.cache.insert(key.clone(), touched()));
                    Some(Change::Applied)
                }
                (TouchCutsData, Decision::Write) => {
                    let cut = |data: &Bytes| data.slice(..data.len().min(1_000));
                    self.inner.put(key, touched().map(|new| Record { data: cut(&new.data), ..new }))?;
                    Some(Change::Applied)
                }
                _ => None,
            });
        }
        let is_tombstone =
            matches!(request, ChangeRequest::Store { record, .. } if is_tombstone(&record.data));
        Ok(match (self.defect, request.operation(), when, decision) {
            (RemoveKeeps, Remove, _, Decision::Delete)
            | (LateStoreIgnored, Store, _, Decision::Delete)
            | (LosesCreates, Store, Absent, _)
            | (LosesUpdates, Store, At(_), Decision::Write) => Some(Change::Applied),
            (MarkerIsLost, ..) if is_tombstone => Some(Change::Applied),
            (MarkerRemoves, ..) if is_tombstone => {
                Some(self.inner.change(key, ChangeRequest::Remove { condition: when })?)
            }
            (RepeatConflicts, Store, _, Decision::AlreadyApplied) => Some(conflict),
            (AbsentSeesExpired, Store, Absent, _) if expired.is_some() => Some(Change::Conflict(expired)),
            (RemoveSeesExpired, Remove, ..) if expired.is_some() => Some(Change::Applied),
            (FalseConflict, Store, At(given), Decision::Write) => {
                let last = self.remember(|memory| memory.last.as_ref().map(|(_, revision)| *revision));
                (last != Some(given)).then_some(conflict)
            }
            (RefusesFirstId, Store, Absent, _) => {
                let refused = self.remember(|memory| std::mem::replace(&mut memory.refused, true));
                (!refused).then_some(Change::Conflict(None))
            }
            (SpuriousConflicts, Store, At(_), _) => {
                self.remember(|memory| memory.is_odd(key)).then_some(conflict)
            }
            (FullRefusesRemovals, Remove, ..) if self.remember(|memory| memory.full) => {
                return Err(full(Remove));
            }
            (RemovalNotWritten, Remove, _, Decision::Delete) => {
                self.remember(|memory| memory.cache.insert(key.clone(), None));
                Some(Change::Applied)
            }
            _ => None,
        })
    }

    /// Performs a change that was decided before, without another look at the record.
    async fn perform_late(&self, key: &Key, request: ChangeRequest, live: Option<Record>) -> Result<Change> {
        if self.is(AnswersEarly) {
            let (own, key) = (self.clone(), key.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(3)).await;
                own.perform(&key, unconditional(request, live))
            });
            return Ok(Change::Applied);
        }
        self.pause().await;
        match (self.defect, self.inner.retrieve(key).await?) {
            (TouchRevivesRemoved, Some(_)) => self.perform(key, request),
            (RacyTouch, None) => Ok(Change::Conflict(None)),
            _ => self.perform(key, unconditional(request, live)).map(|_| Change::Applied),
        }
    }

    fn perform(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        let answer = self.inner.change(key, request.clone())?;
        if answer.is_applied() {
            let caches = matches!(self.defect, HandleCaches | ComparesHandleCache);
            self.remember(|memory| memory.has_changed(key, request, caches));
        }
        Ok(answer)
    }
}

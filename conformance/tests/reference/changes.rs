//! Defects of `store`, `remove` and `touch`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use session_core::{
    Change, ChangeRequest, Condition, Decision, Driver, Found, Key, Operation, Record, Result, Revision,
    StoreError, StoreErrorKind, Timestamp, Touch, is_live,
};

use super::Defect::{self, *};
use super::Defective;
use super::driver::{MAX_VALUE, condition_of};
use super::table::{self, TOMBSTONE};

const HOUR: Duration = Duration::from_secs(3_600);
const REMOVE: ChangeRequest = ChangeRequest::Remove { condition: Condition::Any };

fn store(record: Record, condition: Condition) -> ChangeRequest {
    ChangeRequest::Store { record, condition }
}

fn full(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Full, operation)
}

/// The same change whatever is stored; a touch becomes a store of the record that it was decided on.
fn unconditional(request: ChangeRequest, live: Option<Record>) -> ChangeRequest {
    match (request, live) {
        (ChangeRequest::Store { record, .. }, _) => store(record, Condition::Any),
        (ChangeRequest::Touch(Touch { to, deadline, .. }), Some(live)) => {
            store(Record { revision: to, expires: deadline, ..live }, Condition::Any)
        }
        _ => REMOVE,
    }
}

impl Defective {
    pub(super) async fn write(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        let Some(defect) = self.defect else { return self.inner.store(key, record, condition).await };
        let record = self.altered(defect, record, condition);
        self.begin_store(defect, key, &record).await?;
        match (defect, self.change(key, store(record, condition)).await) {
            (FullSaysYes, Err(error)) if error.kind() == StoreErrorKind::Full => Ok(Change::Applied),
            (GoneSaysYes, Err(error)) if error.kind() == StoreErrorKind::Unavailable => Ok(Change::Applied),
            (FullRemovesOld, Err(error)) if error.kind() == StoreErrorKind::Full => {
                self.inner.put(key, None)?;
                Err(error)
            }
            (_, answer) => answer,
        }
    }

    /// The record that a defect stores instead of `record`.
    fn altered(&self, defect: Defect, mut record: Record, when: Condition) -> Record {
        let is_tombstone = *record.data == TOMBSTONE;
        if !is_tombstone && let Some(altered) = table::altered(&record.data, defect, when, self.now()) {
            record.data = altered;
        }
        match (defect, when) {
            (MarkerForever, _) if is_tombstone => record.expires = None,
            (MarkerIsEmptySession, _) if is_tombstone => record.data = table::empty(self.now()),
            (CutsAtNul, _) => {
                let end = record.data.iter().position(|byte| *byte == 0).unwrap_or(record.data.len());
                record.data.truncate(end);
            }
            (CutsAt64K, _) => record.data.truncate(65_535),
            (CutsDeadline, _) => {
                record.expires =
                    record.expires.map(|at| Timestamp::from_millis(at.as_millis() / 1_000 * 1_000));
            }
            (ZeroMeansNever, _) => record.expires = record.expires.filter(|at| at.as_millis() != 0),
            (LosesDeadlines, _) => record.expires = None,
            (AddsAnHour, _) => record.expires = record.expires.map(|at| at.saturating_add(HOUR)),
            (KeepsRevision, Condition::Revision(kept)) => record.revision = kept,
            _ => {}
        }
        record
    }

    /// What a defect does before it stores.
    async fn begin_store(&self, defect: Defect, key: &Key, record: &Record) -> Result<()> {
        match defect {
            TooLargeRemoves if record.data.len() as u64 > MAX_VALUE => self.inner.put(key, None)?,
            FullForever if self.remember(|memory| memory.full) => return Err(full(Operation::Store)),
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
                        return Err(StoreError::new(StoreErrorKind::Timeout, Operation::Store));
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
        let Some(defect) = self.defect else { return self.inner.change(key, request) };
        let _turn = if defect == LockPerHandle { Some(self.turn.lock().await) } else { None };
        let cached = self.remember(|memory| memory.cache.get(key).cloned());
        let live = match (defect, cached) {
            (RemovalNotWritten | TouchNotWritten, Some(cached)) => cached,
            _ => self.inner.retrieve(key).await.unwrap_or_default(),
        };
        let request = self.rewritten(defect, key, request, live.as_ref());
        let decision = request.decide(Found::of(live.as_ref(), self.now()), self.now());
        if let Some(answer) = self.instead_of_deciding(defect, key, &request, live.as_ref(), decision)? {
            return Ok(answer);
        }
        let answer = match (defect, &request) {
            (AnswersEarly | LockPerHandle, _)
            | (RacyRevision, ChangeRequest::Store { condition: Condition::Revision(_), .. })
            | (RacyAbsent, ChangeRequest::Store { condition: Condition::Absent, .. })
            | (RacyRemove, ChangeRequest::Remove { condition: Condition::Any })
            | (RacyRemoveAtRevision, ChangeRequest::Remove { condition: Condition::Revision(_) })
            | (RacyTouch | TouchRevivesRemoved, ChangeRequest::Touch(_)) => match decision {
                Decision::Conflict | Decision::Corrupt => Change::Conflict(live),
                _ => self.perform_late(defect, key, request.clone(), live).await?,
            },
            (DroppedComesLate, ChangeRequest::Store { .. }) => {
                // The task continues when the caller gives up.
                let (own, key, request) = (self.clone(), key.clone(), request.clone());
                let late = async move {
                    own.pause().await;
                    own.perform(&key, request)
                };
                tokio::spawn(late).await.unwrap()?
            }
            _ => self.perform(key, request.clone())?,
        };
        Ok(self.instead_of_answer(defect, key, &request, answer))
    }

    /// The request that a defect makes of `request`.
    fn rewritten(
        &self,
        defect: Defect,
        key: &Key,
        request: ChangeRequest,
        live: Option<&Record>,
    ) -> ChangeRequest {
        let float = |revision: Revision| u64::from_be_bytes(revision.to_bytes()) as f64;
        let is_at =
            |record: Option<Record>, revision| record.is_some_and(|record| record.revision == revision);
        match request {
            ChangeRequest::Store { mut record, condition } => {
                let ignored = match (defect, condition) {
                    (AbsentReplaces, Condition::Absent) | (StoreIgnoresRevision, Condition::Revision(_)) => {
                        true
                    }
                    (RevisionCreates, Condition::Revision(_)) => live.is_none(),
                    (ComparesAsFloat, Condition::Revision(at)) => {
                        live.is_some_and(|live| float(live.revision) == float(at))
                    }
                    (ComparesStaleCopy, Condition::Revision(at)) => {
                        is_at(self.remember(|memory| memory.one_behind(key)), at)
                    }
                    (ComparesHandleCache, Condition::Revision(at)) => {
                        is_at(self.remember(|memory| memory.cache.get(key).cloned()).flatten(), at)
                    }
                    (StoreRevivesExpired, Condition::Revision(at)) => {
                        is_at(self.inner.stored(key).unwrap_or_default(), at)
                    }
                    _ => false,
                };
                if defect == KeepsOldDeadline
                    && let Some(live) = live
                {
                    record.expires = live.expires;
                }
                store(record, if ignored { Condition::Any } else { condition })
            }
            ChangeRequest::Remove { condition } => match (defect, condition) {
                (RemoveIgnoresAbsent, Condition::Absent)
                | (RemoveIgnoresRevision, Condition::Revision(_)) => REMOVE,
                _ => ChangeRequest::Remove { condition },
            },
            ChangeRequest::Touch(mut touch) => {
                let old = live.and_then(|live| live.expires);
                match defect {
                    TouchIgnoresRevision => touch.from = live.map_or(touch.from, |live| live.revision),
                    TouchKeepsRevision => touch.to = touch.from,
                    TouchDoesNotExtend => touch.deadline = old,
                    TouchOnlyExtends => {
                        touch.deadline = old.zip(touch.deadline).map(|(old, new)| old.max(new))
                    }
                    ZeroMeansNever => touch.deadline = touch.deadline.filter(|at| at.as_millis() != 0),
                    AddsAnHour => touch.deadline = touch.deadline.map(|at| at.saturating_add(HOUR)),
                    _ => {}
                }
                ChangeRequest::Touch(touch)
            }
        }
    }

    /// The answer of a defect that does not ask the driver.
    fn instead_of_deciding(
        &self,
        defect: Defect,
        key: &Key,
        request: &ChangeRequest,
        live: Option<&Record>,
        decision: Decision,
    ) -> Result<Option<Change>> {
        let when = condition_of(request);
        let expired = self.inner.stored(key).unwrap_or_default().filter(|_| live.is_none());
        let conflict = || Some(Change::Conflict(live.cloned()));
        let known = |record| self.remember(|memory| memory.cache.insert(key.clone(), record));
        Ok(match request {
            ChangeRequest::Store { record, .. } => match (defect, when, decision) {
                (LateStoreIgnored, _, Decision::Delete) => Some(Change::Applied),
                (RepeatConflicts, _, Decision::AlreadyApplied) => conflict(),
                (AbsentSeesExpired, Condition::Absent, _) if expired.is_some() => {
                    Some(Change::Conflict(expired))
                }
                (FalseConflict, Condition::Revision(at), Decision::Write) => {
                    let last = self.remember(|memory| memory.last.as_ref().map(|(_, revision)| *revision));
                    if last == Some(at) { None } else { conflict() }
                }
                (LosesCreates, Condition::Absent, _)
                | (LosesUpdates, Condition::Revision(_), Decision::Write) => Some(Change::Applied),
                (RefusesFirstId, Condition::Absent, _) => {
                    let refused = self.remember(|memory| std::mem::replace(&mut memory.refused, true));
                    (!refused).then_some(Change::Conflict(None))
                }
                (SpuriousConflicts, Condition::Revision(_), _) => {
                    if self.remember(|memory| memory.is_odd(key)) { conflict() } else { None }
                }
                (MarkerIsLost, ..) if *record.data == TOMBSTONE => Some(Change::Applied),
                (MarkerRemoves, ..) if *record.data == TOMBSTONE => {
                    Some(self.inner.change(key, ChangeRequest::Remove { condition: when })?)
                }
                _ => None,
            },
            ChangeRequest::Remove { .. } => match (defect, decision) {
                (RemoveKeeps, Decision::Delete) => Some(Change::Applied),
                (RemoveSeesExpired, _) if expired.is_some() => Some(Change::Applied),
                (FullRefusesRemovals, _) if self.remember(|memory| memory.full) => {
                    return Err(full(Operation::Remove));
                }
                (RemovalNotWritten, Decision::Delete) => {
                    known(None);
                    Some(Change::Applied)
                }
                _ => None,
            },
            ChangeRequest::Touch(Touch { from, to, deadline }) => match (defect, decision) {
                (TouchSaysTrue, _) => Some(Change::Applied),
                (TouchRefusesPast, _) if !is_live(*deadline, self.now()) => Some(Change::Conflict(None)),
                (TouchRepeatIsFalse, Decision::AlreadyApplied) => Some(Change::Conflict(None)),
                (TouchCreates, _) if live.is_none() => {
                    Some(self.perform(key, store(Record::new(&b""[..], *deadline, *to), Condition::Any))?)
                }
                (TouchRevivesExpired, _)
                    if expired.as_ref().is_some_and(|record| record.revision == *from) =>
                {
                    Some(self.perform(key, unconditional(request.clone(), expired))?)
                }
                (TouchReverts, _) => {
                    let versions =
                        self.remember(|memory| memory.versions.get(key).cloned().unwrap_or_default());
                    let old = versions.into_iter().find(|record| record.revision == *from);
                    Some(match old {
                        Some(_) => self.inner.change(key, unconditional(request.clone(), old))?,
                        None => Change::Conflict(None),
                    })
                }
                (TouchNotWritten, Decision::Write) => {
                    known(live.map(|live| Record { revision: *to, expires: *deadline, ..live.clone() }));
                    Some(Change::Applied)
                }
                (TouchCutsData, Decision::Write) => {
                    let cut = live.map(|live| live.data.slice(..live.data.len().min(1_000)));
                    let record = Record::new(cut.unwrap_or_default(), *deadline, *to);
                    Some(self.perform(key, store(record, Condition::Any))?)
                }
                _ => None,
            },
        })
    }

    /// Performs a change that was decided before, whatever has happened meanwhile.
    async fn perform_late(
        &self,
        defect: Defect,
        key: &Key,
        request: ChangeRequest,
        live: Option<Record>,
    ) -> Result<Change> {
        if defect == AnswersEarly {
            let (own, key) = (self.clone(), key.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(3)).await;
                own.perform(&key, unconditional(request, live))
            });
            return Ok(Change::Applied);
        }
        self.pause().await;
        match (defect, self.inner.retrieve(key).await?) {
            (TouchRevivesRemoved, Some(_)) => self.perform(key, request),
            (RacyTouch, None) => Ok(Change::Conflict(None)),
            _ => {
                let _ = self.perform(key, unconditional(request, live))?;
                Ok(Change::Applied)
            }
        }
    }

    fn perform(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        let answer = self.inner.change(key, request.clone())?;
        if answer.is_applied() {
            self.remember(|memory| {
                memory.changes += 1;
                let caches = matches!(self.defect, Some(HandleCaches | ComparesHandleCache));
                match request {
                    ChangeRequest::Store { record, .. } => {
                        memory.has_stored(key, &record);
                        if caches {
                            memory.cache.insert(key.clone(), Some(record));
                        } else {
                            memory.cache.remove(key);
                        }
                    }
                    ChangeRequest::Remove { .. } if caches => drop(memory.cache.insert(key.clone(), None)),
                    _ => {}
                }
            });
        }
        Ok(answer)
    }

    /// The answer that a defect makes of `answer`.
    fn instead_of_answer(
        &self,
        defect: Defect,
        key: &Key,
        request: &ChangeRequest,
        answer: Change,
    ) -> Change {
        let when = condition_of(request);
        match (request, defect, answer) {
            (ChangeRequest::Store { .. }, _, Change::Conflict(live)) => match (defect, when) {
                (SwallowsConflicts, Condition::Revision(_)) | (SaysYesToTaken, Condition::Absent) => {
                    Change::Applied
                }
                (HidesConflicts, _) => Change::Conflict(None),
                (StaleConflicts, _) => Change::Conflict(
                    live.map(|live| self.remember(|memory| memory.one_behind(key)).unwrap_or(live)),
                ),
                (ConflictCutsData, _) => {
                    Change::Conflict(live.map(|live| Record { data: Bytes::new(), ..live }))
                }
                _ => Change::Conflict(live),
            },
            (ChangeRequest::Remove { .. }, RemoveAlwaysYes, Change::Conflict(None))
            | (ChangeRequest::Remove { .. }, RemoveSaysYesOnConflict, Change::Conflict(Some(_))) => {
                Change::Applied
            }
            (ChangeRequest::Remove { .. }, RemoveSaysGone, Change::Applied) => Change::Conflict(None),
            (_, _, answer) => answer,
        }
    }
}

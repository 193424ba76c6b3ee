//! The parts of every operation: the entry check, the atomic step, the decision, and the write. Most defects are here.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use session_core::{
    Change, ChangeRequest, Condition, Decision, Found, Key, Operation, Record, Result, Revision, StoreError,
    StoreErrorKind, Timestamp, Touch, decide_remove, decide_store, is_live,
};

use super::log::{Log, Slot, backend, dawdle};
use super::trouble::Trouble;
use super::{Defect, Reference};

/// A change that was decided, with the slot that it replaces.
enum Deed {
    Put(Record, Option<Slot>),
    Remove(Option<Slot>),
    Touch(Record),
}

/// The live record, as an operation sees it.
pub(super) fn live(
    log: &Log,
    key: &Key,
    now: Timestamp,
    defect: Option<Defect>,
    blind: bool,
) -> Option<Slot> {
    let slot = log.index.get(key).copied()?;
    let live = match slot.expires {
        _ if blind => true,
        Some(deadline) if defect == Some(Defect::ExpiresLate) => now <= deadline,
        None if defect == Some(Defect::NoneMeansACentury) => now.as_millis() < 6_000_000_000_000,
        deadline => is_live(deadline, now),
    };
    live.then_some(slot)
}

impl Reference {
    pub(super) fn has(&self, defect: Defect) -> bool {
        self.handle.defect == Some(defect)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.handle.clock.now()
    }

    /// Whether the call may begin. `Some` where a mutant answers although it may not.
    pub(super) fn enter(&self, operation: Operation, key: Option<&Key>) -> Result<Option<Trouble>> {
        if self.handle.closed.load(Ordering::SeqCst) {
            if self.has(Defect::CloseBreaksCalls) {
                return Err(StoreError::new(StoreErrorKind::Backend, operation));
            }
            let error = StoreError::closed(operation);
            return Err(match key {
                Some(key) if self.has(Defect::ErrorShowsKey) => error.with_detail(key.as_str()),
                _ => error,
            });
        }
        if self.has(Defect::FailurePoisons) && self.handle.poisoned.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Backend, operation));
        }
        if self.has(Defect::TiedToThread) {
            let here = std::thread::current().id();
            if *self.handle.thread.lock().unwrap().get_or_insert(here) != here {
                return Err(StoreError::new(StoreErrorKind::Backend, operation));
            }
        }
        self.reach(operation)
    }

    pub(super) fn failed(&self, error: StoreError) -> StoreError {
        self.handle.poisoned.store(true, Ordering::SeqCst);
        error
    }

    /// One atomic step on the log, across tasks and processes.
    pub(super) fn step<T>(&self, work: impl FnOnce(&mut Log) -> Result<T>) -> Result<T> {
        let mut log = self.handle.log.lock().unwrap();
        if self.has(Defect::NoFileLock) {
            log.catch_up()?;
            dawdle();
            return work(&mut log);
        }
        if self.has(Defect::LockFileOfTheDead) {
            let path = self.handle.path.with_extension("lock");
            let mut tries = 0;
            while std::fs::File::create_new(&path).is_err() {
                tries += 1;
                if tries > 300 {
                    return Err(StoreError::new(StoreErrorKind::Backend, Operation::Store));
                }
                dawdle();
            }
            log.catch_up()?;
            dawdle();
            let answer = work(&mut log);
            std::fs::remove_file(path).map_err(backend)?;
            return answer;
        }
        log.file.lock().map_err(backend)?;
        let answer = log.catch_up().and_then(|()| work(&mut log));
        if self.handle.power && !self.has(Defect::PowerDoesNotSync) {
            log.file.sync_data().map_err(backend)?;
        }
        log.file.unlock().map_err(backend)?;
        answer
    }

    /// Some mutants take two steps, with a pause between them.
    pub(super) async fn pause(&self) {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_micros(200)).await;
    }

    pub(super) fn mapped(&self, key: &Key) -> Key {
        let id = match self.handle.defect {
            Some(Defect::PathIds) => key.id().replace(['/', '\\'], "_"),
            Some(Defect::FoldsCase) => key.id().to_lowercase(),
            Some(Defect::CutsKeys) => key.id().chars().take(250).collect(),
            _ => key.id().to_owned(),
        };
        let prefix = if self.has(Defect::IgnoresPrefix) { "session" } else { key.prefix() };
        Key::parse(&format!("{prefix}:{id}")).unwrap()
    }

    pub(super) fn read(&self, key: &Key) -> Result<Option<Record>> {
        let now = self.now();
        self.step(|log| {
            let blind = self.has(Defect::NeedsCleanup);
            if self.has(Defect::StaleRead)
                && self.handle.reads.fetch_add(1, Ordering::Relaxed) % 7 == 6
                && let Some(previous) = log.previous.get(key)
            {
                return Ok(previous.clone());
            }
            match live(log, key, now, self.handle.defect, blind) {
                Some(slot) => log.read(key, slot),
                None => {
                    if self.has(Defect::RetrieveCreates) {
                        let empty = Record::new(&b""[..], None, Revision::from_bytes([0; 8]));
                        log.put(key, &empty)?;
                    }
                    Ok(None)
                }
            }
        })
    }

    fn same(&self, one: Revision, other: Revision) -> bool {
        if self.has(Defect::ComparesAsFloat) {
            let float = |revision: Revision| u64::from_be_bytes(revision.to_bytes()) as f64;
            return float(one) == float(other);
        }
        one == other
    }

    fn decide(
        &self,
        log: &Log,
        key: &Key,
        when: Condition,
        live: Option<Revision>,
        offered: Option<Revision>,
    ) -> Decision {
        if let Condition::Revision(expected) = when {
            if live.is_some_and(|live| self.same(live, expected)) {
                if self.has(Defect::FalseConflict) && log.last_revision != Some(expected) {
                    return Decision::Conflict;
                }
                return Decision::Write;
            }
            if self.has(Defect::ComparesStaleCopy)
                && let Some(Some(previous)) = log.previous.get(key)
                && previous.revision == expected
            {
                return Decision::Write;
            }
            if self.has(Defect::ComparesHandleCache)
                && let Some(Some(cached)) = self.handle.cache.lock().unwrap().get(key)
                && cached.revision == expected
            {
                return Decision::Write;
            }
        }
        let found = live.map_or(Found::Nothing, Found::Live);
        let decision = match offered {
            Some(offered) => decide_store(found, when, offered, true),
            None => decide_remove(found, when),
        };
        match decision {
            Decision::AlreadyApplied if self.has(Defect::RepeatConflicts) => Decision::Conflict,
            decision => decision,
        }
    }

    /// Decides and performs a change, in one step except for some mutants.
    pub(super) async fn change(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        let judge = |log: &mut Log| self.judge(log, key, &request);
        if self.is_racy(&request) {
            let _turn =
                if self.has(Defect::LockPerHandle) { Some(self.handle.turn.lock().await) } else { None };
            let deed = match self.step(judge)? {
                Err(answer) => return Ok(answer),
                Ok(deed) => deed,
            };
            self.pause().await;
            return self.step(|log| match (self.handle.defect, log.index.contains_key(key)) {
                (Some(Defect::TouchRevivesRemoved), true) => self.replace(log, key, &request),
                (Some(Defect::RacyTouch), false) => Ok(Change::Conflict(None)),
                _ => self.perform(log, key, deed),
            });
        }
        match (self.handle.defect, &request) {
            (Some(Defect::AnswersEarly), _) => {
                let deed = match self.step(judge)? {
                    Err(answer) => return Ok(answer),
                    Ok(deed) => deed,
                };
                let (own, key) = (self.clone(), key.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    own.step(|log| own.perform(log, &key, deed))
                });
                Ok(Change::Applied)
            }
            (Some(Defect::DroppedComesLate), ChangeRequest::Store { .. }) => {
                // The task continues when the caller gives up.
                let (own, key) = (self.clone(), key.clone());
                let late = async move {
                    own.pause().await;
                    own.step(|log| own.replace(log, &key, &request))
                };
                tokio::spawn(late).await.unwrap()
            }
            _ => self.step(|log| self.replace(log, key, &request)),
        }
    }

    fn replace(&self, log: &mut Log, key: &Key, request: &ChangeRequest) -> Result<Change> {
        match self.judge(log, key, request)? {
            Ok(deed) => self.perform(log, key, deed),
            Err(answer) => Ok(answer),
        }
    }

    /// Decides a change. `Err` is the answer if nothing is to be written.
    fn judge(
        &self,
        log: &Log,
        key: &Key,
        request: &ChangeRequest,
    ) -> Result<std::result::Result<Deed, Change>> {
        let blind = matches!(
            (self.handle.defect, request),
            (Some(Defect::AbsentSeesExpired), ChangeRequest::Store { condition: Condition::Absent, .. })
                | (
                    Some(Defect::StoreRevivesExpired),
                    ChangeRequest::Store { condition: Condition::Revision(_), .. }
                )
                | (Some(Defect::RemoveSeesExpired), ChangeRequest::Remove { .. })
                | (Some(Defect::TouchRevivesExpired), ChangeRequest::Touch(_))
        );
        let slot = live(log, key, self.now(), self.handle.defect, blind);
        let (when, offered) = match request {
            ChangeRequest::Store { record, condition } => (*condition, Some(record.revision)),
            ChangeRequest::Remove { condition } => (*condition, None),
            ChangeRequest::Touch(touch) => return self.judge_touch(log, key, *touch, slot),
        };
        let when = match (self.handle.defect, offered, when) {
            (Some(Defect::AbsentReplaces), Some(_), Condition::Absent)
            | (Some(Defect::RemoveIgnoresAbsent), None, Condition::Absent)
            | (Some(Defect::StoreIgnoresRevision), Some(_), Condition::Revision(_))
            | (Some(Defect::RemoveIgnoresRevision), None, Condition::Revision(_)) => Condition::Any,
            (Some(Defect::RevisionCreates), Some(_), Condition::Revision(_))
                if !log.index.contains_key(key) =>
            {
                Condition::Any
            }
            _ => when,
        };
        Ok(match self.decide(log, key, when, slot.map(|slot| slot.revision), offered) {
            Decision::Write | Decision::Delete | Decision::AlreadyAbsent => Ok(match request {
                ChangeRequest::Store { record, .. } => Deed::Put(record.clone(), slot),
                _ => Deed::Remove(slot),
            }),
            Decision::AlreadyApplied => Err(Change::Applied),
            Decision::Conflict | Decision::Corrupt => {
                let mut record = slot.map(|slot| log.read(key, slot)).transpose()?.flatten();
                if self.has(Defect::ConflictCutsData)
                    && let Some(record) = &mut record
                {
                    record.data = Bytes::new();
                }
                Err(Change::Conflict(record))
            }
        })
    }

    fn judge_touch(
        &self,
        log: &Log,
        key: &Key,
        touch: Touch,
        slot: Option<Slot>,
    ) -> Result<std::result::Result<Deed, Change>> {
        let Touch { from, to, deadline } = touch;
        let refused = Ok(Err(Change::Conflict(None)));
        let Some(slot) = slot else {
            let creates = self.has(Defect::TouchCreates);
            return if creates { Ok(Ok(Deed::Touch(Record::new(&b""[..], deadline, to)))) } else { refused };
        };
        if slot.revision == to && !self.has(Defect::TouchRepeatIsFalse) {
            return Ok(Err(Change::Applied));
        }
        if slot.revision == to || slot.revision != from && !self.has(Defect::TouchIgnoresRevision) {
            return refused;
        }
        let Some(mut record) = log.read(key, slot)? else { return refused };
        record.revision = to;
        record.expires = match self.handle.defect {
            Some(Defect::TouchDoesNotExtend) => record.expires,
            Some(Defect::TouchOnlyExtends) => record.expires.zip(deadline).map(|(old, new)| old.max(new)),
            Some(Defect::ZeroMeansNever) => deadline.filter(|at| at.as_millis() != 0),
            _ => deadline,
        };
        if self.has(Defect::TouchCutsData) {
            record.data.truncate(1_000);
        }
        Ok(Ok(Deed::Touch(record)))
    }

    fn perform(&self, log: &mut Log, key: &Key, deed: Deed) -> Result<Change> {
        match deed {
            Deed::Put(record, slot) => self.write(log, key, record, slot)?,
            Deed::Remove(Some(_)) if !self.has(Defect::RemoveKeeps) => log.remove(key)?,
            Deed::Remove(_) => {}
            Deed::Touch(record) => log.touch(key, &record)?,
        }
        Ok(Change::Applied)
    }

    /// Writes a record that was decided to be written.
    fn write(&self, log: &mut Log, key: &Key, mut record: Record, slot: Option<Slot>) -> Result<()> {
        if !record.is_live(self.now()) {
            if slot.is_some() && !self.has(Defect::LateStoreIgnored) {
                log.remove(key)?;
            }
            return Ok(());
        }
        if let Some(slot) = slot
            && self.has(Defect::KeepsOldDeadline)
        {
            record.expires = slot.expires;
        }
        if self.room_for(log, key, &record, slot)? { log.put(key, &record) } else { Ok(()) }
    }

    pub(super) fn altered(&self, mut record: Record) -> Record {
        match self.handle.defect {
            Some(Defect::CutsAtNul) => {
                let end = record.data.iter().position(|byte| *byte == 0).unwrap_or(record.data.len());
                record.data.truncate(end);
            }
            Some(Defect::CutsAt64K) => record.data.truncate(65_535),
            Some(Defect::CutsDeadline) => {
                record.expires =
                    record.expires.map(|at| Timestamp::from_millis(at.as_millis() / 1_000 * 1_000));
            }
            Some(Defect::ZeroMeansNever) => record.expires = record.expires.filter(|at| at.as_millis() != 0),
            _ => {}
        }
        record
    }

    pub(super) fn remember(&self, key: &Key, record: Option<&Record>) {
        if matches!(self.handle.defect, Some(Defect::HandleCaches | Defect::ComparesHandleCache)) {
            self.handle.cache.lock().unwrap().insert(key.clone(), record.cloned());
        }
    }

    /// Whether this change is done in two steps, the decision and the deed.
    fn is_racy(&self, request: &ChangeRequest) -> bool {
        use ChangeRequest::{Remove, Store, Touch};
        match self.handle.defect {
            Some(Defect::LockPerHandle) => true,
            Some(Defect::RacyRevision) => matches!(request, Store { condition: Condition::Revision(_), .. }),
            Some(Defect::RacyAbsent) => matches!(request, Store { condition: Condition::Absent, .. }),
            Some(Defect::RacyRemove) => matches!(request, Remove { condition: Condition::Any }),
            Some(Defect::RacyRemoveAtRevision) => {
                matches!(request, Remove { condition: Condition::Revision(_) })
            }
            Some(Defect::RacyTouch | Defect::TouchRevivesRemoved) => matches!(request, Touch(_)),
            _ => false,
        }
    }

    pub(super) async fn store_oddly(&self, key: &Key, record: &Record) -> Result<()> {
        match self.handle.defect {
            Some(Defect::DropLosesRecord) => {
                self.step(|log| log.remove(key))?;
                self.pause().await;
            }
            Some(Defect::TornWrite) => {
                self.step(|log| match log.index.get(key).copied() {
                    Some(slot) => log.put(key, &Record { revision: slot.revision, ..record.clone() }),
                    None => Ok(()),
                })?;
                self.pause().await;
            }
            Some(Defect::EmptyFirst) => {
                self.step(|log| log.put(key, &Record { data: Bytes::new(), ..record.clone() }))?;
                self.pause().await;
            }
            Some(Defect::DropKeepsLock) => {
                let mut tries = 0;
                while self.handle.busy.swap(true, Ordering::SeqCst) {
                    tries += 1;
                    if tries > 100 {
                        return Err(StoreError::new(StoreErrorKind::Timeout, Operation::Store));
                    }
                    self.pause().await;
                }
                self.pause().await;
                self.handle.busy.store(false, Ordering::SeqCst);
            }
            _ => {}
        }
        Ok(())
    }
}

//! The driver.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, ExpiryMode, Key, Operation, Page, Prefix, Purged,
    Record, Result, Revision, Shared, StoreError, StoreErrorKind, Survives, Touch, is_live,
};

use super::log::{Log, backend};
use super::step::live;
use super::trouble::Trouble;
use super::{Defect, listing};

const MAX_VALUE: usize = 4 << 20;

#[derive(Debug)]
pub struct Reference {
    pub(super) handle: Arc<Handle>,
    /// Tells handles apart, for mutants.
    pub(super) id: u64,
}

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) log: Mutex<Log>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) path: PathBuf,
    pub(super) power: bool,
    pub(super) closed: AtomicBool,
    pub(super) defect: Option<Defect>,
    // Only mutants use what follows.
    pub(super) cache: Mutex<HashMap<Key, Option<Record>>>,
    pub(super) turn: tokio::sync::Mutex<()>,
    pub(super) busy: AtomicBool,
    pub(super) poisoned: AtomicBool,
    pub(super) reads: AtomicU64,
    pub(super) lost: AtomicBool,
    pub(super) was_full: AtomicBool,
    pub(super) thread: Mutex<Option<ThreadId>>,
}

static NUMBER: AtomicU64 = AtomicU64::new(1);

impl Reference {
    pub fn open(
        path: &Path,
        clock: Arc<dyn Clock>,
        defect: Option<Defect>,
        power: bool,
    ) -> std::io::Result<Self> {
        let id = (u64::from(std::process::id()) << 32) | NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut path = path.to_owned();
        if defect == Some(Defect::HandleIsCopy) {
            path = copy(&path, id)?;
        }
        if Trouble::Denied.file(&path).exists() {
            return Err(std::io::ErrorKind::PermissionDenied.into());
        }
        let log = Log::open(&path, defect)?;
        let handle = Handle {
            log: Mutex::new(log),
            clock,
            path,
            power,
            closed: AtomicBool::new(false),
            defect,
            cache: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
            busy: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            reads: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            was_full: AtomicBool::new(false),
            thread: Mutex::default(),
        };
        Ok(Self { handle: Arc::new(handle), id })
    }
}

fn copy(path: &Path, id: u64) -> std::io::Result<PathBuf> {
    let copy = path.with_extension(format!("copy-{id}"));
    if path.exists() {
        std::fs::copy(path, &copy)?;
    }
    Ok(copy)
}

impl Clone for Reference {
    fn clone(&self) -> Self {
        if self.has(Defect::CloneIsCopy) {
            let path = copy(&self.handle.path, NUMBER.fetch_add(1, Ordering::Relaxed)).unwrap();
            return Self::open(&path, Arc::clone(&self.handle.clock), self.handle.defect, false).unwrap();
        }
        Self { handle: Arc::clone(&self.handle), id: NUMBER.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Driver for Reference {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        if self.enter(Operation::Retrieve, Some(key))?.is_some() {
            return Ok(None);
        }
        assert!(!self.has(Defect::RetrievePanics), "what a driver must not do");
        let key = self.mapped(key);
        if self.has(Defect::HandleCaches)
            && let Some(cached) = self.handle.cache.lock().unwrap().get(&key)
        {
            return Ok(cached.clone());
        }
        let mut found = self.read(&key)?;
        self.remember(&key, found.as_ref());
        if let Some(record) = &mut found
            && self.has(Defect::LosesRevision)
        {
            record.revision = Revision::from_bytes([0; 8]);
        }
        Ok(found.filter(|record| !(self.has(Defect::EmptyIsAbsent) && record.data.is_empty())))
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        if self.enter(Operation::Store, Some(key))?.is_some() {
            return Ok(Change::Applied);
        }
        let (key, record) = (self.mapped(key), self.altered(record));
        if record.data.len() > MAX_VALUE {
            if self.has(Defect::TooLargeRemoves) {
                self.step(|log| log.remove(&key))?;
            }
            return Err(self.failed(StoreError::new(StoreErrorKind::TooLarge, Operation::Store)));
        }
        let when = match when {
            Condition::Absent if self.has(Defect::AbsentReplaces) => Condition::Any,
            Condition::Revision(_) if self.has(Defect::StoreIgnoresRevision) => Condition::Any,
            Condition::Revision(_) if self.has(Defect::RevisionCreates) => {
                let there = self.step(|log| Ok(log.index.contains_key(&key)))?;
                if there { when } else { Condition::Any }
            }
            when => when,
        };
        self.store_oddly(&key, &record).await?;
        let blind = matches!(
            (self.handle.defect, when),
            (Some(Defect::AbsentSeesExpired), Condition::Absent)
                | (Some(Defect::StoreRevivesExpired), Condition::Revision(_))
        );
        if self.is_racy(when, false) {
            let _turn = match self.has(Defect::LockPerHandle) {
                true => Some(self.handle.turn.lock().await),
                false => None,
            };
            match self.step(|log| self.judge(log, &key, when, Some(record.revision), blind))? {
                Err(answer) => return Ok(answer),
                Ok(slot) => {
                    self.pause().await;
                    self.step(|log| self.write(log, &key, &record, slot))?;
                }
            }
            return Ok(Change::Applied);
        }
        if self.has(Defect::AnswersEarly) {
            if let Err(answer) = self.step(|log| self.judge(log, &key, when, Some(record.revision), blind))? {
                return Ok(answer);
            }
            let own = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(3)).await;
                own.step(|log| log.put(&key, &record))
            });
            return Ok(Change::Applied);
        }
        let answer = if self.has(Defect::DroppedComesLate) {
            // The task continues when the caller gives up.
            let (own, key, record) = (self.clone(), key.clone(), record.clone());
            let late = async move {
                own.pause().await;
                own.replace(&key, &record, when, blind)
            };
            tokio::spawn(late).await.unwrap()?
        } else {
            self.replace(&key, &record, when, blind)?
        };
        if answer.is_applied() {
            self.remember(&key, Some(&record));
        }
        Ok(answer)
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        self.enter(Operation::Remove, Some(key))?;
        self.room_to_remove()?;
        let key = self.mapped(key);
        let when = match when {
            Condition::Absent if self.has(Defect::RemoveIgnoresAbsent) => Condition::Any,
            Condition::Revision(_) if self.has(Defect::RemoveIgnoresRevision) => Condition::Any,
            when => when,
        };
        let blind = self.has(Defect::RemoveSeesExpired);
        let judge = |log: &mut Log| self.judge(log, &key, when, None, blind);
        let _turn = match self.has(Defect::LockPerHandle) {
            true => Some(self.handle.turn.lock().await),
            false => None,
        };
        let answer = if self.is_racy(when, true) {
            match self.step(judge)? {
                Err(answer) => answer,
                Ok(_) => {
                    self.pause().await;
                    self.step(|log| log.remove(&key))?;
                    Change::Applied
                }
            }
        } else if self.has(Defect::AnswersEarly) {
            match self.step(judge)? {
                Err(answer) => answer,
                Ok(_) => {
                    let (own, key) = (self.clone(), key.clone());
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(3)).await;
                        own.step(|log| log.remove(&key))
                    });
                    Change::Applied
                }
            }
        } else {
            self.step(|log| {
                Ok(match judge(log)? {
                    Err(answer) => answer,
                    Ok(slot) => {
                        if slot.is_some() && !self.has(Defect::RemoveKeeps) {
                            log.remove(&key)?;
                        }
                        Change::Applied
                    }
                })
            })?
        };
        if answer.is_applied() {
            self.remember(&key, None);
        }
        match answer {
            Change::Conflict(None) if self.has(Defect::RemoveAlwaysYes) => Ok(Change::Applied),
            answer => Ok(answer),
        }
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.enter(Operation::Traverse, None)?;
        let now = self.now();
        let page = self.step(|log| {
            let lively = |log: &Log, key: &Key| {
                let blind = self.has(Defect::ReportsExpired);
                live(log, key, now, self.handle.defect, blind)
            };
            listing::page(self, log, prefix, &from, limit, lively)
        });
        page.map_err(|error| self.failed(error))
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Touch { from, to, deadline } = touch;
        self.enter(Operation::Touch, Some(key))?;
        let key = self.mapped(key);
        let now = self.now();
        if self.has(Defect::TouchRefusesPast) && !is_live(deadline, now) {
            return Ok(false);
        }
        // The touched record, or the answer.
        let judge = |log: &mut Log| -> Result<Result<Record, bool>> {
            let blind = self.has(Defect::TouchRevivesExpired);
            let Some(slot) = live(log, &key, now, self.handle.defect, blind) else {
                return Ok(if self.has(Defect::TouchCreates) {
                    Ok(Record::new(&b""[..], deadline, to))
                } else {
                    Err(false)
                });
            };
            if slot.revision == to {
                return Ok(Err(!self.has(Defect::TouchRepeatIsFalse)));
            }
            if slot.revision != from && !self.has(Defect::TouchIgnoresRevision) {
                return Ok(Err(false));
            }
            let Some(mut record) = log.read(&key, slot)? else { return Ok(Err(false)) };
            record.expires = match self.handle.defect {
                Some(Defect::TouchDoesNotExtend) => record.expires,
                Some(Defect::TouchOnlyExtends) => match (record.expires, deadline) {
                    (Some(old), Some(new)) => Some(old.max(new)),
                    _ => None,
                },
                Some(Defect::ZeroMeansNever) => deadline.filter(|at| at.as_millis() != 0),
                _ => deadline,
            };
            record.revision = to;
            if self.has(Defect::TouchCutsData) {
                record.data.truncate(1_000);
            }
            Ok(Ok(record))
        };
        let racy = matches!(
            self.handle.defect,
            Some(Defect::RacyTouch | Defect::TouchRevivesRemoved | Defect::LockPerHandle)
        );
        if racy {
            let touched = match self.step(judge)? {
                Err(answer) => return Ok(answer),
                Ok(touched) => touched,
            };
            self.pause().await;
            return self.step(|log| {
                let there = log.index.contains_key(&key);
                match self.handle.defect {
                    Some(Defect::TouchRevivesRemoved) if there => match judge(log)? {
                        Ok(touched) => log.touch(&key, &touched).map(|()| true),
                        Err(answer) => Ok(answer),
                    },
                    Some(Defect::RacyTouch) if !there => Ok(false),
                    _ => log.touch(&key, &touched).map(|()| true),
                }
            });
        }
        if self.has(Defect::AnswersEarly) {
            return match self.step(judge)? {
                Err(answer) => Ok(answer),
                Ok(touched) => {
                    let own = self.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(3)).await;
                        own.step(|log| log.touch(&key, &touched))
                    });
                    Ok(true)
                }
            };
        }
        self.step(|log| match judge(log)? {
            Ok(touched) => log.touch(&key, &touched).map(|()| true),
            Err(answer) => Ok(answer),
        })
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.enter(Operation::Purge, None)?;
        let now = self.now();
        let limit = if self.has(Defect::PurgeIgnoresLimit) { usize::MAX } else { limit };
        let mut purged =
            if matches!(self.handle.defect, Some(Defect::PurgeDoesNotRecheck | Defect::PurgeCountsTwice)) {
                let due = self.step(|log| Ok(listing::due(self, log, now, limit)))?;
                self.pause().await;
                self.step(|log| {
                    for key in &due {
                        let still = log.index.get(key).is_some_and(|slot| !is_live(slot.expires, now));
                        if still || self.has(Defect::PurgeDoesNotRecheck) {
                            log.remove(key)?;
                        }
                    }
                    let more = !listing::due(self, log, now, 1).is_empty();
                    Ok(Purged { removed: due.len() as u64, more })
                })?
            } else {
                self.step(|log| {
                    let due = listing::due(self, log, now, limit);
                    for key in &due {
                        log.remove(key)?;
                        log.first_due.remove(key);
                    }
                    let more = !listing::due(self, log, now, 1).is_empty();
                    Ok(Purged { removed: due.len() as u64, more })
                })?
            };
        if self.has(Defect::PurgeMiscounts) {
            purged.removed = purged.removed.saturating_sub(1);
        }
        purged.more |= self.has(Defect::PurgeNeverEnds);
        Ok(purged)
    }

    async fn flush(&self) -> Result<()> {
        self.enter(Operation::Flush, None)?;
        if self.has(Defect::FlushFails) {
            return Err(StoreError::unsupported(Operation::Flush));
        }
        self.step(|log| log.file.sync_data().map_err(backend))
    }

    async fn close(&self) -> Result<()> {
        if self.handle.closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.flush().await?;
        if self.has(Defect::CloseForgetsLast) {
            self.step(Log::forget_last)?;
        }
        if !self.has(Defect::CloseIsForgotten) {
            self.handle.closed.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
            .conditional(!self.has(Defect::ClaimsNoConditional))
            .survives(if self.handle.power { Survives::PowerLoss } else { Survives::Kill })
            .shared(Shared::Host)
            .expiry(ExpiryMode::Caller)
            .max_record_bytes(Some(MAX_VALUE as u64))
            .exactly_once(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.handle.clock)
    }
}

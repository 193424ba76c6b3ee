//! The driver.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Driver, ExpiryMode, Key, Operation, Page,
    Prefix, Purged, Record, Result, Revision, Shared, StoreError, StoreErrorKind, Survives, Touch, is_live,
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
        assert!(!self.has(Defect::RetrievePanics), "a defect of a driver");
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

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
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
        self.store_oddly(&key, &record).await?;
        let answer = self.change(&key, ChangeRequest::Store { record: record.clone(), condition }).await?;
        if answer.is_applied() {
            self.remember(&key, Some(&record));
        }
        Ok(answer)
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.enter(Operation::Remove, Some(key))?;
        self.room_to_remove()?;
        let key = self.mapped(key);
        let answer = self.change(&key, ChangeRequest::Remove { condition }).await?;
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
        self.enter(Operation::Touch, Some(key))?;
        if self.has(Defect::TouchRefusesPast) && !is_live(touch.deadline, self.now()) {
            return Ok(false);
        }
        Ok(self.change(&self.mapped(key), ChangeRequest::Touch(touch)).await?.is_applied())
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.enter(Operation::Purge, None)?;
        let now = self.now();
        let limit = if self.has(Defect::PurgeIgnoresLimit) { usize::MAX } else { limit };
        let racy = matches!(self.handle.defect, Some(Defect::PurgeDoesNotRecheck | Defect::PurgeCountsTwice));
        let mut due = self.step(|log| Ok(listing::due(self, log, now, limit)))?;
        if racy {
            self.pause().await;
        }
        let mut purged = self.step(|log| {
            if !racy {
                due = listing::due(self, log, now, limit);
            }
            for key in &due {
                let still = log.index.get(key).is_some_and(|slot| !is_live(slot.expires, now));
                if still || !self.has(Defect::PurgeCountsTwice) {
                    log.remove(key)?;
                    log.first_due.remove(key);
                }
            }
            let more = !listing::due(self, log, now, 1).is_empty();
            Ok(Purged { removed: due.len() as u64, more })
        })?;
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

//! The reference driver with one defect. Without a defect it forwards every call.

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_conformance::HarnessResult;
use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Driver, Key, Operation, Page, Prefix,
    Purged, Record, Result, StoreError, StoreErrorKind, Timestamp, Touch,
};

use super::Defect::{self, *};
use super::Reference;
use super::memory::Memory;
use super::recent::STALENESS;

#[derive(Debug)]
pub struct Defective {
    pub(super) inner: Reference,
    pub(super) defect: Defect,
    memory: Arc<Mutex<Memory>>,
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    pub(super) busy: Arc<AtomicBool>,
    /// Tells handles and their clones apart.
    pub(super) id: u64,
    /// The lock of storage that only one handle can open; its clones share it.
    lock: Option<Arc<File>>,
}

static NUMBER: AtomicU64 = AtomicU64::new(1);

fn number() -> u64 {
    (u64::from(std::process::id()) << 32) | NUMBER.fetch_add(1, Ordering::Relaxed)
}

fn copy(path: &Path) -> std::io::Result<PathBuf> {
    let copy = path.with_extension(format!("copy-{}", number()));
    if path.exists() {
        std::fs::copy(path, &copy)?;
    }
    Ok(copy)
}

impl Defective {
    pub fn open(path: &Path, clock: Arc<dyn Clock>, defect: Defect, power: bool) -> HarnessResult<Self> {
        let path = if defect == HandleIsCopy { copy(path)? } else { path.to_owned() };
        let inner = Reference::open(&path, clock, defect, power)?;
        if defect == ReopenLosesDeadline {
            for key in inner.keys()? {
                inner.put(&key, inner.stored(&key)?.map(|record| Record { expires: None, ..record }))?;
            }
        }
        let (memory, turn, busy) = (Arc::default(), Arc::default(), Arc::default());
        Ok(Self { inner, defect, memory, turn, busy, id: number(), lock: None })
    }

    /// The same handle, which holds `lock` until its last clone is dropped.
    pub(super) fn holding(mut self, lock: Option<File>) -> Self {
        self.lock = lock.map(Arc::new);
        self
    }

    pub(super) fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    /// Whether this process is a child of the one that opened the handle.
    fn is_forked(&self) -> bool {
        self.id >> 32 != u64::from(std::process::id())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.inner.clock().now()
    }

    pub(super) fn remember<T>(&self, with: impl FnOnce(&mut Memory) -> T) -> T {
        with(&mut self.memory.lock().unwrap())
    }

    /// Some defects take two steps, with a pause between them.
    pub(super) async fn pause(&self) {
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_micros(200)).await;
    }

    /// Makes a call, unless an earlier one has broken the handle, and notes how it failed.
    async fn call<T>(
        &self,
        operation: Operation,
        key: Option<&Key>,
        make: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let is_short = || std::fs::File::open("/").is_err();
        if self.is(ShortIsMisconfigured) && is_short() {
            return Err(StoreError::new(StoreErrorKind::Misconfigured, operation));
        }
        if self.is(ShortForever) && (self.remember(|memory| memory.failed) || is_short()) {
            self.remember(|memory| memory.failed = true);
            return Err(StoreError::new(StoreErrorKind::Unavailable, operation));
        }
        if self.is(ForkHangs) && self.is_forked() {
            std::future::pending::<()>().await;
        }
        let here = std::thread::current().id();
        let (broken, lost) = self.remember(|memory| match self.defect {
            TiedToThread => (*memory.thread.get_or_insert(here) != here, false),
            FailurePoisons => (memory.failed, false),
            GoneForever | DeniedForever => (memory.away, false),
            GoneLosesAll => (false, memory.away),
            _ => (false, false),
        });
        if broken {
            return Err(StoreError::new(StoreErrorKind::Backend, operation));
        }
        if lost && let Ok(keys) = self.inner.keys() {
            keys.iter().try_for_each(|key| self.inner.put(key, None))?;
        }
        let answer = make.await;
        answer.map_err(|error| {
            let kind = error.kind();
            self.remember(|memory| {
                memory.failed = true;
                memory.away |= matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Misconfigured);
                memory.full |= kind == StoreErrorKind::Full;
            });
            match (self.defect, key) {
                (CloseBreaksCalls, _) if kind == StoreErrorKind::Closed => {
                    StoreError::new(StoreErrorKind::Backend, operation)
                }
                (ErrorShowsKey, Some(key)) => error.with_detail(key.as_str()),
                _ => error,
            }
        })
    }

    /// The key under which a record is stored.
    pub(super) fn mapped(&self, key: &Key) -> Key {
        let id = match self.defect {
            PathIds => key.id().replace(['/', '\\'], "_"),
            FoldsCase => key.id().to_lowercase(),
            CutsKeys => key.id().chars().take(250).collect(),
            _ => key.id().to_owned(),
        };
        let prefix = if self.is(IgnoresPrefix) { "session" } else { key.prefix() };
        Key::parse(&format!("{prefix}:{id}")).unwrap()
    }
}

impl Clone for Defective {
    fn clone(&self) -> Self {
        if self.is(CloneIsCopy) {
            let path = copy(&self.inner.path).unwrap();
            return Self::open(&path, self.inner.clock(), self.defect, false).unwrap();
        }
        Self {
            inner: self.inner.clone(),
            defect: self.defect,
            memory: Arc::clone(&self.memory),
            turn: Arc::clone(&self.turn),
            busy: Arc::clone(&self.busy),
            id: number(),
            lock: self.lock.clone(),
        }
    }
}

impl Driver for Defective {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let key = &self.mapped(key);
        if self.is(RetrieveWaits) {
            tokio::task::yield_now().await;
        }
        self.call(Operation::Retrieve, Some(key), self.read(key)).await
    }

    async fn retrieve_recent(&self, key: &Key) -> Result<Option<Record>> {
        if self.caches_reads() { self.read_recent(key).await } else { self.retrieve(key).await }
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        let own = &self.mapped(key);
        self.forget_recent(key);
        let offered = record.clone();
        let answer = self.call(Operation::Store, Some(own), self.write(own, record, condition)).await?;
        self.forget_recent(key);
        if self.is(RecentKeepsOffered) && answer.is_applied() {
            self.keep_recent(key, offered);
        }
        Ok(answer)
    }

    async fn store_over(&self, key: &Key, record: Record, loaded: &Record) -> Result<Change> {
        let condition = self.condition_over(key, loaded).await?;
        self.store(key, record, condition).await
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        let key = &self.mapped(key);
        self.forget_recent(key);
        let change = self.change(key, ChangeRequest::Remove { condition });
        let answer = self.call(Operation::Remove, Some(key), change).await;
        self.forget_recent(key);
        answer
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let key = &self.mapped(key);
        let change = self.call(Operation::Touch, Some(key), self.change(key, ChangeRequest::Touch(touch)));
        if !self.is(RecentMissesTouch) {
            self.forget_recent(key);
        }
        let answer = change.await?;
        if !self.is(RecentMissesTouch) {
            self.forget_recent(key);
        }
        Ok(answer.is_applied())
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.call(Operation::Traverse, None, self.page(prefix, from, limit)).await
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.call(Operation::Purge, None, self.sweep(limit)).await
    }

    async fn flush(&self) -> Result<()> {
        if self.is(FlushFails) {
            return Err(StoreError::unsupported(Operation::Flush));
        }
        self.call(Operation::Flush, None, self.inner.flush()).await
    }

    async fn close(&self) -> Result<()> {
        let last = self.remember(|memory| memory.last.clone());
        match (self.defect, last) {
            (CloseForgetsLast, Some((key, _))) => self.inner.put(&key, None)?,
            // Keys that this handle has not stored. Not in a young process, so that the parent of P13 does it first.
            (CloseForgetsOthers, _) if self.remember(|memory| memory.changes > 20) => {
                let own = self.remember(|memory| memory.versions.keys().cloned().collect::<Vec<_>>());
                let keys = self.inner.keys()?;
                let mut others = keys.iter().filter(|key| !own.contains(key));
                others.try_for_each(|key| self.inner.put(key, None))?;
            }
            (CloseIsForgotten, _) => return Ok(()),
            (ForkedCloseRemoves, _) if self.is_forked() => {
                self.inner.keys()?.iter().try_for_each(|key| self.inner.put(key, None))?;
            }
            _ => {}
        }
        self.inner.close().await
    }

    fn capabilities(&self) -> Capabilities {
        let claims = self.inner.capabilities();
        match self.defect {
            ClaimsNoConditional => claims.conditional(false),
            _ if self.caches_reads() => claims.staleness(STALENESS),
            _ => claims,
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }
}

//! The driver without a defect: a [`MapDriver`], and a log of its changes that all handles and processes share.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use session_conformance::testing::{MapDriver, condition_of, poll_once};
use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Driver, Key, KnownFile, Operation, Page,
    Prefix, Purged, Record, Result, Shared, StoreError, StoreErrorKind, Survives, Touch, check_record_bytes,
    frame, yield_now,
};

use super::Defect;

pub const MAX_VALUE: u64 = 4 << 20;

/// A file lock makes every operation atomic across tasks, handles and processes. It is not fast.
#[derive(Clone, Debug)]
pub struct Reference {
    map: MapDriver,
    log: Arc<Mutex<Log>>,
    pub path: PathBuf,
    /// Whether every step is synced to the disk, and survival of power loss claimed.
    power: bool,
    /// The few defects that a wrapper cannot have: in the lock, the sync and the writing of a record.
    defect: Defect,
}

/// Each entry is the length of a key as 2 bytes, the length of a frame as 4 bytes, the key, and the frame. An entry
/// without a frame is a removal.
#[derive(Debug)]
struct Log {
    file: File,
    /// Where the next entry begins.
    end: u64,
    /// Where the newest frame of each key is, and how long it is; `None` after a removal.
    frames: BTreeMap<Key, Option<(u64, usize)>>,
    /// The file at its path.
    known: KnownFile,
    /// How many steps were made, for a defect.
    steps: u32,
    /// Whether a step missed the file, for a defect.
    lost: bool,
}

impl Reference {
    pub fn open(path: &Path, clock: Arc<dyn Clock>, defect: Defect, power: bool) -> io::Result<Self> {
        if path.with_extension("denied").exists() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let followed = if defect == Defect::FollowsLinkOnce { path.canonicalize()? } else { path.to_owned() };
        let known = KnownFile::at(&followed).map_err(io::Error::other)?;
        let log = Log { file, end: 0, frames: BTreeMap::new(), known, steps: 0, lost: false };
        let log = Arc::new(Mutex::new(log));
        Ok(Self { map: MapDriver::with_clock(clock), log, path: path.to_owned(), power, defect })
    }

    /// One atomic step, across tasks and processes.
    fn step<T>(&self, operation: Operation, work: impl FnOnce(&mut Log) -> Result<T>) -> Result<T> {
        for (mark, kind) in [("gone", StoreErrorKind::Unavailable), ("denied", StoreErrorKind::Misconfigured)]
        {
            if self.path.with_extension(mark).exists() {
                return Err(StoreError::new(kind, operation));
            }
        }
        let mut log = self.log.lock().unwrap();
        log.lost = log.known.is_gone() || (log.lost && self.defect == Defect::LostFilesForever);
        if log.lost && self.defect != Defect::LostFilesAreUsed {
            return Err(log.known.gone(operation));
        }
        let lock_file = self.path.with_extension("lock");
        match self.defect {
            Defect::NoFileLock => {}
            Defect::LockFileOfTheDead => {
                let free = (0..300).any(|_| File::create_new(&lock_file).inspect_err(|_| dawdle()).is_ok());
                free.then_some(()).ok_or_else(|| StoreError::new(StoreErrorKind::Backend, operation))?;
            }
            _ => log.file.lock().map_err(backend)?,
        }
        log.catch_up(&self.map)?;
        match self.defect {
            Defect::NoFileLock => dawdle(),
            // Long steps, and no rests in a young process: most kills find it with the lock.
            Defect::LockFileOfTheDead => std::thread::sleep(Duration::from_millis(2)),
            _ => {}
        }
        let answer = work(&mut log);
        if self.power && self.defect != Defect::PowerDoesNotSync {
            log.file.sync_data().map_err(backend)?;
        }
        match self.defect {
            Defect::NoFileLock => {}
            Defect::LockFileOfTheDead => {
                std::fs::remove_file(lock_file).map_err(backend)?;
                log.steps += 1;
                if log.steps > 10 {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            _ => log.file.unlock().map_err(backend)?,
        }
        answer
    }

    pub fn change(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        check_record_bytes(request.data_len(), MAX_VALUE)?;
        self.step(request.operation(), |log| {
            if condition_of(&request) != Condition::Any {
                log.check(key, self.defect)?;
            }
            let before = self.map.stored(key);
            let is_touch = matches!(request, ChangeRequest::Touch(_));
            let answer = self.map.change(key, request)?;
            let after = self.map.stored(key);
            if after == before {
                return Ok(answer);
            }
            if let Some(record) = &after
                && !self.has_room(log, key, record)
            {
                self.map.put(key.clone(), before);
                return Err(StoreError::new(StoreErrorKind::Full, Operation::Store));
            }
            let tears = if is_touch { Defect::TouchTearsRecord } else { Defect::TornAppend };
            if let Some(record) = &after
                && self.defect == tears
            {
                let data = record.data.slice(..record.data.len() / 2);
                log.append(&self.map, key, Some(&Record { data, ..record.clone() }))?;
                dawdle();
            }
            log.append(&self.map, key, after.as_ref())?;
            Ok(answer)
        })
    }

    /// Whether `record` fits: the file beside the log holds how many bytes the frames may take.
    fn has_room(&self, log: &Log, key: &Key, record: &Record) -> bool {
        let Ok(room) = std::fs::read_to_string(self.path.with_extension("small")) else { return true };
        let others = log.frames.iter().filter(|(other, _)| *other != key);
        let taken: usize = others.filter_map(|(_, frame)| frame.map(|(_, len)| len)).sum();
        let len = frame::encode(key, record).len();
        let taken = match self.defect {
            // The log is never compacted, but it reuses the room of the first removals.
            Defect::FullReusesLittle => {
                let removed = log.frames.values().filter(|frame| frame.is_none()).count();
                log.end as usize - removed.min(6) * len
            }
            _ => taken,
        };
        taken + len <= room.parse::<usize>().unwrap()
    }

    // What follows is for defects and for the harness.

    /// Every key that was ever stored.
    pub fn keys(&self) -> Result<Vec<Key>> {
        self.step(Operation::Traverse, |log| Ok(log.frames.keys().cloned().collect()))
    }

    /// The record under `key`, also after its deadline.
    pub fn stored(&self, key: &Key) -> Result<Option<Record>> {
        self.step(Operation::Retrieve, |_| Ok(self.map.stored(key)))
    }

    /// Writes or removes a record without any rule.
    pub fn put(&self, key: &Key, record: Option<Record>) -> Result<()> {
        self.step(Operation::Store, |log| log.append(&self.map, key, record.as_ref()))
    }

    /// Fails if the frame of `key` is damaged.
    pub fn check(&self, key: &Key) -> Result<()> {
        self.step(Operation::Retrieve, |log| log.check(key, self.defect))
    }

    /// The key in the frame of `key`, if it is undamaged.
    pub fn owner(&self, key: &Key) -> Result<Option<Key>> {
        self.step(Operation::Retrieve, |log| {
            let Some((at, len)) = log.frames.get(key).copied().flatten() else { return Ok(None) };
            log.owner(at, len)
        })
    }

    /// Where the frame of `key` begins in the file, and how long it is.
    pub fn frame(&self, key: &Key) -> Result<Option<(u64, usize)>> {
        self.step(Operation::Retrieve, |log| Ok(log.frames.get(key).copied().flatten()))
    }
}

impl Log {
    /// Reads the entries that other handles appended. The caller holds the lock, so an incomplete entry at the end comes
    /// from a killed process, and is removed.
    fn catch_up(&mut self, map: &MapDriver) -> Result<()> {
        let length = self.file.metadata().map_err(backend)?.len();
        let mut rest = vec![0; length.saturating_sub(self.end) as usize];
        self.file.read_exact_at(&mut rest, self.end).map_err(backend)?;
        let mut rest = Bytes::from(rest);
        while let Some((key, frame)) = entry(&mut rest) {
            self.end = length - rest.len() as u64;
            map.put(key.clone(), frame::decode(&frame).ok().map(|frame| frame.record));
            let there = (!frame.is_empty()).then(|| (self.end - frame.len() as u64, frame.len()));
            self.frames.insert(key, there);
        }
        if rest.is_empty() { Ok(()) } else { self.file.set_len(self.end).map_err(backend) }
    }

    fn append(&mut self, map: &MapDriver, key: &Key, record: Option<&Record>) -> Result<()> {
        let frame = record.map(|record| frame::encode(key, record)).unwrap_or_default();
        let key = key.as_bytes();
        let lengths = ((key.len() as u16).to_le_bytes(), (frame.len() as u32).to_le_bytes());
        self.file.write_all(&[&lengths.0[..], &lengths.1, key, &frame].concat()).map_err(backend)?;
        self.catch_up(map)
    }

    /// The key in a frame, if it is undamaged.
    fn owner(&self, at: u64, len: usize) -> Result<Option<Key>> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at).map_err(backend)?;
        Ok(frame::decode(&bytes.into()).ok().map(|frame| frame.key))
    }

    /// Fails if the frame of `key` is damaged, or belongs to another key.
    fn check(&self, key: &Key, defect: Defect) -> Result<()> {
        let Some((at, len)) = self.frames.get(key).copied().flatten() else { return Ok(()) };
        match self.owner(at, len)? {
            Some(owner) if owner == *key || defect == Defect::TrustsIndex => Ok(()),
            _ => Err(StoreError::new(StoreErrorKind::Corrupt, Operation::Retrieve)),
        }
    }
}

/// Takes a whole entry off.
fn entry(rest: &mut Bytes) -> Option<(Key, Bytes)> {
    let [a, b, c, d, e, f] = *rest.first_chunk()?;
    let (key, frame) = (u16::from_le_bytes([a, b]) as usize, u32::from_le_bytes([c, d, e, f]) as usize);
    if rest.len() < 6 + key + frame {
        return None;
    }
    rest.advance(6);
    let key = Key::parse(std::str::from_utf8(&rest.split_to(key)).ok()?).ok()?;
    Some((key, rest.split_to(frame)))
}

fn backend(cause: io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Backend, Operation::Store).applied_unknown().with_source(cause)
}

/// Waits, so that a SIGKILL or another process can interfere.
fn dawdle() {
    std::thread::sleep(Duration::from_micros(300));
}

/// The answer of the map, which never waits.
fn now<T>(call: impl Future<Output = T>) -> T {
    poll_once(pin!(call)).unwrap()
}

impl Driver for Reference {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.step(Operation::Retrieve, |log| {
            let found = now(self.map.retrieve(key))?;
            if found.is_some() || self.map.stored(key).is_none() {
                log.check(key, self.defect)?;
            }
            Ok(found)
        })
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.change(key, ChangeRequest::Store { record, condition })
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.change(key, ChangeRequest::Remove { condition })
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        Ok(self.change(key, ChangeRequest::Touch(touch))?.is_applied())
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        if self.defect != Defect::WalkHogs {
            yield_now().await;
        }
        self.step(Operation::Traverse, |_| self.map.page(prefix, &from, limit))
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.step(Operation::Purge, |log| {
            let mut keys: Vec<Key> = log.frames.keys().cloned().collect();
            keys.retain(|key| self.map.stored(key).is_some());
            let purged = now(self.map.purge(limit))?;
            keys.retain(|key| self.map.stored(key).is_none());
            keys.iter().try_for_each(|key| log.append(&self.map, key, None))?;
            Ok(purged)
        })
    }

    async fn flush(&self) -> Result<()> {
        self.step(Operation::Flush, |log| {
            now(self.map.flush())?;
            log.file.sync_data().map_err(backend)
        })
    }

    async fn close(&self) -> Result<()> {
        now(self.map.close())?;
        let log = self.log.lock().unwrap();
        if self.defect == Defect::LostFilesAreUsed { Ok(()) } else { log.known.check(Operation::Close) }
    }

    fn capabilities(&self) -> Capabilities {
        let survives = if self.power { Survives::PowerLoss } else { Survives::Kill };
        self.map.capabilities().survives(survives).shared(Shared::Host).max_record_bytes(Some(MAX_VALUE))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.map.clock()
    }
}

//! The log and its index.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use session_core::{Key, Operation, Record, Result, Revision, StoreError, StoreErrorKind, Timestamp, frame};

use super::Defect;

/// An entry is its kind (1 put, 2 removal), the length of what follows as 4 bytes, and a frame or a key.
const HEAD: usize = 5;
const PUT: u8 = 1;
const REMOVAL: u8 = 2;

/// The position of a key's newest frame, its deadline and its revision.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    at: u64,
    pub len: usize,
    pub expires: Option<Timestamp>,
    pub revision: Revision,
}

/// The log as one handle knows it.
#[derive(Debug)]
pub struct Log {
    pub file: File,
    pub index: BTreeMap<Key, Slot>,
    read_to: u64,
    last_entry: u64,
    opened: bool,
    defect: Option<Defect>,
    // Only mutants look at what follows.
    pub graves: BTreeSet<Key>,
    pub first_due: BTreeMap<Key, Timestamp>,
    pub previous: BTreeMap<Key, Option<Record>>,
    pub last_revision: Option<Revision>,
}

impl Log {
    pub fn open(path: &Path, defect: Option<Defect>) -> std::io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        Ok(Self {
            file,
            index: BTreeMap::new(),
            read_to: 0,
            last_entry: 0,
            opened: false,
            defect,
            graves: BTreeSet::new(),
            first_due: BTreeMap::new(),
            previous: BTreeMap::new(),
            last_revision: None,
        })
    }

    /// Reads the entries that other handles appended. The caller holds the lock, so an incomplete entry at the end comes
    /// from a killed process, and is removed.
    pub fn catch_up(&mut self) -> Result<()> {
        let length = self.file.metadata().map_err(backend)?.len();
        if length > self.read_to {
            let mut tail = vec![0; (length - self.read_to) as usize];
            self.file.read_exact_at(&mut tail, self.read_to).map_err(backend)?;
            let tail = Bytes::from(tail);
            let mut at = 0;
            while let Some(entry) = entry_at(&tail, at) {
                let start = self.read_to + at as u64;
                at += HEAD + entry.len();
                self.note(tail[at - HEAD - entry.len()], &entry, start)?;
                self.last_entry = start;
            }
            self.read_to += at as u64;
            if self.read_to < length {
                self.file.set_len(self.read_to).map_err(backend)?;
            }
        }
        self.opened = true;
        Ok(())
    }

    fn note(&mut self, kind: u8, entry: &Bytes, start: u64) -> Result<()> {
        let damaged = || StoreError::new(StoreErrorKind::Corrupt, Operation::Open);
        if kind == REMOVAL {
            let key = std::str::from_utf8(entry).ok().and_then(|text| Key::parse(text).ok());
            self.forget(&key.ok_or_else(damaged)?);
            return Ok(());
        }
        let header: &[u8; frame::HEADER_LEN] = entry.first_chunk().ok_or_else(damaged)?;
        let (expires, revision) = frame::decode_words(header).map_err(|_| damaged())?;
        let length = usize::from(u16::from_le_bytes([header[6], header[7]]));
        let key = entry.get(frame::HEADER_LEN..frame::HEADER_LEN + length);
        let key = key.and_then(|key| std::str::from_utf8(key).ok()).and_then(|text| Key::parse(text).ok());
        let key = key.ok_or_else(damaged)?;
        let expires = match self.defect {
            Some(Defect::ReopenLosesDeadline) if !self.opened => None,
            _ => expires,
        };
        if let Some(due) = expires {
            self.first_due.entry(key.clone()).or_insert(due);
        }
        self.graves.remove(&key);
        self.last_revision = Some(revision);
        self.index.insert(key, Slot { at: start + HEAD as u64, len: entry.len(), expires, revision });
        Ok(())
    }

    fn forget(&mut self, key: &Key) {
        self.index.remove(key);
        self.graves.insert(key.clone());
    }

    /// The record in `slot`.
    pub fn read(&self, key: &Key, slot: Slot) -> Result<Option<Record>> {
        let mut bytes = vec![0; slot.len];
        self.file.read_exact_at(&mut bytes, slot.at).map_err(backend)?;
        let bytes = Bytes::from(bytes);
        match frame::decode(&bytes) {
            Ok(frame) if frame.key == *key => {
                // The words of the index are those of the frame, but for mutants.
                Ok(Some(Record::new(frame.record.data, slot.expires, slot.revision)))
            }
            _ if self.defect == Some(Defect::DamagedIsAbsent) => Ok(None),
            _ if self.defect == Some(Defect::DamagedIsReturned) => {
                Ok(Some(Record::new(bytes, slot.expires, slot.revision)))
            }
            _ => Err(StoreError::new(StoreErrorKind::Corrupt, Operation::Retrieve)),
        }
    }

    pub fn put(&mut self, key: &Key, record: &Record) -> Result<()> {
        if self.defect == Some(Defect::TornAppend) {
            let half = Record { data: record.data.slice(..record.data.len() / 2), ..record.clone() };
            self.append(PUT, &frame::encode(key, &half))?;
            dawdle();
        }
        if matches!(self.defect, Some(Defect::StaleRead | Defect::ComparesStaleCopy)) {
            let before = self.index.get(key).copied().and_then(|slot| self.read(key, slot).ok().flatten());
            self.previous.insert(key.clone(), before);
        }
        self.append(PUT, &frame::encode(key, record))
    }

    pub fn remove(&mut self, key: &Key) -> Result<()> {
        if self.defect == Some(Defect::RemovalNotWritten) {
            self.forget(key);
            return Ok(());
        }
        if self.defect == Some(Defect::StaleRead) {
            let before = self.index.get(key).copied().and_then(|slot| self.read(key, slot).ok().flatten());
            self.previous.insert(key.clone(), before);
        }
        self.append(REMOVAL, key.as_bytes())
    }

    /// Moves the two words.
    pub fn touch(&mut self, key: &Key, record: &Record) -> Result<()> {
        match self.defect {
            Some(Defect::TouchNotWritten) => {
                if let Some(slot) = self.index.get_mut(key) {
                    (slot.expires, slot.revision) = (record.expires, record.revision);
                }
                Ok(())
            }
            Some(Defect::TouchTearsRecord) => {
                let empty = Record { data: Bytes::new(), ..record.clone() };
                self.append(PUT, &frame::encode(key, &empty))?;
                dawdle();
                self.append(PUT, &frame::encode(key, record))
            }
            _ => self.append(PUT, &frame::encode(key, record)),
        }
    }

    fn append(&mut self, kind: u8, payload: &[u8]) -> Result<()> {
        let mut entry = Vec::with_capacity(HEAD + payload.len());
        entry.push(kind);
        entry.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        entry.extend_from_slice(payload);
        self.file.write_all(&entry).map_err(backend)?;
        self.catch_up()
    }

    /// Loses the last entry, like a careless close.
    pub fn forget_last(&mut self) -> Result<()> {
        self.file.set_len(self.last_entry).map_err(backend)
    }

    /// Where the frame of `key` begins in the file and how long it is, for whoever wants to damage it.
    pub fn frame_of(&self, key: &Key) -> Option<(u64, usize)> {
        self.index.get(key).map(|slot| (slot.at, slot.len))
    }

    /// The total length of all live frames.
    pub fn live_bytes(&self) -> usize {
        self.index.values().map(|slot| slot.len).sum()
    }
}

fn entry_at(tail: &Bytes, at: usize) -> Option<Bytes> {
    let head: &[u8; HEAD] = tail.get(at..)?.first_chunk()?;
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let from = at + HEAD;
    (tail.len() - from >= length).then(|| tail.slice(from..from + length))
}

pub fn backend(cause: std::io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Backend, Operation::Store).applied_unknown().with_source(cause)
}

/// Waits, so that a SIGKILL or another process can interfere.
pub fn dawdle() {
    std::thread::sleep(Duration::from_micros(300));
}

//! Stores, records and events for the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};

use session_core::{
    Clock as _, Condition, Cursor, Driver as _, Key, Prefix, Record, Revision, StoreError, SystemClock,
    TestClock, Touch,
};
use session_store_file::{FileConfig, FileStore};
use sha2::Digest as _;
use tempfile::TempDir;

/// A store in a directory of its own, with a test clock that starts at the present.
pub(crate) struct Site {
    pub(crate) store: FileStore,
    pub(crate) clock: TestClock,
    pub(crate) root: PathBuf,
    pub(crate) directory: TempDir,
}

pub(crate) fn site() -> Site {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let clock = TestClock::new(SystemClock.now());
    Site { store: open(&root, &clock), clock, root, directory }
}

pub(crate) fn config(root: &Path, clock: &TestClock) -> FileConfig {
    FileConfig::new(root).create_directory(true).clock(Arc::new(clock.clone()))
}

pub(crate) fn open(root: &Path, clock: &TestClock) -> FileStore {
    FileStore::open(config(root, clock)).unwrap()
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(&user(), name).unwrap()
}

pub(crate) fn user() -> Prefix {
    Prefix::new("user").unwrap()
}

pub(crate) fn revision(number: u64) -> Revision {
    Revision::from_bytes(number.to_le_bytes())
}

/// A touch that keeps no deadline.
pub(crate) fn touched(from: u64, to: u64) -> Touch {
    Touch { from: revision(from), to: revision(to), deadline: None }
}

/// A record whose bytes show whether it is complete.
pub(crate) fn record(number: u64, len: usize) -> Record {
    let mut data = number.to_le_bytes().to_vec();
    data.resize(len.max(8), number as u8);
    Record::new(data, None, revision(number))
}

pub(crate) fn assert_whole(found: &Record) -> u64 {
    let number = u64::from_le_bytes(*found.data.first_chunk().unwrap());
    assert_eq!(*found, record(number, found.data.len()), "the record is from one store");
    number
}

pub(crate) async fn put(store: &FileStore, name: &str, number: u64) {
    assert!(store.store(&key(name), record(number, 100), Condition::Any).await.unwrap().is_applied());
}

/// All files of the store that hold records.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for shard in fs::read_dir(root).unwrap().map(Result::unwrap) {
        if !shard.file_type().unwrap().is_dir() {
            continue;
        }
        for folder in fs::read_dir(shard.path()).unwrap().map(Result::unwrap) {
            if folder.file_type().unwrap().is_dir() {
                found.extend(fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
    }
    found.sort();
    found
}

/// The file of a key, which must be stored.
pub(crate) fn file_of(root: &Path, name: &str) -> PathBuf {
    let key = key(name);
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.get(64..64 + key.as_bytes().len()) == Some(key.as_bytes())
    };
    files(root).into_iter().find(holds).expect("the record has a file")
}

/// The path of a key's file. Stores and removes a record to find it.
pub(crate) async fn path_of(site: &Site, name: &str) -> PathBuf {
    put(&site.store, name, 1).await;
    let path = file_of(&site.root, name);
    assert!(site.store.remove(&key(name), Condition::Any).await.unwrap().is_applied());
    path
}

pub(crate) async fn keys(store: &FileStore) -> Result<Vec<String>, StoreError> {
    let (mut found, mut from) = (Vec::new(), Cursor::start());
    loop {
        let page = store.traverse(&user(), from, 100).await?;
        found.extend(page.entries.into_iter().map(|entry| entry.key.id().to_owned()));
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    found.sort();
    Ok(found)
}

static EVENTS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Sink;

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        EVENTS.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Collects the events of this process from now on. They come from all running tests.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_writer(|| Sink).with_ansi(false).finish();
        // Global, because worker threads emit events too.
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

pub(crate) fn events() -> String {
    String::from_utf8(EVENTS.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
}

/// The name of a key's shard: the first six bits of the hash of the key, as layout version 1 fixes it.
pub(crate) fn shard_of(name: &str) -> String {
    let hash = sha2::Sha256::digest(key(name).as_bytes());
    format!("{:02x}", hash[0] >> 2)
}

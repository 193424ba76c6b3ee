//! Stores, records and child processes for the tests.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, Once, PoisonError};

use session_core::{
    Clock as _, Condition, Cursor, Driver as _, Key, Prefix, Record, Revision, StoreError, SystemClock,
    TestClock,
};
use session_store_file::{FileConfig, FileStore};
use sha2::Digest as _;
use tempfile::TempDir;

/// A store in a directory of its own, by a clock that begins with the present.
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

/// A record that shows by itself whether it is whole.
pub(crate) fn record(number: u64, len: usize) -> Record {
    let mut data = number.to_le_bytes().to_vec();
    data.resize(len.max(8), number as u8);
    Record::new(data, None, revision(number))
}

pub(crate) fn assert_whole(found: &Record) -> u64 {
    let number = u64::from_le_bytes(*found.data.first_chunk().unwrap());
    assert_eq!(*found, record(number, found.data.len()), "a record of one store");
    number
}

pub(crate) async fn put(store: &FileStore, name: &str, number: u64) {
    assert!(store.store(&key(name), record(number, 100), Condition::Any).await.unwrap().is_applied());
}

/// All files of the store that hold records, by looking.
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

/// Where the record of a key would stand: it is stored once to see.
pub(crate) async fn place_of(site: &Site, name: &str) -> PathBuf {
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

/// How often something is done: in a short form, or in full by `SESSION_KIT_FULL=1`.
pub(crate) fn amount(short: usize, full: usize) -> usize {
    if std::env::var_os("SESSION_KIT_FULL").is_some() { full } else { short }
}

const ROLE: &str = "SESSION_STORE_FILE_TEST_ROLE";
const ARGUMENT: &str = "SESSION_STORE_FILE_TEST_ARGUMENT";

/// The role that a child process was given for the test that it runs, and its argument.
pub(crate) fn role(test: &str) -> Option<String> {
    let given = std::env::var(ROLE).ok()?;
    (given == test).then(|| std::env::var(ARGUMENT).unwrap())
}

/// A child process, which is killed when this is dropped.
pub(crate) struct Spawned {
    pub(crate) child: Child,
    lines: BufReader<ChildStdout>,
}

/// Runs this binary again, under `wrapper` where that is not empty, for one test only.
pub(crate) fn spawn(test: &str, argument: &str, wrapper: &[&str]) -> Spawned {
    let program = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(Into::into).chain([program.into_os_string()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, test).env(ARGUMENT, argument);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    Spawned { child, lines }
}

impl Spawned {
    /// Waits for a line that says `word`; whether it came.
    pub(crate) fn wait_for(&mut self, word: &str) -> bool {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            if line.trim_end().ends_with(word) {
                return true;
            }
            line.clear();
        }
        false
    }

    /// Waits for a line that begins with `word`, and gives what comes after.
    pub(crate) fn rest_after(&mut self, word: &str) -> Option<String> {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            if let Some(rest) = line.trim_end().strip_prefix(word) {
                return Some(rest.to_owned());
            }
            line.clear();
        }
        None
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
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

/// Collects the events of this process from now on. They come from all tests that run, so look for your own words.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_writer(|| Sink).with_ansi(false).finish();
        // Global, for the driver's threads have events too.
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

pub(crate) fn events() -> String {
    String::from_utf8(EVENTS.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
}

/// The name of the shard of a key: the first six bits of the hash of the key, which the layout fixes for ever.
pub(crate) fn shard_of(name: &str) -> String {
    let hash = sha2::Sha256::digest(key(name).as_bytes());
    format!("{:02x}", hash[0] >> 2)
}

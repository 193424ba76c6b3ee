//! The conformance suite over the mmap driver.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use session_conformance::{Harness, Trouble};
use session_core::{Clock, Key};
use session_store_mmap::{Config, Mmap, WhenFull};

/// A file in a directory of the test's own; in a child process only the path of the parent's file.
struct Mapped {
    name: &'static str,
    config: fn(Config) -> Config,
}

struct Storage {
    path: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Harness for Mapped {
    type Driver = Mmap;
    type Storage = Storage;

    fn name(&self) -> String {
        self.name.into()
    }

    async fn make(&self) -> Result<Storage, Trouble> {
        let directory = tempfile::tempdir()?;
        Ok(Storage { path: directory.path().join("sessions.map"), _directory: Some(directory) })
    }

    async fn open(&self, storage: &Storage, clock: Arc<dyn Clock>) -> Result<Mmap, Trouble> {
        Ok(Mmap::open((self.config)(Config::new(&storage.path)).clock(clock))?)
    }

    /// Bends the last byte of the record: the one place in the file where the key stands is 128 bytes behind its start,
    /// and the data follows the key, at a multiple of eight.
    async fn damage(&self, storage: &Storage, key: &Key) -> Result<(), Trouble> {
        let bytes = std::fs::read(&storage.path)?;
        let key = key.as_bytes();
        let mut places = bytes.windows(key.len()).enumerate().filter(|(_, window)| *window == key);
        let at = match (places.next(), places.next()) {
            (Some((at, _)), None) => at,
            _ => return Err(Trouble::new("the key does not stand in the file exactly once")),
        };
        let data = at + key.len().next_multiple_of(8);
        let file = std::fs::File::options().write(true).open(&storage.path)?;
        file.write_all_at(&[!bytes[data]], data as u64)?;
        Ok(())
    }

    fn address(&self, storage: &Storage) -> Option<String> {
        storage.path.to_str().map(str::to_owned)
    }

    fn attach(&self, address: &str) -> Result<Storage, Trouble> {
        Ok(Storage { path: Path::new(address).to_owned(), _directory: None })
    }
}

session_conformance::suite!(
    Mapped { name: "mmap", config: |config| config },
    lacks: { PowerLoss: "the durability is `Process`: a mapped file is not synchronised before the answer" },
);

/// A file of one shard and small extents: every clause meets growing tables, compaction and large records.
mod small {
    use super::{Mapped, WhenFull};

    session_conformance::suite!(
        Mapped {
            name: "mmap-small",
            config: |config| {
                config
                    .max_bytes(16 << 20)
                    .extent_bytes(4096)
                    .shards(1)
                    .max_value(4 << 20)
                    .when_full(WhenFull::Evict)
            },
        },
        lacks: { PowerLoss: "the durability is `Process`: a mapped file is not synchronised before the answer" },
    );
}

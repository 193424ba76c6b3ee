//! LMDB through heed, with the cheapest flags: no `fsync`, a writable map. A value begins with its revision.

use std::error::Error;
use std::hint::black_box;

use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions};
use session_bench_work::{Args, Change, Runner, Sample, Store, answer, stamp};

use crate::key;

/// Measures or fills the store.
pub fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let mut options = EnvOpenOptions::new();
    options.map_size(1 << 30);
    // SAFETY: the map is written by LMDB alone, in a directory of this run. Without `fsync` power
    // loss may damage it, and no later run uses it.
    let env = unsafe { options.flags(EnvFlags::NO_SYNC | EnvFlags::WRITE_MAP).open(&args.dir)? };
    let mut txn = env.write_txn()?;
    let database = env.create_database(&mut txn, None)?;
    txn.commit()?;
    answer(&Runner::new(args)?, args, &Lmdb { env, database })
}

#[derive(Clone)]
struct Lmdb {
    env: Env,
    database: Database<Bytes, Bytes>,
}

impl Lmdb {
    /// A copy of the value, because it outlives the transaction.
    fn read(&self, key: &[u8]) -> heed::Result<Option<bytes::Bytes>> {
        let txn = self.env.read_txn()?;
        Ok(self.database.get(&txn, key)?.map(bytes::Bytes::copy_from_slice))
    }

    fn write(&self, key: &[u8], expected: Option<u64>, value: &str) -> heed::Result<bool> {
        let mut txn = self.env.write_txn()?;
        if self.database.get(&txn, key)?.and_then(stamp) != expected {
            return Ok(false);
        }
        self.database.put(&mut txn, key, value.as_bytes())?;
        txn.commit()?;
        Ok(true)
    }
}

impl Store for Lmdb {
    type Key = Box<[u8]>;

    const BEFORE_YIELD: u64 = 64;

    fn key(&self, record: usize) -> Box<[u8]> {
        key(record)
    }

    async fn retrieve(&mut self, key: &Box<[u8]>) -> bool {
        black_box(self.read(key)).is_ok_and(|value| value.is_some())
    }

    async fn store(&mut self, key: &Box<[u8]>, change: Change<'_>) -> bool {
        self.write(key, Some(change.from), change.value).unwrap_or(false)
    }

    async fn create(&mut self, key: &Box<[u8]>, change: Change<'_>) -> bool {
        self.write(key, None, change.value).unwrap_or(false)
    }

    async fn revision(&mut self, key: &Box<[u8]>) -> Option<u64> {
        self.read(key).ok()?.and_then(|value| stamp(&value))
    }
}

//! dashmap with ahash: 16 random bytes to `Bytes`. A value begins with its revision.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use session_bench_work::{Args, Change, Random, Runner, Sample, Store, Work, answer, fill, stamp, with_heap};

/// Measures.
pub fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    let (map, bytes) = with_heap(args, || {
        let map = Map(Arc::default());
        fill(&runner, &map, 0..args.records, args.size)?;
        Ok(map)
    })?;
    match args.work {
        Work::Heap => Ok(Sample::new().with("bytes", bytes)),
        _ => answer(&runner, args, &map),
    }
}

#[derive(Clone)]
struct Map(Arc<DashMap<[u8; 16], Bytes, ahash::RandomState>>);

impl Store for Map {
    type Key = [u8; 16];

    const BEFORE_YIELD: u64 = 64;

    fn key(&self, record: usize) -> [u8; 16] {
        Random::new(record as u64).bytes()
    }

    async fn retrieve(&mut self, key: &[u8; 16]) -> bool {
        let found = self.0.get(key).map(|value| value.value().clone());
        black_box(found).is_some()
    }

    async fn store(&mut self, key: &[u8; 16], change: Change<'_>) -> bool {
        let value = Bytes::copy_from_slice(change.value.as_bytes());
        match self.0.get_mut(key) {
            Some(mut there) if stamp(&there) == Some(change.from) => {
                *there = value;
                true
            }
            _ => false,
        }
    }

    async fn create(&mut self, key: &[u8; 16], change: Change<'_>) -> bool {
        let value = Bytes::copy_from_slice(change.value.as_bytes());
        match self.0.entry(*key) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(value);
                true
            }
        }
    }

    async fn remove(&mut self, key: &[u8; 16], _: u64) -> bool {
        self.0.remove(key).is_some()
    }

    async fn revision(&mut self, key: &[u8; 16]) -> Option<u64> {
        self.0.get(key).and_then(|value| stamp(&value))
    }
}

//! dashmap with ahash: 16 random bytes to `Bytes`. A value begins with its revision.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use session_bench_work::{
    Args, Operation, Payload, Random, Runner, Sample, Work, live_bytes, own, start_counting,
};

type Map = DashMap<[u8; 16], Bytes, ahash::RandomState>;

/// Measures.
pub fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    if args.work == Work::Heap {
        return Ok(heap(args));
    }
    let runner = Runner::new(args)?;
    let map = Arc::new(Map::default());
    fill(&map, args);
    let keys: Arc<[[u8; 16]]> = (0..args.records).map(key).collect();
    let make = |task| {
        let spare = (0..1_024).map(|n| key(args.records + task * 1_024 + n)).collect();
        let (map, keys) = (Arc::clone(&map), Arc::clone(&keys));
        Task {
            map,
            keys,
            spare,
            payload: Payload::new(args.size),
            revisions: vec![0; args.records],
            task,
            tasks: args.tasks,
        }
    };
    match args.work {
        Work::Retrieve => Ok(runner.measure(|task| Retrieve(make(task)))),
        Work::Store => Ok(runner.measure(|task| Store(make(task)))),
        Work::CreateRemove => Ok(runner.measure(|task| CreateRemove(make(task)))),
        _ => Err("not the work of a map".into()),
    }
}

struct Task {
    map: Arc<Map>,
    keys: Arc<[[u8; 16]]>,
    spare: Vec<[u8; 16]>,
    payload: Payload,
    revisions: Vec<u64>,
    task: usize,
    tasks: usize,
}

struct Retrieve(Task);

impl Operation for Retrieve {
    const BEFORE_YIELD: u64 = 64;

    async fn once(&mut self, record: usize, _: u64) -> bool {
        let found = self.0.map.get(&self.0.keys[record]).map(|value| value.value().clone());
        std::hint::black_box(found).is_some()
    }
}

struct Store(Task);

impl Operation for Store {
    const BEFORE_YIELD: u64 = 64;

    async fn once(&mut self, record: usize, turn: u64) -> bool {
        let task = &mut self.0;
        let record = own(record, task.task, task.tasks, task.keys.len());
        let value = Bytes::copy_from_slice(task.payload.stamped(turn).as_bytes());
        let expected = task.revisions[record];
        task.revisions[record] = turn;
        match task.map.get_mut(&task.keys[record]) {
            Some(mut there) if revision(&there) == expected => {
                *there = value;
                true
            }
            _ => false,
        }
    }
}

struct CreateRemove(Task);

impl Operation for CreateRemove {
    const BEFORE_YIELD: u64 = 64;

    async fn once(&mut self, _: usize, turn: u64) -> bool {
        let task = &mut self.0;
        let value = Bytes::copy_from_slice(task.payload.stamped(turn).as_bytes());
        let key = task.spare[turn as usize % task.spare.len()];
        match task.map.entry(key) {
            Entry::Occupied(_) => return false,
            Entry::Vacant(vacant) => drop(vacant.insert(value)),
        }
        task.map.remove(&key).is_some()
    }
}

fn heap(args: &Args) -> Sample {
    start_counting();
    let before = live_bytes();
    let map = Map::default();
    fill(&map, args);
    let bytes = (live_bytes() - before) as f64 / args.records as f64;
    assert_eq!(map.len(), args.records);
    Sample::new().with("bytes", bytes)
}

fn fill(map: &Map, args: &Args) {
    let mut payload = Payload::new(args.size);
    for record in 0..args.records {
        map.insert(key(record), Bytes::copy_from_slice(payload.stamped(0).as_bytes()));
    }
}

fn key(record: usize) -> [u8; 16] {
    Random::new(record as u64).bytes()
}

/// The payload's stamp is 16 hexadecimal digits.
fn revision(value: &Bytes) -> u64 {
    value[..16]
        .iter()
        .fold(0, |sum, digit| sum << 4 | u64::from(char::from(*digit).to_digit(16).unwrap_or(0)))
}

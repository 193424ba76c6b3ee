//! dashmap with ahash: 16 random bytes to `Bytes`. A value begins with its revision.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use session_bench_work::{
    Args, Operation, Payload, Random, Runner, Sample, Turn, Work, live_bytes, start_counting,
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
    let make = |turn: Turn| Task {
        map: Arc::clone(&map),
        keys: turn.list.iter().map(|record| key(*record)).collect(),
        spare: (0..SPARE).map(|n| key(args.records + turn.task * SPARE + n)).collect(),
        payload: Payload::new(args.size),
        revisions: vec![0; args.records],
        turn,
    };
    match args.work {
        Work::Retrieve => Ok(runner.measure(|turn| Retrieve(make(turn)))),
        Work::Store => Ok(runner.measure(|turn| Store(make(turn.own())))),
        Work::CreateRemove => Ok(runner.measure(|turn| CreateRemove(make(turn)))),
        _ => Err("not the work of a map".into()),
    }
}

struct Task {
    map: Arc<Map>,
    keys: Vec<[u8; 16]>,
    spare: Vec<[u8; 16]>,
    payload: Payload,
    revisions: Vec<u64>,
    turn: Turn,
}

/// How many new keys each task creates and removes in turn.
const SPARE: usize = 1_024;

struct Retrieve(Task);

impl Operation for Retrieve {
    const BEFORE_YIELD: u64 = 64;

    async fn once(&mut self, place: usize, _: u64) -> bool {
        let found = self.0.map.get(&self.0.keys[place]).map(|value| value.value().clone());
        std::hint::black_box(found).is_some()
    }
}

struct Store(Task);

impl Operation for Store {
    const BEFORE_YIELD: u64 = 64;

    async fn once(&mut self, place: usize, turn: u64) -> bool {
        let task = &mut self.0;
        let record = task.turn.list[place];
        let value = Bytes::copy_from_slice(task.payload.stamped(turn).as_bytes());
        let expected = task.revisions[record];
        task.revisions[record] = turn;
        match task.map.get_mut(&task.keys[place]) {
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
        let key = task.spare[turn as usize % SPARE];
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

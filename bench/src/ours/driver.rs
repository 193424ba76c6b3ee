//! The work of a driver, over any driver.

use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use session_bench_work::{Args, Operation, Payload, Runner, Sample, Turn, Work, text_id};
use session_core::{Condition, Driver, Key, Prefix, Record, Revision, Timestamp};

/// How many new keys each task creates and removes in turn.
const SPARE: usize = 1_024;

/// The key of record `record`, as long as that of a session.
pub(crate) fn key(record: usize) -> Result<Key, session_core::Error> {
    Key::new(&Prefix::SESSION, &text_id(record))
}

/// Record `record` as it is stored beforehand.
pub(crate) fn record(payload: &mut Payload, record: usize) -> Record {
    let data = Bytes::copy_from_slice(payload.stamped(record as u64).as_bytes());
    Record::new(data, Some(deadline(record as u64)), revision(0))
}

/// Measures `work` on `store`, which holds the records already. `YIELD` is how many operations a task does in a row.
pub(crate) fn measure<D: Driver + Clone, const YIELD: u64>(
    runner: &Runner,
    args: &Args,
    store: &D,
) -> Result<Sample, Box<dyn Error>> {
    let revisions = match args.work {
        Work::Store | Work::Touch => runner.block_on(revisions(store, args))?,
        _ => Vec::new(),
    };
    let all: Vec<Key> = (0..args.records + args.tasks * SPARE).map(key).collect::<Result<_, _>>()?;
    let (all, spare) = all.split_at(args.records);
    let make = |turn: Turn| Task::<D, YIELD> {
        store: store.clone(),
        keys: turn.list.iter().map(|record| all[*record].clone()).collect(),
        spare: spare[turn.task * SPARE..][..SPARE].to_vec(),
        revisions: revisions.clone(),
        payload: Payload::new(args.size),
        turn,
    };
    match args.work {
        Work::Retrieve => Ok(runner.measure(|turn| Retrieve(make(turn)))),
        Work::Store => Ok(runner.measure(|turn| Store(make(turn.own())))),
        Work::Touch => Ok(runner.measure(|turn| Touch(make(turn.own())))),
        Work::CreateRemove => Ok(runner.measure(|turn| CreateRemove(make(turn)))),
        _ => Err("not the work of a driver".into()),
    }
}

struct Task<D, const YIELD: u64> {
    store: D,
    keys: Vec<Key>,
    spare: Vec<Key>,
    revisions: Vec<u64>,
    payload: Payload,
    turn: Turn,
}

impl<D, const YIELD: u64> Task<D, YIELD> {
    /// The revision that the record at `place` has, and the one that it gets.
    fn next(&mut self, place: usize) -> (Revision, u64) {
        let from = &mut self.revisions[self.turn.list[place]];
        *from += 1;
        (revision(*from - 1), *from)
    }

    fn changed(&mut self, turn: u64) -> Record {
        let data = Bytes::copy_from_slice(self.payload.stamped(turn).as_bytes());
        Record::new(data, Some(deadline(turn)), revision(turn))
    }
}

struct Retrieve<D, const YIELD: u64>(Task<D, YIELD>);

impl<D: Driver, const YIELD: u64> Operation for Retrieve<D, YIELD> {
    const BEFORE_YIELD: u64 = YIELD;

    async fn once(&mut self, place: usize, _: u64) -> bool {
        let found = self.0.store.retrieve(&self.0.keys[place]).await;
        black_box(found).is_ok_and(|record| record.is_some())
    }
}

struct Store<D, const YIELD: u64>(Task<D, YIELD>);

impl<D: Driver, const YIELD: u64> Operation for Store<D, YIELD> {
    const BEFORE_YIELD: u64 = YIELD;

    async fn once(&mut self, place: usize, _: u64) -> bool {
        let (from, to) = self.0.next(place);
        let changed = self.0.changed(to);
        let answer = self.0.store.store(&self.0.keys[place], changed, Condition::Revision(from)).await;
        answer.is_ok_and(|stored| stored.is_yes())
    }
}

struct Touch<D, const YIELD: u64>(Task<D, YIELD>);

impl<D: Driver, const YIELD: u64> Operation for Touch<D, YIELD> {
    const BEFORE_YIELD: u64 = YIELD;

    async fn once(&mut self, place: usize, _: u64) -> bool {
        let (from, to) = self.0.next(place);
        let deadline = Some(deadline(to));
        self.0.store.touch(&self.0.keys[place], from, revision(to), deadline).await.unwrap_or(false)
    }
}

struct CreateRemove<D, const YIELD: u64>(Task<D, YIELD>);

impl<D: Driver, const YIELD: u64> Operation for CreateRemove<D, YIELD> {
    const BEFORE_YIELD: u64 = YIELD;

    async fn once(&mut self, _: usize, turn: u64) -> bool {
        let new = self.0.changed(turn);
        let revision = Condition::Revision(new.revision);
        let Task { store, spare, .. } = &self.0;
        let key = &spare[turn as usize % SPARE];
        store.store(key, new, Condition::Absent).await.is_ok_and(|stored| stored.is_yes())
            && store.remove(key, revision).await.is_ok_and(|stored| stored.is_yes())
    }
}

/// What an earlier run left.
async fn revisions<D: Driver>(store: &D, args: &Args) -> Result<Vec<u64>, Box<dyn Error>> {
    let mut revisions = Vec::with_capacity(args.records);
    for number in 0..args.records {
        let record = store.retrieve(&key(number)?).await?.ok_or("a record is missing")?;
        revisions.push(u64::from_be_bytes(record.revision.to_bytes()));
    }
    Ok(revisions)
}

fn revision(number: u64) -> Revision {
    Revision::from_bytes(number.to_be_bytes())
}

/// A deadline far away, which each change moves a little, as a session's does.
fn deadline(turn: u64) -> Timestamp {
    Timestamp::from_millis(4_000_000_000_000).saturating_add(Duration::from_millis(turn))
}

//! The store of a subject, and the work on it.

use std::collections::HashMap;
use std::error::Error;
use std::future::{Future, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::args::{Args, Work};
use crate::payload::Payload;
use crate::run::{Operation, Runner, Turn, stopwatch};
use crate::sample::Sample;

/// The number of new keys that each task creates and removes in turn.
const SPARE: usize = 1_024;
/// The time limit of filling a million records, and of filling more.
const FILLING: [Duration; 2] = [Duration::from_secs(150), Duration::from_secs(600)];

/// A write to a store.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The record's revision, for subjects that know revisions.
    pub from: u64,
    /// The record's new revision, never used before.
    pub to: u64,
    /// The value; its first 16 characters contain `to`, see [`stamp`](crate::stamp).
    pub value: &'a str,
}

/// A store. Each task has a clone; clones share the store.
///
/// `false` means that the operation failed, so that the figure is discarded.
pub trait Store: Clone + Send + 'static {
    /// A key in the form that a request has.
    type Key: Clone + Send + Sync + 'static;

    /// How many operations a task runs before it yields: see [`Operation::BEFORE_YIELD`].
    const BEFORE_YIELD: u64 = 1;
    /// How many tasks fill the store; one, if writers block each other.
    const FILLERS: usize = 64;

    /// The key of a record.
    fn key(&self, record: usize) -> Self::Key;

    /// Reads a record.
    fn retrieve(&mut self, key: &Self::Key) -> impl Future<Output = bool> + Send;

    /// Replaces a record, on condition of its revision if the subject knows conditions.
    fn store(&mut self, key: &Self::Key, change: Change<'_>) -> impl Future<Output = bool> + Send;

    /// Creates a record.
    fn create(&mut self, key: &Self::Key, change: Change<'_>) -> impl Future<Output = bool> + Send;

    /// The revision that an earlier run left. A subject without revisions counts from a number that no other run uses, so
    /// that each value is new.
    fn revision(&mut self, key: &Self::Key) -> impl Future<Output = Option<u64>> + Send {
        let _ = key;
        ready(Some(u64::from(std::process::id()) << 40))
    }

    /// Moves the deadline of a record.
    fn touch(&mut self, key: &Self::Key, from: u64, to: u64) -> impl Future<Output = bool> + Send {
        let _ = (key, from, to);
        ready(false)
    }

    /// Removes a record on condition of its revision.
    fn remove(&mut self, key: &Self::Key, revision: u64) -> impl Future<Output = bool> + Send {
        let _ = (key, revision);
        ready(false)
    }
}

/// Fills the store if that is the work; otherwise measures the filled store.
///
/// # Errors
/// The work is not for stores, or a record is missing.
pub fn answer<S: Store>(runner: &Runner, args: &Args, store: &S) -> Result<Sample, Box<dyn Error>> {
    // Each key exists once, so that popular keys are in the cache, like a key that was just computed.
    let mut made = HashMap::new();
    let mut keys = |turn: &Turn| {
        let key = |record: &usize| made.entry(*record).or_insert_with(|| store.key(*record)).clone();
        turn.list.iter().map(key).collect()
    };
    let spare = |turn: &Turn| {
        let first = args.records + turn.task * SPARE;
        (first..first + SPARE).map(|record| store.key(record)).collect()
    };
    match args.work {
        Work::Prepare => {
            let filled = fill(runner, store, 0..args.records, args.size)?;
            #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
            Ok(Sample::new().with("records", filled as f64))
        }
        Work::Retrieve => Ok(runner.measure(|turn| Retrieve { store: store.clone(), keys: keys(&turn) })),
        Work::CreateRemove => Ok(runner.measure(|turn| CreateRemove {
            store: store.clone(),
            spare: spare(&turn),
            payload: Payload::new(args.size),
        })),
        Work::Store => changing::<S, false>(runner, args, store, keys),
        Work::Touch => changing::<S, true>(runner, args, store, keys),
        _ => Err("not the work of a store".into()),
    }
}

fn changing<S: Store, const TOUCHES: bool>(
    runner: &Runner,
    args: &Args,
    store: &S,
    mut keys: impl FnMut(&Turn) -> Vec<S::Key>,
) -> Result<Sample, Box<dyn Error>> {
    let turns: Vec<Turn> = runner.turns().into_iter().map(Turn::own).collect();
    let known = revisions(runner, store, &turns)?;
    let make = |(turn, revisions)| Changing::<S, TOUCHES> {
        store: store.clone(),
        keys: keys(turn),
        revisions,
        payload: Payload::new(args.size),
    };
    Ok(runner.run(turns.iter().zip(known).map(make).collect()))
}

/// Creates these records in order, with [`Store::FILLERS`] tasks. Returns how many were created within the time limit.
///
/// # Errors
/// A record cannot be created.
pub fn fill<S: Store>(
    runner: &Runner,
    store: &S,
    records: std::ops::Range<usize>,
    size: usize,
) -> Result<usize, Box<dyn Error>> {
    let limit = FILLING[usize::from(records.end > 1_000_000)];
    let next = Arc::new(AtomicUsize::new(records.start));
    let start = stopwatch();
    let filler = |_| {
        let (mut store, next, end) = (store.clone(), Arc::clone(&next), records.end);
        async move {
            let (mut payload, mut done) = (Payload::new(size), 0);
            while start.elapsed() < limit {
                let record = next.fetch_add(1, Relaxed);
                if record >= end {
                    break;
                }
                let change = Change { from: 0, to: 0, value: payload.stamped(0) };
                if !store.create(&store.key(record), change).await {
                    return Err(format!("record {record} could not be created"));
                }
                done += 1;
                tokio::task::yield_now().await;
            }
            Ok(done)
        }
    };
    Ok(runner
        .all((0..S::FILLERS).map(filler))?
        .into_iter()
        .collect::<Result<Vec<usize>, _>>()?
        .into_iter()
        .sum())
}

struct Retrieve<S: Store> {
    store: S,
    keys: Vec<S::Key>,
}

impl<S: Store> Operation for Retrieve<S> {
    const BEFORE_YIELD: u64 = S::BEFORE_YIELD;

    async fn once(&mut self, place: usize, _: u64) -> bool {
        self.store.retrieve(&self.keys[place]).await
    }
}

struct CreateRemove<S: Store> {
    store: S,
    spare: Vec<S::Key>,
    payload: Payload,
}

impl<S: Store> Operation for CreateRemove<S> {
    const BEFORE_YIELD: u64 = S::BEFORE_YIELD;

    async fn once(&mut self, _: usize, turn: u64) -> bool {
        let key = &self.spare[turn as usize % SPARE];
        let change = Change { from: 0, to: turn, value: self.payload.stamped(turn) };
        self.store.create(key, change).await && self.store.remove(key, turn).await
    }
}

/// Replaces records, or only moves their deadlines.
struct Changing<S: Store, const TOUCHES: bool> {
    store: S,
    keys: Vec<S::Key>,
    revisions: Revisions,
    payload: Payload,
}

impl<S: Store, const TOUCHES: bool> Operation for Changing<S, TOUCHES> {
    const BEFORE_YIELD: u64 = S::BEFORE_YIELD;

    async fn once(&mut self, place: usize, _: u64) -> bool {
        let (from, to) = self.revisions.next(place);
        if TOUCHES {
            return self.store.touch(&self.keys[place], from, to).await;
        }
        let change = Change { from, to, value: self.payload.stamped(to) };
        self.store.store(&self.keys[place], change).await
    }
}

/// The revisions of the records of one task.
#[derive(Debug, Default)]
struct Revisions {
    /// The index of the record for each entry of the list.
    slots: Vec<usize>,
    known: Vec<u64>,
}

impl Revisions {
    /// The current and the next revision of the record at `place`.
    fn next(&mut self, place: usize) -> (u64, u64) {
        let known = &mut self.known[self.slots[place]];
        *known += 1;
        (*known - 1, *known)
    }
}

/// The revisions that earlier runs left, for each task.
fn revisions<S: Store>(runner: &Runner, store: &S, turns: &[Turn]) -> Result<Vec<Revisions>, Box<dyn Error>> {
    let read = |turn: &Turn| {
        let (mut store, list) = (store.clone(), turn.list.clone());
        async move {
            let mut found = Revisions::default();
            let mut seen = HashMap::new();
            for record in list {
                let slot = match seen.get(&record) {
                    Some(slot) => *slot,
                    None => {
                        found
                            .known
                            .push(store.revision(&store.key(record)).await.ok_or("a record is missing")?);
                        seen.insert(record, found.known.len() - 1);
                        found.known.len() - 1
                    }
                };
                found.slots.push(slot);
            }
            Ok::<_, &str>(found)
        }
    };
    Ok(runner.all(turns.iter().map(read))?.into_iter().collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::payload::stamp;

    /// Rejects writes that do not match the stored record.
    #[derive(Clone, Default)]
    struct Strict(Arc<Mutex<HashMap<usize, u64>>>);

    impl Store for Strict {
        type Key = usize;

        fn key(&self, record: usize) -> usize {
            record
        }

        async fn retrieve(&mut self, key: &usize) -> bool {
            self.0.lock().unwrap().contains_key(key)
        }

        async fn store(&mut self, key: &usize, change: Change<'_>) -> bool {
            assert_eq!(stamp(change.value.as_bytes()), Some(change.to));
            self.0.lock().unwrap().insert(*key, change.to) == Some(change.from)
        }

        async fn create(&mut self, key: &usize, change: Change<'_>) -> bool {
            self.0.lock().unwrap().insert(*key, change.to).is_none()
        }

        async fn remove(&mut self, key: &usize, revision: u64) -> bool {
            self.0.lock().unwrap().remove(key) == Some(revision)
        }

        async fn revision(&mut self, key: &usize) -> Option<u64> {
            self.0.lock().unwrap().get(key).copied()
        }
    }

    #[test]
    fn work_goes_on_from_the_revisions_that_earlier_work_left() {
        let quick = Duration::from_millis(20);
        let args = Args { records: 1_000, tasks: 3, measured: quick, warm_up: quick, ..Args::default() };
        let (runner, store) = (Runner::new(&args).unwrap(), Strict::default());
        for work in [Work::Prepare, Work::Store, Work::Retrieve, Work::CreateRemove, Work::Store] {
            let sample = answer(&runner, &Args { work, ..args.clone() }, &store).unwrap().to_string();
            let good = if work == Work::Prepare { "\"records\":1000" } else { "\"failed\":0" };
            assert!(sample.contains(good), "{work:?}: {sample}");
        }
        assert!(store.0.lock().unwrap().values().any(|revision| *revision > 0));
    }

    #[test]
    fn work_that_is_not_done_is_counted() {
        let quick = Duration::from_millis(20);
        let args =
            Args { records: 10, work: Work::Touch, measured: quick, warm_up: quick, ..Args::default() };
        let (runner, store) = (Runner::new(&args).unwrap(), Strict::default());
        assert!(answer(&runner, &args, &store).is_err(), "its records are missing");
        fill(&runner, &store, 0..10, 64).unwrap();
        // On a busy machine no task may run within the window.
        let mut samples = std::iter::repeat_with(|| answer(&runner, &args, &store).unwrap().to_string());
        let sample = samples.find(|sample| !sample.contains("\"rate\":0,")).unwrap();
        assert!(!sample.contains("\"failed\":0,"), "it cannot touch: {sample}");
    }
}

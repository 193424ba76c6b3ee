//! Recorded operations on a driver: start, end and answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use session_core::{Applied, Change, Condition, Driver, DynDriver, Key, Record, Timestamp, Touch};

use crate::common::{number_of, payload, rev};
use crate::failure::{Failure, unmet};
use fastrand::Rng;

/// A record in a history, with the number of its data instead of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Rec {
    pub(crate) revision: u64,
    pub(crate) data: u64,
    pub(crate) expires: Option<u64>,
}

/// An operation with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    Retrieve,
    Store(Rec, When),
    Remove(When),
    Touch { from: u64, to: u64, deadline: Option<u64> },
}

/// [`Condition`] with a number for the revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum When {
    Any,
    Absent,
    Revision(u64),
}

impl When {
    pub(crate) fn condition(self) -> Condition {
        match self {
            Self::Any => Condition::Any,
            Self::Absent => Condition::Absent,
            Self::Revision(number) => Condition::Revision(rev(number)),
        }
    }
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Found(Option<Rec>),
    Yes,
    Conflict(Option<Rec>),
    Touched(bool),
    /// A typed error with `Applied::No`.
    Refused,
    /// No answer, or an error with `Applied::Unknown`.
    Unknown,
}

/// One operation, from its start to its answer. Times are nanoseconds of the machine's monotonic clock, which all
/// processes share.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) key: usize,
    pub(crate) op: Op,
    pub(crate) start: u64,
    pub(crate) end: Option<u64>,
    pub(crate) answer: Answer,
}

type Report = Box<dyn Fn(Call) + Send + Sync>;

/// Performs operations and records them.
#[derive(Default)]
pub(crate) struct Recorder {
    calls: Mutex<Vec<Call>>,
    next: AtomicU64,
    report: Option<Report>,
}

impl Recorder {
    /// Reports each call to `report` when it starts and again when it is answered, instead of keeping it.
    pub(crate) fn reporting(report: impl Fn(Call) + Send + Sync + 'static) -> Self {
        Self { report: Some(Box::new(report)), ..Self::default() }
    }

    /// Performs `op`. Torn data and errors that are not retryable are failures.
    pub(crate) async fn perform(
        &self,
        driver: &DynDriver,
        index: usize,
        key: &Key,
        op: Op,
    ) -> Result<Answer, Failure> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut call = Call { id, key: index, op, start: nanos(), end: None, answer: Answer::Unknown };
        if let Some(report) = &self.report {
            report(call);
        }
        let answer = answer_of(driver, key, op).await?;
        if answer != Answer::Unknown {
            call.end = Some(nanos());
        }
        call.answer = answer;
        match &self.report {
            Some(report) => report(call),
            None => self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call),
        }
        Ok(answer)
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Nanoseconds of the machine's monotonic clock.
pub(crate) fn nanos() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64)
}

async fn answer_of(driver: &DynDriver, key: &Key, op: Op) -> Result<Answer, Failure> {
    let answer = match op {
        Op::Retrieve => driver.retrieve(key).await.map(|found| rec(found).map(Answer::Found)),
        Op::Store(rec, when) => driver.store(key, unrec(rec), when.condition()).await.map(changed),
        Op::Remove(when) => driver.remove(key, when.condition()).await.map(changed),
        Op::Touch { from, to, deadline } => {
            let touch =
                Touch { from: rev(from), to: rev(to), deadline: deadline.map(Timestamp::from_millis) };
            driver.touch(key, touch).await.map(|done| Ok(Answer::Touched(done)))
        }
    };
    match answer {
        Ok(answer) => answer,
        Err(error) if !error.is_retryable() => Err(error.into()),
        Err(error) if error.applied() == Applied::Unknown => Ok(Answer::Unknown),
        Err(_) => Ok(Answer::Refused),
    }
}

fn changed(change: Change) -> Result<Answer, Failure> {
    match change {
        Change::Applied => Ok(Answer::Yes),
        Change::Conflict(live) => rec(live).map(Answer::Conflict),
    }
}

pub(crate) fn rec(record: Option<Record>) -> Result<Option<Rec>, Failure> {
    let Some(record) = record else { return Ok(None) };
    let Some(data) = number_of(&record.data) else {
        return Err(unmet("data as it was written, whole", format!("torn data in {record:?}")));
    };
    let revision = u64::from_be_bytes(record.revision.to_bytes());
    Ok(Some(Rec { revision, data, expires: record.expires.map(Timestamp::as_millis) }))
}

pub(crate) fn unrec(rec: Rec) -> Record {
    Record::new(payload(rec.data), rec.expires.map(Timestamp::from_millis), rev(rec.revision))
}

/// The kinds of operations in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mix {
    /// All of them.
    All,
    /// Stores without a condition.
    Stores,
    /// Stores and removals without a condition.
    Removals,
    /// Stores without a condition, and touches.
    Touches,
    /// Compare-and-swap only.
    Chain,
}

/// Picks the next operation, given the last record seen under the key.
fn pick(mix: Mix, rng: &mut Rng, seen: Option<Rec>, horizon: u64) -> Op {
    let expires = match rng.u64(..3) {
        0 => None,
        _ => Some(horizon + rng.u64(..1_000_000)),
    };
    let new = rng.u64(..);
    let rec = Rec { revision: new, data: new, expires };
    let known = seen.map_or_else(|| rng.u64(..), |seen| seen.revision);
    let die = rng.u64(..100);
    let chain = Op::Store(rec, seen.map_or(When::Absent, |seen| When::Revision(seen.revision)));
    let touch = Op::Touch { from: known, to: new, deadline: expires };
    match mix {
        Mix::Stores => Op::Store(rec, When::Any),
        Mix::Removals if die < 50 => Op::Remove(When::Any),
        Mix::Removals => Op::Store(rec, When::Any),
        Mix::Touches if die < 70 && seen.is_some() => touch,
        Mix::Touches => Op::Store(rec, When::Any),
        Mix::Chain if die < 8 => Op::Remove(When::Revision(known)),
        Mix::Chain => chain,
        Mix::All => match die {
            0..30 => Op::Retrieve,
            30..45 => Op::Store(rec, When::Any),
            45..55 => Op::Store(rec, When::Absent),
            55..75 => chain,
            75..83 => Op::Remove(When::Any),
            83..89 => Op::Remove(When::Revision(known)),
            89..91 => Op::Remove(When::Absent),
            _ => touch,
        },
    }
}

/// Performs random operations on some keys, each according to what the last one has shown.
pub(crate) struct Player {
    driver: DynDriver,
    keys: Vec<Key>,
    recorder: Arc<Recorder>,
    pub(crate) rng: Rng,
    horizon: u64,
    seen: Vec<Option<Rec>>,
}

impl Player {
    pub(crate) fn new(
        driver: DynDriver,
        keys: Vec<Key>,
        recorder: Arc<Recorder>,
        rng: Rng,
        horizon: u64,
    ) -> Self {
        let seen = vec![None; keys.len()];
        Self { driver, keys, recorder, rng, horizon, seen }
    }

    /// Reads every key.
    pub(crate) async fn look(&mut self) -> Result<(), Failure> {
        for index in 0..self.keys.len() {
            self.perform(index, Op::Retrieve).await?;
        }
        Ok(())
    }

    /// Performs one operation.
    pub(crate) async fn play(&mut self, mix: Mix) -> Result<(), Failure> {
        let index = self.rng.usize(..self.keys.len());
        let op = pick(mix, &mut self.rng, self.seen[index], self.horizon);
        self.perform(index, op).await
    }

    async fn perform(&mut self, index: usize, op: Op) -> Result<(), Failure> {
        let answer = self.recorder.perform(&self.driver, index, &self.keys[index], op).await?;
        self.seen[index] = seen_after(self.seen[index], op, answer);
        Ok(())
    }
}

/// The record that a key is known to have after `answer`, for the next [`pick`].
fn seen_after(seen: Option<Rec>, op: Op, answer: Answer) -> Option<Rec> {
    match (op, answer) {
        (_, Answer::Found(found) | Answer::Conflict(found)) => found,
        (Op::Store(rec, _), Answer::Yes) => Some(rec),
        (Op::Remove(_), Answer::Yes) => None,
        (Op::Touch { to, deadline, .. }, Answer::Touched(true)) => {
            seen.map(|seen| Rec { revision: to, expires: deadline, ..seen })
        }
        _ => seen,
    }
}

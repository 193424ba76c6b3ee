//! `bench`: the time of the store's calls, with records under a prefix of their own.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use session_kit::DynDriver;
use session_kit::session_core::{Condition, Driver as _, Key, Prefix, Record, Revision, StoreError, Touch};

use crate::arguments::Bench;
use crate::failure::{Exit, Failure, Result};
use crate::progress::Progress;
use crate::stop::Stop;
use crate::store::{Context, Store};

/// How long a record stays if the program is killed before it removes it.
const LIFE: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Call {
    Store,
    Retrieve,
    Touch,
    Remove,
}

/// A line of the report. Times are in microseconds.
#[derive(Debug, Serialize)]
struct Measured {
    call: Call,
    calls: usize,
    per_second: u64,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
}

pub(crate) async fn bench(options: &Bench, context: &mut Context) -> Result<Exit> {
    let store = Store::open(&options.place, options.create, context).await?;
    if store.driver.capabilities().evicts {
        return Err(Failure::usage("the store evicts sessions when it is full, so a bench could end them"));
    }
    let mut records = records(options)?;
    let progress = Progress::bar("bench", 4 * records.len() as u64);
    let (driver, stop) = (&store.driver, &context.stop);
    let bench = Running { driver, options, progress: &progress, stop, stored: Cell::new(0) };
    let mut measured = Vec::new();
    let mut failed = None;
    for call in [Call::Store, Call::Retrieve, Call::Touch, Call::Remove] {
        // The removal runs in any case, so that nothing is left.
        if call != Call::Remove && (context.stop.requested().is_some() || failed.is_some()) {
            continue;
        }
        if call == Call::Remove {
            records.truncate(bench.stored.get());
        }
        match bench.measure(call, &records).await {
            Ok(line) => measured.push(line),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    drop(progress);
    store.close().await?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if let Some(stopped) = context.stop.requested() {
        return Ok(stopped);
    }
    context.output.heading("CALL        CALLS  PER SECOND    P50 US    P99 US    MAX US")?;
    for line in &measured {
        context.output.item(line, || {
            let Measured { call, calls, per_second, p50_us, p99_us, max_us } = line;
            let call = format!("{call:?}").to_lowercase();
            format!("{call:9} {calls:>7}  {per_second:>10}  {p50_us:>8}  {p99_us:>8}  {max_us:>8}")
        })?;
    }
    Ok(Exit::Done)
}

/// Keys that no other run has.
fn records(options: &Bench) -> Result<Vec<(Key, Revision)>, StoreError> {
    let prefix = Prefix::new("bench")?;
    let run = Revision::random()?.to_bytes().map(|byte| format!("{byte:02x}")).concat();
    let key = |number| Ok((Key::new(&prefix, &format!("{run}-{number}"))?, Revision::random()?));
    (0..options.records).map(key).collect()
}

struct Running<'a> {
    driver: &'a DynDriver,
    options: &'a Bench,
    progress: &'a Progress,
    stop: &'a Stop,
    /// How many records may be in the store.
    stored: Cell<usize>,
}

impl Running<'_> {
    /// Makes one call of each record. After a signal it makes no more of them, but removes all records.
    async fn measure(&self, call: Call, records: &[(Key, Revision)]) -> Result<Measured, StoreError> {
        let data = vec![b'x'; usize::try_from(self.options.bytes).unwrap_or_default()];
        let began = now();
        let one = async |(key, revision): &(Key, Revision)| {
            let began = now();
            let done = self.run(call, key, *revision, &data).await;
            self.progress.add(1);
            done.map(|()| began.elapsed())
        };
        let wanted = records.iter().take_while(|_| call == Call::Remove || self.stop.requested().is_none());
        let wanted = wanted.inspect(|_| {
            if call == Call::Store {
                self.stored.set(self.stored.get() + 1);
            }
        });
        let clients = usize::from(self.options.clients);
        let mut answers = stream::iter(wanted.map(one)).buffer_unordered(clients);
        let mut times = Vec::with_capacity(records.len());
        let mut failed = None;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(time) => times.push(time),
                Err(error) => {
                    failed = Some(error);
                    // A removal continues, so that no record is left.
                    if call != Call::Remove {
                        break;
                    }
                }
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(Measured::of(call, times, began.elapsed())),
        }
    }

    async fn run(&self, call: Call, key: &Key, revision: Revision, data: &[u8]) -> Result<(), StoreError> {
        let driver = self.driver;
        let expires = Some(driver.clock().now().saturating_add(LIFE));
        match call {
            Call::Store => {
                let record = Record::new(data.to_vec(), expires, revision);
                driver.store(key, record, Condition::Absent).await.map(drop)
            }
            Call::Retrieve => driver.retrieve(key).await.map(drop),
            Call::Touch => {
                let touch = Touch { from: revision, to: Revision::random()?, deadline: expires };
                driver.touch(key, touch).await.map(drop)
            }
            Call::Remove => driver.remove(key, Condition::Any).await.map(drop),
        }
    }
}

impl Measured {
    fn of(call: Call, mut times: Vec<Duration>, took: Duration) -> Self {
        times.sort_unstable();
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        let percentile = |percent| micros(at(percent).copied().unwrap_or_default());
        Self {
            call,
            calls: times.len(),
            per_second: times.len() as u64 * 1_000_000 / micros(took).max(1),
            p50_us: percentile(50),
            p99_us: percentile(99),
            max_us: percentile(100),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch")]
fn now() -> Instant {
    Instant::now()
}

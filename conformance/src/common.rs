//! Short words for what most checks do.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use session_core::{
    Change, Condition, Cursor, Driver, DynDriver, Entry, Key, Prefix, Record, Revision, StoreError,
    StoreErrorKind, Timestamp,
};

use crate::failure::{Check, Failure, ensure, unmet};

/// The revision with this number.
pub(crate) fn rev(number: u64) -> Revision {
    Revision::from_bytes(number.to_be_bytes())
}

/// A record without a deadline, whose data and revision follow from `number`.
pub(crate) fn record(number: u64) -> Record {
    Record::new(payload(number), None, rev(number))
}

/// The same with a deadline.
pub(crate) fn expiring(number: u64, deadline: Timestamp) -> Record {
    Record { expires: Some(deadline), ..record(number) }
}

/// Data that tells its number and its length, so that a mixture of two never looks whole.
pub(crate) fn payload(number: u64) -> Bytes {
    let length = if number % 8 == 7 { 4_096 + number % 16_384 } else { 16 + number % 600 };
    sized(number, length as usize)
}

/// The same with a length of one's own, 16 at the least.
pub(crate) fn sized(number: u64, length: usize) -> Bytes {
    let mut data = Vec::with_capacity(length);
    data.extend_from_slice(&number.to_be_bytes());
    data.extend_from_slice(&(length as u64).to_be_bytes());
    let mut word = number;
    while data.len() < length {
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        data.push((word >> 56) as u8);
    }
    data.into()
}

/// The number in data that [`payload`] or [`sized`] made, or `None` where it is not whole.
pub(crate) fn number_of(data: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(*data.first_chunk()?);
    let length = u64::from_be_bytes(*data.get(8..)?.first_chunk()?);
    (length == data.len() as u64 && sized(number, data.len()) == data).then_some(number)
}

/// Fails unless the change happened.
pub(crate) fn yes(answer: &Change, what: &str) -> Check {
    ensure(answer.is_applied(), format!("{what} answers Yes"), || format!("{answer:?}"))
}

/// Fails unless the change met a conflict that hands back exactly `live`.
pub(crate) fn conflict(answer: &Change, live: Option<&Record>, what: &str) -> Check {
    match (answer, live) {
        (Change::Conflict(None), None) => Ok(()),
        (Change::Conflict(Some(found)), Some(live)) => {
            same(found, live, &format!("{what} hands back what is live"))
        }
        _ => Err(unmet(format!("{what} answers Conflict({live:?})"), format!("{answer:?}"))),
    }
}

/// Fails unless `driver` has exactly `record` under `key`.
pub(crate) async fn holds(driver: &DynDriver, key: &Key, record: &Record, when: &str) -> Check {
    match driver.retrieve(key).await? {
        Some(found) => same(&found, record, when),
        None => Err(unmet(format!("{when}: {record:?}"), "no record")),
    }
}

/// Fails unless `driver` has nothing live under `key`.
pub(crate) async fn absent(driver: &DynDriver, key: &Key, when: &str) -> Check {
    match driver.retrieve(key).await? {
        None => Ok(()),
        Some(found) => Err(unmet(format!("{when}: no record"), format!("{found:?}"))),
    }
}

/// Stores without a condition.
pub(crate) async fn put(driver: &DynDriver, key: &Key, record: &Record) -> Check {
    yes(&driver.store(key, record.clone(), Condition::Any).await?, "a store without a condition")
}

/// The same, for whoever shares the store with many others.
pub(crate) async fn set(driver: &DynDriver, key: &Key, record: &Record) -> Check {
    let answer = patiently(|| driver.store(key, record.clone(), Condition::Any)).await?;
    yes(&answer, "a store without a condition")
}

/// Fails unless the two are one record.
pub(crate) fn same(found: &Record, expected: &Record, when: &str) -> Check {
    if found == expected {
        return Ok(());
    }
    let mut actual = format!("{found:?}");
    if found.data != expected.data {
        let at = found.data.iter().zip(&expected.data).position(|(a, b)| a != b);
        let at = at.unwrap_or(found.data.len().min(expected.data.len()));
        actual.push_str(&format!(", whose data differs from byte {at} on"));
    }
    Err(unmet(format!("{when}: {expected:?}"), actual))
}

/// Fails unless the answer is an error of `kind`.
pub(crate) fn fails<T: std::fmt::Debug>(
    answer: Result<T, StoreError>,
    kind: StoreErrorKind,
    what: &str,
) -> Check {
    match answer {
        Err(error) if error.kind() == kind => Ok(()),
        other => Err(unmet(format!("{what} fails with {kind:?}"), format!("{other:?}"))),
    }
}

/// All entries of `prefix`, page by page. A traversal that has no end within reason is a failure.
pub(crate) async fn walk(driver: &DynDriver, prefix: &Prefix, limit: usize) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    let mut from = Cursor::start();
    for _ in 0..20_000 {
        let page = driver.traverse(prefix, from, limit).await?;
        entries.extend(page.entries);
        match page.next {
            Some(next) => from = next,
            None => return Ok(entries),
        }
    }
    Err(unmet("the traversal comes to an end", "20,000 pages and no end"))
}

/// The keys of entries, sorted, each once.
pub(crate) fn keys_of(entries: &[Entry]) -> Vec<Key> {
    let mut keys: Vec<Key> = entries.iter().map(|entry| entry.key.clone()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Keys as text, for the messages of checks that made the keys themselves.
pub(crate) fn shown<'a>(keys: impl IntoIterator<Item = &'a Key>) -> String {
    let mut all: Vec<&str> = keys.into_iter().map(Key::as_str).collect();
    let more = all.len().saturating_sub(12);
    all.truncate(12);
    if more == 0 { format!("{all:?}") } else { format!("{all:?} and {more} more") }
}

/// Tasks that run at the same time, on every worker of the check's runtime.
pub(crate) struct Crowd<T>(Vec<tokio::task::JoinHandle<Result<T, Failure>>>);

impl<T: Send + 'static> Crowd<T> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn add(&mut self, task: impl Future<Output = Result<T, Failure>> + Send + 'static) {
        self.0.push(tokio::spawn(task));
    }

    /// What each of them came to, or the first failure.
    pub(crate) async fn join(self) -> Result<Vec<T>, Failure> {
        let mut results = Vec::with_capacity(self.0.len());
        for task in self.0 {
            match task.await {
                Ok(result) => results.push(result?),
                Err(cause) => return Err(unmet("no panic", cause)),
            }
        }
        Ok(results)
    }
}

/// Repeats a change while the store says that it is busy, as a caller does.
pub(crate) async fn patiently<T, F, Fut>(mut call: F) -> Result<T, Failure>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, StoreError>>,
{
    let mut tries = 0;
    loop {
        match call().await {
            Err(error) if error.is_retryable() && tries < 200 => {
                tries += 1;
                nap(Duration::from_millis(2)).await;
            }
            answer => return Ok(answer?),
        }
    }
}

/// How long it may take until a handle goes on by itself.
const RECOVERY: Duration = Duration::from_secs(30);
/// How long a call may take while something is wrong. A clause that tries all of them twice still ends in time.
const PATIENCE: Duration = Duration::from_secs(10);

/// The answer of a call, which may take [`PATIENCE`] while something is wrong.
pub(crate) async fn in_time<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<Result<T, StoreError>, Failure> {
    let answer = tokio::time::timeout(PATIENCE, call).await;
    answer.map_err(|_| unmet(format!("an answer within {} s", PATIENCE.as_secs()), "none"))
}

/// The answer of a call that may fail with these kinds for a while yet, after something was wrong.
pub(crate) async fn recovered<T, F, Fut>(kinds: &[StoreErrorKind], mut call: F) -> Result<T, Failure>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, StoreError>>,
{
    let end = tokio::time::Instant::now() + RECOVERY;
    loop {
        match in_time(call()).await? {
            Err(error) if kinds.contains(&error.kind()) => {
                let late = tokio::time::Instant::now() >= end;
                let goes_on = format!("the handle goes on by itself within {} s", RECOVERY.as_secs());
                ensure(!late, goes_on, || format!("{error:?}"))?;
            }
            answer => return Ok(answer?),
        }
        nap(Duration::from_millis(50)).await;
    }
}

/// Adds one to the number under `key` by compare-and-store, and gives the number that it wrote. `fresh` draws
/// revisions.
pub(crate) async fn increment(
    driver: &DynDriver,
    key: &Key,
    mut fresh: impl FnMut() -> u64,
) -> Result<u64, Failure> {
    for _ in 0..100_000 {
        let (value, when) = match patiently(|| driver.retrieve(key)).await? {
            Some(record) => (count_in(&record)?, Condition::Revision(record.revision)),
            None => (0, Condition::Absent),
        };
        let next = Record::new((value + 1).to_be_bytes().to_vec(), None, rev(fresh()));
        if patiently(|| driver.store(key, next.clone(), when)).await?.is_applied() {
            return Ok(value + 1);
        }
        tokio::task::yield_now().await;
    }
    Err(unmet("a compare-and-store succeeds in the end", "100,000 conflicts in a row"))
}

/// The number in a record of [`increment`].
pub(crate) fn count_in(record: &Record) -> Result<u64, Failure> {
    let bytes = <[u8; 8]>::try_from(&record.data[..]);
    bytes.map(u64::from_be_bytes).map_err(|_| unmet("a whole counter of 8 bytes", format!("{record:?}")))
}

/// Polls `future` at most `times` times and then drops it; gives its answer if it came to one. Between two polls it
/// waits until the future asks to be polled again, but not for ever, since that may need someone else's answer.
pub(crate) async fn poll_then_drop<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..times {
        let mut polled = false;
        let answer = std::future::poll_fn(|context| {
            if polled {
                return Poll::Ready(None);
            }
            polled = true;
            match future.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending => Poll::Pending,
            }
        });
        if let Ok(Some(answer)) = tokio::time::timeout(Duration::from_millis(20), answer).await {
            return Some(answer);
        }
    }
    None
}

/// Waits in real time.
pub(crate) async fn nap(length: Duration) {
    tokio::time::sleep(length).await;
}

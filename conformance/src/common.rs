//! Helpers of most checks, and the names that most of them use.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

pub(crate) use session_core::{
    Change, Condition, Cursor, Driver, DriverExt, DynDriver, Entry, Key, Prefix, Record, StoreError,
    StoreErrorKind, Timestamp,
};
use session_core::{Revision, Touch};

pub(crate) use crate::failure::{Check, Failure, ensure, equal, unmet};
pub(crate) use crate::stage::Stage;

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

/// A touch between the revisions with these numbers.
pub(crate) fn touching(from: u64, to: u64, deadline: Option<Timestamp>) -> Touch {
    Touch { from: rev(from), to: rev(to), deadline }
}

/// Data that starts with its number and its length, so that a mixture of two is never valid.
pub(crate) fn payload(number: u64) -> Bytes {
    let length = if number % 8 == 7 { 4_096 + number % 16_384 } else { 16 + number % 600 };
    sized(number, length as usize)
}

/// The same with a given length of 16 or more.
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

/// The number in data of [`payload`] or [`sized`]; `None` if the data is not whole.
pub(crate) fn number_of(data: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(*data.first_chunk()?);
    let length = u64::from_be_bytes(*data.get(8..)?.first_chunk()?);
    (length == data.len() as u64 && sized(number, data.len()) == data).then_some(number)
}

/// Fails unless the change happened.
pub(crate) fn yes(answer: &Change, what: &str) -> Check {
    ensure(answer.is_applied(), format!("{what} answers Applied"), answer)
}

/// Fails unless the change conflicts and returns exactly `live`.
pub(crate) fn conflict(answer: &Change, live: Option<&Record>, what: &str) -> Check {
    match (answer, live) {
        (Change::Conflict(None), None) => Ok(()),
        (Change::Conflict(Some(found)), Some(live)) => {
            same(found, live, &format!("{what} returns the live record"))
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

/// The same, retrying while the store is busy.
pub(crate) async fn set(driver: &DynDriver, key: &Key, record: &Record) -> Check {
    let answer = patiently(|| driver.store(key, record.clone(), Condition::Any)).await?;
    yes(&answer, "a store without a condition")
}

/// Stores a record under each key.
pub(crate) async fn put_all(driver: &DynDriver, keys: &[Key], record: &Record) -> Check {
    for key in keys {
        put(driver, key, record).await?;
    }
    Ok(())
}

/// Fails unless each key has exactly `record`.
pub(crate) async fn hold_all(driver: &DynDriver, keys: &[Key], record: &Record, when: &str) -> Check {
    for key in keys {
        holds(driver, key, record, when).await?;
    }
    Ok(())
}

/// Purges until there is no more, and returns how many records were removed.
pub(crate) async fn purge_all(driver: &DynDriver, limit: usize) -> Result<u64, Failure> {
    let mut total = 0;
    for _ in 0..10_000 {
        let purged = patiently(|| driver.purge(limit)).await?;
        ensure(purged.removed <= limit as u64, format!("at most {limit} removed"), purged)?;
        total += purged.removed;
        if !purged.more {
            return Ok(total);
        }
        tokio::task::yield_now().await;
    }
    Err(unmet("purging ends", "still more after 10,000 purges"))
}

/// Fails unless the two records are equal.
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

/// The answer, or `None` where the driver lacks the operation.
pub(crate) fn unless_unsupported<T>(answer: Result<T, StoreError>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.kind() == StoreErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A traversal of the sessions, page by page.
pub(crate) struct Pages {
    prefix: Prefix,
    limit: usize,
    next: Option<Cursor>,
    /// How many pages were read.
    pub(crate) read: usize,
}

impl Pages {
    pub(crate) fn new(limit: usize) -> Self {
        Self { prefix: Prefix::SESSION, limit, next: Some(Cursor::start()), read: 0 }
    }

    /// The next page, `None` after the last. The cursor is carried over as plain bytes. An endless traversal is a failure.
    pub(crate) async fn next(&mut self, driver: &DynDriver) -> Result<Option<Vec<Entry>>, Failure> {
        let Some(from) = self.next.take() else { return Ok(None) };
        ensure(self.read < 20_000, "the traversal ends", "still more after 20,000 pages")?;
        let page = driver.traverse(&self.prefix, from, self.limit).await?;
        self.next = page.next.map(|next| Cursor::from_bytes(next.as_bytes().to_vec()));
        self.read += 1;
        Ok(Some(page.entries))
    }
}

/// All entries of `prefix`.
pub(crate) async fn walk(driver: &DynDriver, prefix: &Prefix, limit: usize) -> Result<Vec<Entry>, Failure> {
    let (mut entries, mut pages) = (Vec::new(), Pages { prefix: prefix.clone(), ..Pages::new(limit) });
    while let Some(page) = pages.next(driver).await? {
        entries.extend(page);
    }
    Ok(entries)
}

/// The keys of entries, sorted, each once.
pub(crate) fn keys_of(entries: &[Entry]) -> Vec<Key> {
    let mut keys: Vec<Key> = entries.iter().map(|entry| entry.key.clone()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Keys as text, for messages about keys that the check made: at most twelve.
pub(crate) fn shown<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Vec<&'a str> {
    keys.into_iter().map(Key::as_str).take(12).collect()
}

/// Concurrent tasks on the check's runtime.
pub(crate) struct Crowd<T>(Vec<tokio::task::JoinHandle<Result<T, Failure>>>);

impl<T: Send + 'static> Crowd<T> {
    /// Starts `count` tasks. Each gets its number and a clone of `shared`.
    pub(crate) fn start<S: Clone, F>(count: u64, shared: S, task: impl Fn(u64, S) -> F) -> Self
    where
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        Self((0..count).map(|number| tokio::spawn(task(number, shared.clone()))).collect())
    }

    /// All results in order, or the first failure.
    pub(crate) async fn join(self) -> Result<Vec<T>, Failure> {
        let mut results = Vec::with_capacity(self.0.len());
        for task in self.0 {
            results.push(task.await.map_err(|cause| unmet("no call panics", cause))??);
        }
        Ok(results)
    }

    /// Drops all tasks where they are. A panic is a failure.
    pub(crate) async fn abort(self) -> Check {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
        for task in self.0 {
            if let Some(cause) = task.await.err().filter(tokio::task::JoinError::is_panic) {
                return Err(unmet("no call panics", cause));
            }
        }
        Ok(())
    }
}

/// Does `work` while `count` tasks repeat `step`, and lets each begin a last one after it. A step gets the number of its
/// task, the number of the repetition, and a clone of `shared`.
pub(crate) async fn amid<S, F, G>(count: u64, shared: S, step: G, work: impl Future<Output = Check>) -> Check
where
    S: Clone + Send + 'static,
    F: Future<Output = Check> + Send + 'static,
    G: Fn(u64, u64, S) -> F + Clone + Send + 'static,
{
    let done = Arc::new(AtomicBool::new(false));
    let others =
        Crowd::start(count, (shared, step, Arc::clone(&done)), |task, (shared, step, done)| async move {
            for turn in 0.. {
                let is_last = done.load(Ordering::SeqCst);
                step(task, turn, shared.clone()).await?;
                if is_last {
                    break;
                }
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    let result = work.await;
    done.store(true, Ordering::SeqCst);
    others.join().await?;
    result
}

/// Repeats a call while its error is retryable, as a caller does.
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

/// How long a call may take during a failure.
const PATIENCE: Duration = Duration::from_secs(10);

/// The answer of a call that may take [`PATIENCE`].
pub(crate) async fn in_time<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<Result<T, StoreError>, Failure> {
    let answer = tokio::time::timeout(PATIENCE, call).await;
    answer.map_err(|_| unmet(format!("a call is answered within {} s", PATIENCE.as_secs()), "no answer"))
}

/// The answer of a call after a failure. It may fail with these kinds until `limit` has passed.
pub(crate) async fn recovered<T, F, Fut>(
    limit: Duration,
    kinds: &[StoreErrorKind],
    mut call: F,
) -> Result<T, Failure>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, StoreError>>,
{
    let end = tokio::time::Instant::now() + limit;
    loop {
        match in_time(call()).await? {
            Err(error) if kinds.contains(&error.kind()) => {
                let late = tokio::time::Instant::now() >= end;
                let goes_on =
                    format!("the handle works again within {} s after the failure", limit.as_secs());
                ensure(!late, goes_on, &error)?;
            }
            answer => return Ok(answer?),
        }
        nap(Duration::from_millis(50)).await;
    }
}

/// Increments the number under `key` by compare-and-swap, and returns the new number. `fresh` draws revisions.
pub(crate) async fn increment(
    driver: &DynDriver,
    key: &Key,
    fresh: impl FnMut() -> u64,
) -> Result<u64, Failure> {
    increment_by(By::Store, driver, key, fresh).await
}

/// The method of an increment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Store,
    StoreOver,
}

/// As [`increment`], by one of the methods.
pub(crate) async fn increment_by(
    by: By,
    driver: &DynDriver,
    key: &Key,
    mut fresh: impl FnMut() -> u64,
) -> Result<u64, Failure> {
    for _ in 0..100_000 {
        let found = patiently(|| driver.retrieve(key)).await?;
        let value = found.as_ref().map_or(Ok(0), count_in)?;
        let next = Record::new((value + 1).to_be_bytes().to_vec(), None, rev(fresh()));
        let answer = match &found {
            Some(found) if by == By::StoreOver => {
                patiently(|| driver.store_over(key, next.clone(), found)).await?
            }
            found => {
                let revision = found.as_ref().map(|found| found.revision);
                let when = revision.map_or(Condition::Absent, Condition::Revision);
                patiently(|| driver.store(key, next.clone(), when)).await?
            }
        };
        if answer.is_applied() {
            return Ok(value + 1);
        }
        tokio::task::yield_now().await;
    }
    Err(unmet("a compare-and-swap succeeds eventually", "100,000 conflicts in a row"))
}

/// The number in a record of [`increment`].
pub(crate) fn count_in(record: &Record) -> Result<u64, Failure> {
    let bytes = <[u8; 8]>::try_from(&record.data[..]);
    bytes.map(u64::from_be_bytes).map_err(|_| unmet("a whole counter of 8 bytes", format!("{record:?}")))
}

/// Polls `future` at most `times` times and then drops it. Returns its answer if it is ready. Between two polls it
/// waits until the future asks to be polled again, but at most 20 ms, because that may need another task.
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

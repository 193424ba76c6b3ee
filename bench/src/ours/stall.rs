//! The longest pause that an operation forces on the other tasks of its thread.

use std::error::Error;

use bytes::Bytes;
use session_bench_work::{Args, Runner, Sample, fill};
use session_core::{
    Condition, Cursor, Driver, DriverExt, ExpiryMode, Key, Prefix, Record, Revision, TestClock,
};
use session_manager::{Committed, IdUpdate, Outcome, Sessions};
use session_store_memory::{MemoryConfig, MemoryStore};

use super::driver::Ours;
use super::purge;

/// Larger than any session should be. A driver with a lower limit reads and writes its limit.
const LARGE: u64 = 8 << 20;
/// How many keys the session with many keys has: as many as one may have with default options.
const KEYS: usize = 8_192;
/// How long the long session is: as long as one may be with default options, but for its small values.
const SESSION: u64 = (4 << 20) - 1_024;
/// How many values share that length.
const PARTS: u64 = 4;
/// How often the cheap operations are repeated.
const ROUNDS: u64 = 5;
/// How many sessions a page of `find` has.
const PAGE: usize = 500;

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs each operation alone beside a heartbeat, all on one thread.
pub(crate) fn sample<D: Driver + Clone, const IN_A_ROW: u64>(
    runner: &Runner,
    args: &Args,
    clock: &TestClock,
    store: &Ours<D, IN_A_ROW>,
) -> Result<Sample, Box<dyn Error>> {
    let thread = Runner::on_one_thread(args)?;
    let driver = &store.driver;
    runner.block_on(become_sessions(driver, args.records))?;
    let mut sample = Sample::new();
    let mut longest: f64 = 0.0;
    let mut note = |name, gap: f64| {
        longest = longest.max(gap);
        sample = std::mem::take(&mut sample).with(name, gap);
    };
    note("walk_gap_ms", gap(&thread, walk(driver.clone(), args.records))?);
    note("find_gap_ms", gap(&thread, find(driver.clone(), args.records))?);
    let limit = driver.capabilities().max_record_bytes.unwrap_or(LARGE).min(LARGE);
    let data = Bytes::from(vec![7; usize::try_from(limit)?]);
    note("write_gap_ms", gap(&thread, write(driver.clone(), data.clone()))?);
    note("read_gap_ms", gap(&thread, read(driver.clone(), data))?);
    note("keys_gap_ms", gap(&thread, many_keys(driver.clone(), limit))?);
    note("bytes_gap_ms", gap(&thread, long_session(driver.clone(), limit))?);
    if !matches!(driver.capabilities().expiry, ExpiryMode::Engine { .. }) {
        let expiring = Ours::<D, IN_A_ROW>::expiring(driver.clone(), purge::DEADLINE);
        fill(runner, &expiring, args.records..args.records + purge::EXPIRING, args.size)?;
        clock.set(purge::AFTER);
        let (removed, _, gap) = thread.watch(purge::all(driver.clone()))?;
        if removed? != purge::EXPIRING as u64 {
            return Err("not every expired record was removed".into());
        }
        note("purge_gap_ms", gap);
    }
    Ok(sample.with("gap_ms", longest))
}

fn gap(
    thread: &Runner,
    work: impl Future<Output = Done<()>> + Send + 'static,
) -> Result<f64, Box<dyn Error>> {
    let (done, _, gap) = thread.watch(work)?;
    done.map_err(|error| error.to_string())?;
    Ok(gap)
}

fn key(number: usize) -> Key {
    Key::new(&Prefix::SESSION, &session_bench_work::text_id(number)).expect("43 characters are an id")
}

/// Makes the stored records sessions of the manager, unless an earlier run did.
async fn become_sessions<D: Driver>(driver: &D, records: usize) -> Result<(), Box<dyn Error>> {
    let sessions = Sessions::new(MemoryStore::open(MemoryConfig::new().clock(driver.clock()))?)?;
    let session = sessions.load(None).await?;
    session.insert("text", &"x".repeat(900))?;
    expect(Outcome::Created, &sessions.finish(&session).await?)?;
    let page = sessions.driver().traverse(&Prefix::SESSION, Cursor::start(), 1).await?;
    let key_of_it = page.entries.first().map(|entry| entry.key.clone()).ok_or("no session was stored")?;
    let template = sessions.driver().retrieve(&key_of_it).await?.ok_or("no session was stored")?;
    for number in 0..records {
        let known = driver.retrieve(&key(number)).await?;
        if number == 0 && known.as_ref().is_some_and(|known| known.data.len() == template.data.len()) {
            return Ok(());
        }
        let expires = known.and_then(|known| known.expires);
        let record = Record { expires, revision: Revision::random()?, ..template.clone() };
        if !driver.store(&key(number), record, Condition::Any).await?.is_applied() {
            return Err("a session was not stored".into());
        }
    }
    Ok(())
}

/// A row whose work was not done would tell nothing.
fn expect(wanted: Outcome, committed: &Committed) -> Result<(), String> {
    if committed.outcome == wanted {
        Ok(())
    } else {
        Err(format!("{:?} instead of {wanted:?}", committed.outcome))
    }
}

async fn walk<D: Driver>(driver: D, least: usize) -> Done<()> {
    let count = driver.count(&Prefix::SESSION).await?;
    if count < least as u64 { Err(format!("{count} of {least} records were counted").into()) } else { Ok(()) }
}

async fn find<D: Driver>(driver: D, least: usize) -> Done<()> {
    let sessions = Sessions::new(driver)?;
    let (mut found, mut next) = (0, Some(Cursor::start()));
    while let Some(from) = next {
        let page = sessions.find(from, PAGE).await?;
        found += page.sessions.len();
        next = page.next;
    }
    if found < least { Err(format!("{found} of {least} sessions were found").into()) } else { Ok(()) }
}

fn large() -> Key {
    Key::parse("user:large").expect("a valid key")
}

async fn write<D: Driver>(driver: D, data: Bytes) -> Done<()> {
    for _ in 0..ROUNDS {
        let record = Record::new(data.clone(), None, Revision::random()?);
        if !driver.store(&large(), record, Condition::Any).await?.is_applied() {
            return Err("the large record was not stored".into());
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn read<D: Driver>(driver: D, data: Bytes) -> Done<()> {
    for _ in 0..ROUNDS {
        let found = driver.retrieve(&large()).await?;
        tokio::task::yield_now().await;
        if found.is_none_or(|found| found.data.len() != data.len()) {
            return Err("the large record is missing".into());
        }
    }
    if driver.remove(&large(), Condition::Any).await?.is_applied() {
        Ok(())
    } else {
        Err("it was gone".into())
    }
}

/// Stores a session with many keys, and changes some of them. A driver for small records gets fewer keys.
async fn many_keys<D: Driver>(driver: D, limit: u64) -> Done<()> {
    let keys = KEYS.min(usize::try_from(limit / 32)?);
    let sessions = Sessions::new(driver)?;
    let session = sessions.load(None).await?;
    for number in 0..keys {
        session.insert(&format!("key-{number}"), &number)?;
        tokio::task::yield_now().await;
    }
    expect(Outcome::Created, &sessions.finish(&session).await?)?;
    let IdUpdate::Set { id, .. } = session.id_update() else { return Err("no session was created".into()) };
    tokio::task::yield_now().await;
    let session = sessions.load(id).await?;
    for number in 0..100 {
        session.insert(&format!("key-{}", number * (keys / 100)), &0)?;
        tokio::task::yield_now().await;
    }
    expect(Outcome::Updated, &sessions.finish(&session).await?)?;
    let session = sessions.load(id).await?;
    if session.destroy("done").await? { Ok(()) } else { Err("it was gone".into()) }
}

/// Stores a long session, and changes a small value of it twice, the second time beside another request. A driver for
/// small records gets a shorter one.
async fn long_session<D: Driver>(driver: D, limit: u64) -> Done<()> {
    let part = "x".repeat(usize::try_from(SESSION.min(limit - limit / 8) / PARTS)?);
    let sessions = Sessions::new(driver)?;
    let session = sessions.load(None).await?;
    for number in 0..PARTS {
        session.insert(&format!("part-{number}"), &part)?;
        tokio::task::yield_now().await;
    }
    expect(Outcome::Created, &sessions.finish(&session).await?)?;
    let IdUpdate::Set { id, .. } = session.id_update() else { return Err("no session was created".into()) };
    tokio::task::yield_now().await;
    let (first, second) = (sessions.load(id).await?, sessions.load(id).await?);
    for session in [&first, &second] {
        tokio::task::yield_now().await;
        session.update("count", |count: Option<u64>| count.unwrap_or(0) + 1)?;
    }
    tokio::task::yield_now().await;
    expect(Outcome::Updated, &sessions.finish(&first).await?)?;
    tokio::task::yield_now().await;
    let done = sessions.finish(&second).await?;
    expect(Outcome::Updated, &done)?;
    if done.replays != 1 {
        return Err(format!("{} replays instead of one", done.replays).into());
    }
    tokio::task::yield_now().await;
    let session = sessions.load(id).await?;
    if session.destroy("done").await? { Ok(()) } else { Err("it was gone".into()) }
}

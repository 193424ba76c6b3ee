//! The driver.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_channel::oneshot;
use session_core::{
    Capabilities, Clock, Condition, Cursor, Decision, Driver, Error, ErrorKind, Expiry, Key, Operation, Page,
    Prefix, Purged, Record, Result, Revision, RollsBack, Shared, Stored, Survives, Timestamp, is_live,
};

use crate::area::Area;
use crate::config::{Config, WhenFull};
use crate::error::Fault;
use crate::layout::{hash, superblock};
use crate::open;
use crate::protocol::Words;
use crate::record::{Draft, State};
use crate::room::Purge;
use crate::shard::{Locked, Look, Place};
use crate::table::TAGS;

/// How exactly it is known when a session was used last, in milliseconds: to know it better, reads would write more.
const USE_GRAIN: u64 = 1000;
/// How often a store that finds no room makes some and tries again. Each time makes some; others may take it.
const TURNS: usize = 10_000;
/// Storing more than this takes a good part of a millisecond, and does so on a thread of its own.
const LARGE: u64 = 256 << 10;
/// How many steps a purge or a count makes before it lets other tasks run.
const BATCH: usize = 4;

/// A session store in a mapped file. Cloning it is cheap, and every clone is the same store.
///
/// The file is closed when the last clone is gone, which waits for nothing.
#[derive(Clone)]
pub struct Mmap(Arc<Inner>);

struct Inner {
    area: Area,
    config: Config,
    max_value: u64,
    closed: AtomicBool,
    /// With which shard the next purge begins.
    turn: AtomicU32,
}

/// What was repaired of a file since it was made, by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Repairs {
    /// How often a shard was repaired: its last owner had died within a change, or it was damaged.
    pub shards: u64,
    /// How many records could not be kept. A process that is killed loses none.
    pub lost: u64,
}

impl Mmap {
    /// Opens the store, making the file if it is missing, with a path or a whole [`Config`].
    ///
    /// It blocks: while another process opens the same file, and, for who is alone with it, for a look at every
    /// record, about a microsecond each. After a restart of the machine it reads the data too.
    ///
    /// # Errors
    /// `Misconfigured` for options, paths and permissions that cannot work, for a file that is not ours, of another
    /// version or made with another geometry; `Corrupt` for one that is cut short or whose superblock is damaged. None
    /// of these is changed. `Unavailable`, `Full`, `Backend`.
    pub fn open(config: impl Into<Config>) -> Result<Self> {
        let config = config.into();
        let area = open::open(&config)?;
        let max_value = config.largest_value(&area.geometry)?;
        Ok(Self(Arc::new(Inner {
            area,
            config,
            max_value,
            closed: AtomicBool::new(false),
            turn: AtomicU32::new(0),
        })))
    }

    /// What was repaired since the file was made.
    #[must_use]
    pub fn repairs(&self) -> Repairs {
        let head = self.0.area.superblock();
        Repairs { shards: head.get(superblock::REPAIRED), lost: head.get(superblock::LOST) }
    }
}

impl Driver for Mmap {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.0.open_for(Operation::Retrieve)?;
        self.0.retrieve(key).map_err(|fault| fault.during(Operation::Retrieve))
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Stored> {
        self.0.open_for(Operation::Store)?;
        let length = record.data.len() as u64;
        if length > self.0.max_value {
            let detail = format!("{length} bytes of data, and max_value is {}", self.0.max_value);
            return Err(Error::new(ErrorKind::TooLarge, Operation::Store).with_detail(detail));
        }
        let store = move |inner: &Inner, key: &Key, record: &Record| {
            inner.store(key, record, when).map_err(|fault| fault.during(Operation::Store))
        };
        if length <= LARGE {
            return store(&self.0, key, &record);
        }
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        elsewhere(Operation::Store, move || store(&inner, &key, &record)).await
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Stored> {
        self.0.open_for(Operation::Remove)?;
        self.0.remove(key, when, None).map_err(|fault| fault.during(Operation::Remove))
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.0.open_for(Operation::Traverse)?;
        let page = self.0.area.page(prefix, &from, limit, self.0.now())?;
        if page.next.is_some() {
            yield_now().await;
        }
        Ok(page)
    }

    async fn touch(
        &self,
        key: &Key,
        from: Revision,
        to: Revision,
        deadline: Option<Timestamp>,
    ) -> Result<bool> {
        self.0.open_for(Operation::Touch)?;
        self.0.touch(key, from, to, deadline).map_err(|fault| fault.during(Operation::Touch))
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        let shards = self.0.area.geometry.shards;
        let limit = limit as u64;
        let mut removed = 0;
        // Elsewhere than the last time, so that a small limit comes to every shard.
        let first = self.0.turn.fetch_add(1, Ordering::Relaxed);
        for step in 0..shards {
            let number = first.wrapping_add(step) & (shards - 1);
            let mut under_way = None;
            while removed < limit {
                self.0.open_for(Operation::Purge)?;
                let batch = self.0.purge_some(number, &mut under_way, limit - removed);
                removed += batch.map_err(|fault| fault.during(Operation::Purge))?;
                if under_way.is_none() {
                    break;
                }
                yield_now().await;
            }
        }
        self.0.open_for(Operation::Purge)?;
        let now = self.0.now();
        let more = removed >= limit && (0..shards).any(|number| self.0.area.shard(number).is_due(now));
        Ok(Purged { removed, more })
    }

    async fn count(&self, prefix: &Prefix) -> Result<u64> {
        let now = self.0.now();
        let mut total = 0;
        for shard in 0..self.0.area.geometry.shards {
            let mut tag = 0;
            while tag < TAGS {
                self.0.open_for(Operation::Count)?;
                for _ in 0..BATCH {
                    let step = self.0.area.count_step(prefix, shard, tag, now);
                    let (live, next) = step.map_err(|fault| fault.during(Operation::Count))?;
                    total += live;
                    tag = next;
                }
                if tag < TAGS {
                    yield_now().await;
                }
            }
        }
        self.0.open_for(Operation::Count)?;
        Ok(total)
    }

    /// Synchronises the file, on a thread of its own: a disk may take its time.
    async fn flush(&self) -> Result<()> {
        self.0.open_for(Operation::Flush)?;
        sync(&self.0, Operation::Flush).await
    }

    async fn close(&self) -> Result<()> {
        if self.0.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        sync(&self.0, Operation::Close).await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none()
            .conditional(true)
            .survives(Survives::Kill)
            .rolls_back(RollsBack::PowerLoss)
            .shared(Shared::Host)
            .expiry(Expiry::Caller)
            .max_value(Some(self.0.max_value))
            .evicts(self.0.config.when_full == WhenFull::Evict)
            .exactly_once(true)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.config.clock)
    }
}

impl fmt::Debug for Mmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mmap").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Inner {
    fn open_for(&self, operation: Operation) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::closed(operation)) } else { Ok(()) }
    }

    fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    fn retrieve(&self, key: &Key) -> Result<Option<Record>, Fault> {
        let key = key.as_bytes();
        let hash = hash(self.area.seed, key);
        let Some((record, used)) = self.area.shard_of(hash).read(key, hash)? else { return Ok(None) };
        let evicts = self.config.when_full == WhenFull::Evict;
        if record.expires.is_none() && !evicts {
            return Ok(Some(record));
        }
        let now = self.now();
        if !record.is_live(now) {
            return Ok(None);
        }
        if evicts && now.as_millis().abs_diff(used) >= USE_GRAIN {
            self.note_use(key, hash, now);
        }
        Ok(Some(record))
    }

    /// Only if the lock is free: a reader does not wait for a note.
    #[cold]
    fn note_use(&self, key: &[u8], hash: u64, now: Timestamp) {
        if let Ok(locked) = self.area.shard_of(hash).lock_within(Duration::ZERO)
            && let Ok(Look::Found(place)) = locked.look(key, hash)
        {
            locked.note_use(&place, now.as_millis());
        }
    }

    fn store(&self, key: &Key, record: &Record, when: Condition) -> Result<Stored, Fault> {
        let now = self.now();
        if !record.is_live(now) {
            return self.remove(key, when, Some(record.revision));
        }
        let key = key.as_bytes();
        let hash = hash(self.area.seed, key);
        let state = State { expires: record.expires, revision: record.revision };
        let draft = Draft::new(key, hash, &record.data, state).ok_or(Fault::Full)?;
        let shard = self.area.shard_of(hash);
        for _ in 0..TURNS {
            let locked = shard.lock()?;
            let look = locked.look(key, hash)?;
            if let Some(answer) = decide(&locked, &look, when, Some(record.revision), now)? {
                return Ok(answer);
            }
            if locked.put(&look, &draft, now.as_millis())? {
                return Ok(Stored::Yes);
            }
            drop(locked);
            if !self.area.make_room(shard.number, hash, self.config.when_full, now)? {
                break;
            }
        }
        Err(Fault::Full)
    }

    /// Removes; `offered` is the revision of the dead record whose store acts as this removal.
    fn remove(&self, key: &Key, when: Condition, offered: Option<Revision>) -> Result<Stored, Fault> {
        let now = self.now();
        let key = key.as_bytes();
        let hash = hash(self.area.seed, key);
        let locked = self.area.shard_of(hash).lock()?;
        let look = locked.look(key, hash)?;
        if let Some(answer) = decide(&locked, &look, when, offered, now)? {
            return Ok(answer);
        }
        let was_there = match &look {
            Look::Missing(_) => false,
            Look::Found(place) => {
                locked.delete(place.slot, Some(place.head.units))?;
                is_live(place.state.expires, now)
            }
            Look::Damaged(slot) => {
                locked.delete(*slot, None)?;
                true
            }
        };
        let answers = was_there || offered.is_some() || when == Condition::Absent;
        Ok(if answers { Stored::Yes } else { Stored::Conflict(None) })
    }

    fn touch(
        &self,
        key: &Key,
        from: Revision,
        to: Revision,
        deadline: Option<Timestamp>,
    ) -> Result<bool, Fault> {
        let now = self.now();
        let key = key.as_bytes();
        let hash = hash(self.area.seed, key);
        let locked = self.area.shard_of(hash).lock()?;
        match locked.look(key, hash)? {
            Look::Missing(_) => Ok(false),
            Look::Damaged(_) => Err(Fault::Damaged("the head of the record")),
            Look::Found(place) if !is_live(place.state.expires, now) => Ok(false),
            Look::Found(place) if place.state.revision == to => Ok(true),
            Look::Found(place) if place.state.revision == from => {
                locked.touch(&place, &State { expires: deadline, revision: to }, now.as_millis());
                Ok(true)
            }
            Look::Found(_) => Ok(false),
        }
    }

    /// Some steps of a purge of one shard.
    fn purge_some(&self, number: u32, under_way: &mut Option<Purge>, limit: u64) -> Result<u64, Fault> {
        let now = self.now();
        let shard = self.area.shard(number);
        if under_way.is_none() && !shard.is_due(now) {
            return Ok(0);
        }
        let mut removed = 0;
        for _ in 0..BATCH {
            let locked = shard.lock()?;
            let purge = under_way.take().unwrap_or_else(|| Purge::begin(&locked));
            let (gone, rest) = purge.step(&locked, limit - removed, now)?;
            removed += gone;
            *under_way = rest;
            if under_way.is_none() || removed >= limit {
                break;
            }
        }
        Ok(removed)
    }
}

/// What a condition says to what was found: `None` to go on with the change.
fn decide(
    locked: &Locked<'_>,
    look: &Look<'_>,
    when: Condition,
    offered: Option<Revision>,
    now: Timestamp,
) -> Result<Option<Stored>, Fault> {
    let live: Option<&Place<'_>> = match look {
        Look::Missing(_) => None,
        Look::Found(place) => is_live(place.state.expires, now).then_some(place),
        // Nobody knows its revision; who does not ask for it may write over it.
        Look::Damaged(_) if when == Condition::Any => return Ok(None),
        Look::Damaged(_) => return Err(Fault::Damaged("the head of the record")),
    };
    match when.decide(live.map(|place| place.state.revision), offered) {
        Decision::Apply => Ok(None),
        Decision::AlreadyApplied => Ok(Some(Stored::Yes)),
        Decision::Conflict => {
            let record = live.map(|place| locked.record(place)).transpose()?;
            Ok(Some(Stored::Conflict(record)))
        }
    }
}

async fn sync(inner: &Arc<Inner>, operation: Operation) -> Result<()> {
    let inner = Arc::clone(inner);
    elsewhere(operation, move || inner.area.sync().map_err(|fault| fault.during(operation))).await
}

/// Runs what takes its time on a thread of its own. Who drops the future does not stop it.
async fn elsewhere<T: Send + 'static>(
    operation: Operation,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (done, answer) = oneshot::channel();
    let thread = std::thread::Builder::new().name("session-mmap".into()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = done.send(work());
    });
    thread.map_err(|cause| {
        let error = Error::new(ErrorKind::Unavailable, operation).with_source(cause);
        error.with_detail("a thread of the driver could not be started")
    })?;
    answer.await.unwrap_or_else(|_| {
        let error = Error::new(ErrorKind::Backend, operation).with_detail("a thread of the driver has ended");
        Err(error.applied_unknown())
    })
}

async fn yield_now() {
    let mut yielded = false;
    let once = std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    });
    pin!(once).await;
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use session_core::TestClock;

    use super::*;

    fn next(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *seed >> 33
    }

    fn revision(n: u64) -> Revision {
        Revision::from_bytes(n.to_le_bytes())
    }

    /// Thousands of random operations on a small file, against a map in plain sight.
    #[test]
    fn it_answers_as_a_plain_map_would_and_the_books_stay_right() {
        for (seed, max_bytes, shards, longest) in [
            (1, 16 << 20, 4, 3_000),
            (2, 256 << 10, 1, 700),
            (3, 512 << 10, 2, 9_000),
            (4, 400 << 10, 4, 1_900),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let clock = TestClock::new(Timestamp::from_millis(1_000_000));
            let config = || {
                Config::new(directory.path().join("map"))
                    .max_bytes(max_bytes)
                    .extent_bytes(4096)
                    .shards(shards)
                    .clock(Arc::new(clock.clone()))
            };
            let mut store = Mmap::open(config()).unwrap();
            let mut model: HashMap<Key, Record> = HashMap::new();
            let mut seed: u64 = seed;
            let mut refused = 0;
            for step in 0..12_000 {
                let now = clock.now();
                let pick = next(&mut seed);
                let key =
                    Key::parse(&format!("{}:{:0>20}", ["session", "user"][pick as usize % 2], pick % 463))
                        .unwrap();
                let live = model.get(&key).filter(|record| record.is_live(now)).cloned();
                let known = live.as_ref().map_or(revision(0), |record| record.revision);
                let when = match next(&mut seed) % 4 {
                    0 => Condition::Any,
                    1 => Condition::Absent,
                    _ => Condition::Revision(known),
                };
                let deadline = match next(&mut seed) % 5 {
                    0 => None,
                    1 => Some(now),
                    _ => Some(now.saturating_add(Duration::from_millis(next(&mut seed) % 400_000))),
                };
                match next(&mut seed) % 10 {
                    0..=5 => {
                        let data = vec![step as u8; (next(&mut seed) % longest) as usize];
                        let record = Record::new(data, deadline, revision(step + 1));
                        let decision =
                            when.decide(live.as_ref().map(|live| live.revision), Some(record.revision));
                        match store.0.store(&key, &record, when) {
                            Ok(answer) if decision == Decision::Apply => {
                                assert_eq!(answer, Stored::Yes);
                                model.insert(key, record);
                            }
                            Ok(answer) => assert_eq!(answer, Stored::Conflict(live)),
                            Err(Fault::Full) if decision == Decision::Apply => refused += 1,
                            Err(fault) => panic!("{fault:?}"),
                        }
                    }
                    6 => {
                        let answer = store.0.remove(&key, when, None).unwrap();
                        let decision = when.decide(live.as_ref().map(|live| live.revision), None);
                        match (decision, live) {
                            (Decision::Apply, None) if when == Condition::Absent => {
                                assert_eq!(answer, Stored::Yes)
                            }
                            (Decision::Apply, Some(_)) => {
                                assert_eq!(answer, Stored::Yes);
                                model.remove(&key);
                            }
                            (_, live) => assert_eq!(answer, Stored::Conflict(live)),
                        }
                    }
                    7 => {
                        let moved = store.0.touch(&key, known, revision(step + 1), deadline).unwrap();
                        assert_eq!(moved, live.is_some());
                        if let Some(record) = live {
                            model.insert(
                                key,
                                Record { expires: deadline, revision: revision(step + 1), ..record },
                            );
                        }
                    }
                    8 => clock.advance(Duration::from_millis(pick % 300)),
                    _ => {
                        let mut under_way = None;
                        let number = pick as u32 & (shards as u32 - 1);
                        let gone = store.0.purge_some(number, &mut under_way, 5).unwrap();
                        assert!(gone <= 5);
                    }
                }
                if step % 1_000 == 999 {
                    for (key, record) in &model {
                        let expected = record.is_live(clock.now()).then(|| record.clone());
                        assert_eq!(store.0.retrieve(key).unwrap(), expected);
                    }
                    store.0.area.audit();
                }
                if step % 3_000 == 2_999 {
                    drop(store);
                    store = Mmap::open(config()).unwrap();
                    store.0.area.audit();
                    assert_eq!(store.repairs(), Repairs::default());
                }
            }
            assert_eq!(refused > 0, max_bytes < 1 << 20, "{refused} of a file of {max_bytes} bytes");
        }
    }
}

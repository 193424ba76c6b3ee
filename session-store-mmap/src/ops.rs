//! What the operations do, without a future: in place, or on a thread of the driver.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use session_core::{
    Change, Clock, Condition, Cursor, Key, OldDecision, Page, Prefix, Record, Revision, Timestamp, Touch,
    is_live,
};

use crate::area::Area;
use crate::aside::SLICE;
use crate::config::OnFull;
use crate::error::Fault;
use crate::layout::hash;
use crate::record::{Draft, State};
use crate::room::Purge;
use crate::shard::{Locked, Look, Place, Shard};

/// How exactly it is known when a session was used last, in milliseconds: to know it better, reads would write more.
const USE_GRAIN: u64 = 1000;
/// How often a store that finds no room makes some and tries again. Each time makes some; others may take it.
const TURNS: usize = 10_000;

/// The operations on one file.
#[derive(Clone)]
pub(crate) struct Ops {
    pub(crate) area: Area,
    on_full: OnFull,
    clock: Arc<dyn Clock>,
    /// Whether the caller has gone, where these operations are not its own thread's.
    gone: Option<Arc<AtomicBool>>,
}

impl Ops {
    /// Operations that run in place: what would wait, or take long, is [`Fault::Busy`] or [`Fault::Long`].
    pub(crate) fn new(area: &Area, on_full: OnFull, clock: Arc<dyn Clock>) -> Self {
        Self { area: Area { patience: Duration::ZERO, ..area.clone() }, on_full, clock, gone: None }
    }

    /// The same for a thread that may take its time, and waits a little for each lock.
    pub(crate) fn patient(&self) -> Self {
        Self { area: Area { patience: SLICE, ..self.area.clone() }, ..self.clone() }
    }

    /// The same, as long as `gone` is not set.
    pub(crate) fn until(self, gone: Arc<AtomicBool>) -> Self {
        Self { gone: Some(gone), ..self }
    }

    /// The lock of a shard, for a change that its caller still waits for. That is asked under the lock: what a caller
    /// does after it has dropped a change needs the same lock, so that the change comes before it or not at all.
    fn lock<'a>(&self, shard: Shard<'a>) -> Result<Locked<'a>, Fault> {
        let locked = shard.lock()?;
        match &self.gone {
            Some(gone) if gone.load(Ordering::Acquire) => Err(Fault::Busy),
            _ => Ok(locked),
        }
    }

    pub(crate) fn page(&self, prefix: &Prefix, from: &Cursor, limit: usize) -> Result<Page, Fault> {
        self.area.page(prefix, from, limit, self.clock.now())
    }

    pub(crate) fn count_step(&self, prefix: &Prefix, shard: u32, from: u64) -> Result<(u64, u64), Fault> {
        self.area.count_step(prefix, shard, from, self.clock.now())
    }

    pub(crate) fn retrieve(&self, key: &Key) -> Result<Option<Record>, Fault> {
        let key = key.as_bytes();
        let hash = hash(self.area.seed, key);
        let Some((record, used)) = self.area.shard_of(hash).read(key, hash)? else { return Ok(None) };
        let evicts = self.on_full == OnFull::Evict;
        if record.expires.is_none() && !evicts {
            return Ok(Some(record));
        }
        let now = self.clock.now();
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
        if let Ok(locked) = self.area.shard_of(hash).lock()
            && let Ok(Look::Found(place)) = locked.look(key, hash)
        {
            locked.note_use(&place, now.as_millis());
        }
    }

    pub(crate) fn store(&self, key: &Key, record: &Record, when: Condition) -> Result<Change, Fault> {
        let now = self.clock.now();
        if !record.is_live(now) {
            return self.remove_for(key, when, Some(record.revision));
        }
        let key = key.as_bytes();
        let hash = hash(self.area.seed, key);
        let state = State { expires: record.expires, revision: record.revision };
        let draft = Draft::new(key, hash, &record.data, state).ok_or(Fault::Full)?;
        let shard = self.area.shard_of(hash);
        for _ in 0..TURNS {
            let locked = self.lock(shard)?;
            let look = locked.look(key, hash)?;
            if let Some(answer) = decide(&locked, &look, when, Some(record.revision), now)? {
                return Ok(answer);
            }
            if locked.put(&look, &draft, now.as_millis())? {
                return Ok(Change::Applied);
            }
            drop(locked);
            if self.area.is_in_place() {
                return Err(Fault::Long);
            }
            if !self.area.free_space(shard.number, hash, self.on_full, now)? {
                break;
            }
        }
        Err(Fault::Full)
    }

    pub(crate) fn remove(&self, key: &Key, when: Condition) -> Result<Change, Fault> {
        self.remove_for(key, when, None)
    }

    /// Removes; `offered` is the revision of the dead record whose store acts as this removal.
    fn remove_for(&self, key: &Key, when: Condition, offered: Option<Revision>) -> Result<Change, Fault> {
        let now = self.clock.now();
        let key = key.as_bytes();
        let hash = hash(self.area.seed, key);
        let locked = self.lock(self.area.shard_of(hash))?;
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
        Ok(if answers { Change::Applied } else { Change::Conflict(None) })
    }

    pub(crate) fn touch(&self, key: &Key, touch: Touch) -> Result<bool, Fault> {
        let Touch { from, to, deadline } = touch;
        let now = self.clock.now();
        let key = key.as_bytes();
        let hash = hash(self.area.seed, key);
        let locked = self.lock(self.area.shard_of(hash))?;
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

    /// A step of a purge of one shard, which begins or goes on.
    pub(crate) fn purge_step(
        &self,
        number: u32,
        under_way: Option<Purge>,
        limit: u64,
    ) -> Result<(u64, Option<Purge>), Fault> {
        let now = self.clock.now();
        let shard = self.area.shard(number);
        if under_way.is_none() && !shard.is_due(now) {
            return Ok((0, None));
        }
        let locked = shard.lock()?;
        under_way.unwrap_or_else(|| Purge::begin(&locked)).step(&locked, limit, now)
    }
}

/// What a condition says to what was found: `None` to go on with the change.
fn decide(
    locked: &Locked<'_>,
    look: &Look<'_>,
    when: Condition,
    offered: Option<Revision>,
    now: Timestamp,
) -> Result<Option<Change>, Fault> {
    let live: Option<&Place<'_>> = match look {
        Look::Missing(_) => None,
        Look::Found(place) => is_live(place.state.expires, now).then_some(place),
        // Nobody knows its revision; who does not ask for it may write over it.
        Look::Damaged(_) if when == Condition::Any => return Ok(None),
        Look::Damaged(_) => return Err(Fault::Damaged("the head of the record")),
    };
    match when.decide(live.map(|place| place.state.revision), offered) {
        OldDecision::Apply => Ok(None),
        OldDecision::AlreadyApplied => Ok(Some(Change::Applied)),
        OldDecision::Conflict => {
            let record = live.map(|place| locked.record(place)).transpose()?;
            Ok(Some(Change::Conflict(record)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use session_core::TestClock;

    use super::*;
    use crate::MmapConfig;
    use crate::layout::superblock;
    use crate::protocol::Words;

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
                MmapConfig::new(directory.path().join("map"))
                    .max_bytes(max_bytes)
                    .extent_bytes(4096)
                    .shards(shards)
                    .clock(Arc::new(clock.clone()))
            };
            let open = || {
                let config = config();
                let area = crate::open::open(&config).unwrap();
                Ops::new(&area, config.on_full, config.clock).patient()
            };
            let mut store = open();
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
                        match store.store(&key, &record, when) {
                            Ok(answer) if decision == OldDecision::Apply => {
                                assert_eq!(answer, Change::Applied);
                                model.insert(key, record);
                            }
                            Ok(answer) => assert_eq!(answer, Change::Conflict(live)),
                            Err(Fault::Full) if decision == OldDecision::Apply => refused += 1,
                            Err(fault) => panic!("{fault:?}"),
                        }
                    }
                    6 => {
                        let answer = store.remove(&key, when).unwrap();
                        let decision = when.decide(live.as_ref().map(|live| live.revision), None);
                        match (decision, live) {
                            (OldDecision::Apply, None) if when == Condition::Absent => {
                                assert_eq!(answer, Change::Applied)
                            }
                            (OldDecision::Apply, Some(_)) => {
                                assert_eq!(answer, Change::Applied);
                                model.remove(&key);
                            }
                            (_, live) => assert_eq!(answer, Change::Conflict(live)),
                        }
                    }
                    7 => {
                        let moved = store
                            .touch(&key, Touch { from: known, to: revision(step + 1), deadline })
                            .unwrap();
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
                        let number = pick as u32 & (shards as u32 - 1);
                        let (gone, _) = store.purge_step(number, None, 5).unwrap();
                        assert!(gone <= 5);
                    }
                }
                if step % 1_000 == 999 {
                    for (key, record) in &model {
                        let expected = record.is_live(clock.now()).then(|| record.clone());
                        assert_eq!(store.retrieve(key).unwrap(), expected);
                    }
                    store.area.audit();
                }
                if step % 3_000 == 2_999 {
                    drop(store);
                    store = open();
                    store.area.audit();
                    assert_eq!(store.area.superblock().get(superblock::REPAIRED), 0);
                }
            }
            assert_eq!(refused > 0, max_bytes < 1 << 20, "{refused} of a file of {max_bytes} bytes");
        }
    }
}

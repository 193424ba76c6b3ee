//! Store, remove and touch: take the lock, look, decide by the rule of session-core, write.

use session_core::offload::Caller;
use session_core::{
    Change, Condition, Decision, Key, Record, Timestamp, Touch, decide_remove, decide_store, decide_touch,
    is_live,
};

use crate::error::Fault;
use crate::file::SessionFile;
use crate::layout::hash;
use crate::record::{Draft, State};
use crate::shard::{Locked, Lookup, Shard};

/// How often a store makes room and tries again. Each time makes some room, which other stores may take.
const ATTEMPTS: usize = 10_000;

impl SessionFile {
    pub(crate) fn store(
        &self,
        key: &Key,
        record: &Record,
        condition: Condition,
        caller: Option<Caller<'_>>,
    ) -> Result<Change, Fault> {
        let now = self.clock.now();
        let lives = record.is_live(now);
        let key = key.as_bytes();
        let hash = hash(self.seed, key);
        let state = State { deadline: record.expires, revision: record.revision };
        let draft = Draft::new(key, hash, &record.data, state).ok_or(Fault::Full)?;
        let shard = self.shard_of(hash);
        for _ in 0..ATTEMPTS {
            let locked = lock(shard, caller)?;
            let look = locked.look(key, hash)?;
            let decision = decide_store(look.at(now), condition, record.revision, lives);
            if decision != Decision::Write || locked.put(&look, &draft, now)? {
                return answer(&locked, decision, &look, now);
            }
            drop(locked);
            if self.in_place {
                return Err(Fault::NeedsThread);
            }
            if !self.make_room(shard.number, hash, now)? {
                break;
            }
        }
        Err(Fault::Full)
    }

    pub(crate) fn remove(
        &self,
        key: &Key,
        condition: Condition,
        caller: Option<Caller<'_>>,
    ) -> Result<Change, Fault> {
        let now = self.clock.now();
        let key = key.as_bytes();
        let hash = hash(self.seed, key);
        let locked = lock(self.shard_of(hash), caller)?;
        let look = locked.look(key, hash)?;
        answer(&locked, decide_remove(look.at(now), condition), &look, now)
    }

    pub(crate) fn touch(&self, key: &Key, touch: Touch, caller: Option<Caller<'_>>) -> Result<bool, Fault> {
        let now = self.clock.now();
        let key = key.as_bytes();
        let hash = hash(self.seed, key);
        let locked = lock(self.shard_of(hash), caller)?;
        let look = locked.look(key, hash)?;
        match (decide_touch(look.at(now), touch), &look) {
            (Decision::Write, Lookup::Found(record)) => {
                locked.touch(record, &State { deadline: touch.deadline, revision: touch.to }, now);
                Ok(true)
            }
            // A conflict without the record, which no caller of a touch needs.
            (Decision::Conflict, _) => Ok(false),
            (decision, look) => Ok(answer(&locked, decision, look, now)?.is_applied()),
        }
    }
}

/// The lock of a shard, unless the caller has dropped its future. The caller's next change of the key takes the same
/// lock, so this change comes before it or not at all (C14).
#[inline(always)]
fn lock<'a>(shard: Shard<'a>, caller: Option<Caller<'_>>) -> Result<Locked<'a>, Fault> {
    let locked = shard.lock()?;
    if caller.is_some_and(|caller| caller.is_gone()) { Err(Fault::Busy) } else { Ok(locked) }
}

/// Carries out a decision and answers it. The caller has done the writing of [`Decision::Write`].
#[inline]
fn answer(
    locked: &Locked<'_>,
    decision: Decision,
    look: &Lookup<'_>,
    now: Timestamp,
) -> Result<Change, Fault> {
    match (decision, look) {
        (Decision::Write | Decision::AlreadyApplied | Decision::AlreadyAbsent, _) => Ok(Change::Applied),
        (Decision::Delete, _) => locked.delete(look).map(|()| Change::Applied),
        (Decision::Conflict, Lookup::Found(found)) if is_live(found.state.deadline, now) => {
            found.record(locked.file.in_place).map(|record| Change::Conflict(Some(record)))
        }
        (Decision::Conflict, _) => Ok(Change::Conflict(None)),
        (Decision::Corrupt, _) => Err(Fault::Damaged("the head of the record")),
    }
}

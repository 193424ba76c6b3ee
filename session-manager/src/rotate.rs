//! Rotation: the same session under a new id.

use std::time::Duration;

use bytes::Bytes;
use session_core::{Change, Condition, Driver, Record, Timestamp, is_live};

use crate::commit::renew;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::outcome::{Committed, EndReason, IdUpdate, Outcome};
use crate::random;
use crate::sessions::Inner;
use crate::settle::{DRAWS, New, Patience};
use crate::table::{Content, TOMBSTONE_DATA, Table};
use crate::work::{Loaded, Pending, Work};

/// How long the tombstone stays under the old key: longer than any request that began with the old id.
const TOMBSTONE_TIME: Duration = Duration::from_secs(60);

impl<D: Driver> Inner<D> {
    /// 1. The data is stored under a new id. 2. A tombstone takes the place of the old record, on its revision. If
    ///    another request wrote there first, the log is replayed on that, the new record is written anew, and 2 is tried
    ///    again.
    ///
    /// A crash between the two leaves the old session as it was and a record that nobody can reach, until its
    /// deadline.
    pub(crate) async fn rotate(&self, work: &mut Work, mut old: Loaded) -> Result<Committed, Error> {
        let mut patience = Patience::new();
        if let Some(reason) = self.overdue(work, &mut old, &mut patience).await? {
            return Ok(self.ended(work, reason, patience.tries));
        }
        let (mut next, mut data) = self.place(work).await?;
        loop {
            let now = self.clock.now();
            let tombstone = Record {
                data: Bytes::from_static(&TOMBSTONE_DATA),
                expires: Some(now.saturating_add(TOMBSTONE_TIME)),
                revision: random::revision()?,
            };
            work.pending = Some(Box::new(Pending {
                next: next.clone(),
                data: data.clone(),
                ops: work.log.len(),
                rotations: work.rotations,
                before: Some(old.revision),
                tombstone: Some((old.key.clone(), tombstone.revision, tombstone.expires)),
            }));
            let answer = self.replace(&old.key, &tombstone, old.revision, true).await;
            let there = match work.answered(answer) {
                Ok(Change::Applied) => {
                    let (ops, rotations) = (work.log.len(), work.rotations);
                    self.succeed(work, next, data, ops, rotations)?;
                    return Ok(Committed { replays: patience.tries, ..Committed::new(Outcome::Rotated) });
                }
                Ok(Change::Conflict(there)) => there,
                Err(error) => {
                    if error.kind() != ErrorKind::Uncertain {
                        self.take_back(&next).await;
                    }
                    return Err(error);
                }
            };
            match self.rebase(work, &mut old, there, &mut patience).await {
                Ok(None) => {}
                Ok(Some(reason)) => {
                    self.take_back(&next).await;
                    return Ok(self.ended(work, reason, patience.tries));
                }
                Err(error) => {
                    self.take_back(&next).await;
                    return Err(error);
                }
            }
            match self.place_again(work, &next).await {
                Ok(Some((newer, bytes))) => (next, data) = (newer, bytes),
                // Nobody else knows the new id: an operator's clean-up, or a store that evicts. The old session lives.
                Ok(None) => {
                    self.take_back(&next).await;
                    (next, data) = self.place(work).await?;
                }
                Err(error) => {
                    self.take_back(&next).await;
                    return Err(error);
                }
            }
        }
    }

    /// Stores the session under a new id. If it fails, the session is as it was.
    async fn place(&self, work: &mut Work) -> Result<(Loaded, Bytes), Error> {
        let mut last = New::Taken;
        for _ in 0..DRAWS {
            let (data, expires) = self.successor(work);
            let next = self.draw(expires)?;
            let record = Record { data: data.clone(), expires, revision: next.revision };
            last = self.store_new(&next.key, &record).await.map_err(Error::without_effect)?;
            if matches!(last, New::Stored) {
                return Ok((next, data));
            }
        }
        Err(last.into_error())
    }

    /// Writes the new record anew, after a replay.
    async fn place_again(&self, work: &mut Work, next: &Loaded) -> Result<Option<(Loaded, Bytes)>, Error> {
        let (data, expires) = self.successor(work);
        let newer = Loaded { revision: random::revision()?, expires, ..next.clone() };
        let record = Record { data: data.clone(), expires, revision: newer.revision };
        let answer = self.replace(&next.key, &record, next.revision, false).await;
        Ok(answer.map_err(Error::without_effect)?.is_applied().then_some((newer, data)))
    }

    fn successor(&self, work: &mut Work) -> (Bytes, Option<Timestamp>) {
        let now = self.clock.now();
        let encoded = work.encode(&self.config, now, |header| renew(header, now));
        let expires = Some(encoded.header.deadline(now));
        (encoded.stamped(now), expires)
    }

    fn succeed(
        &self,
        work: &mut Work,
        next: Loaded,
        data: Bytes,
        ops: usize,
        rotations: u32,
    ) -> Result<(), Error> {
        let (key, client) = (next.key.clone(), IdUpdate::Set { id: next.id, deadline: next.expires });
        work.adopt(next, data, ops, rotations, self.clock.now())?;
        self.emit(Some(&key), &Event::Rotated);
        work.client = client;
        work.end = None;
        Ok(())
    }

    /// Removes a new record that will never be used. If that fails it stays, out of anybody's reach, until its
    /// deadline; the failure that led here is the one to report.
    pub(crate) async fn take_back(&self, next: &Loaded) {
        drop(self.driver.remove(&next.key, Condition::Any).await);
    }

    /// As [`resolve`](Self::resolve), where the call was the one that places the tombstone.
    pub(crate) async fn resolve_rotation(&self, work: &mut Work) -> Result<Option<Outcome>, Error> {
        let Some(Pending { next, data, ops, rotations, before: Some(before), tombstone: Some(tombstone) }) =
            work.pending.as_deref()
        else {
            return Ok(None);
        };
        let (next, data, ops, rotations, before) = (next.clone(), data.clone(), *ops, *rotations, *before);
        let (old, revision, expires) = tombstone.clone();
        let now = self.clock.now();
        let there = if is_live(next.expires, now) && is_live(expires, now) {
            let record = Record { data: Bytes::from_static(&TOMBSTONE_DATA), expires, revision };
            self.replace(&old, &record, before, true).await?
        } else {
            // It is too late to place the tombstone now: look whether it was.
            Change::Conflict(
                self.driver
                    .retrieve(&old)
                    .await
                    .map_err(|error| Error::new(ErrorKind::Uncertain).with_source(error))?,
            )
        };
        match there {
            Change::Applied => {
                self.succeed(work, next, data, ops, rotations)?;
                Ok(Some(Outcome::Rotated))
            }
            Change::Conflict(there) => {
                work.pending = None;
                self.take_back(&next).await;
                let reason = match there.map(|record| Table::parse(record.data)) {
                    None => EndReason::Revoked,
                    Some(Ok(Content::Tombstone)) => EndReason::Replaced,
                    // Nothing ever takes the place of a tombstone, so ours was not placed: rotate from the start.
                    Some(_) => return Ok(None),
                };
                Ok(Some(self.ended(work, reason, 0).outcome))
            }
        }
    }
}

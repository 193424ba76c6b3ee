//! Defects of `retrieve_recent`: a cache with one mistake.

use std::time::{Duration, Instant};

use session_core::{Driver, Key, Record, Result};

use super::Defect::*;
use super::Defective;

/// The bound that a handle with a cache claims.
pub(super) const STALENESS: Duration = Duration::from_millis(20);

impl Defective {
    pub(super) fn caches_reads(&self) -> bool {
        matches!(
            self.defect,
            RecentKeepsOffered
                | RecentMissesTouch
                | RecentShowsExpired
                | RecentFillsLate
                | RecentForever
                | RecentAgesFromUse
        )
    }

    pub(super) async fn read_recent(&self, key: &Key) -> Result<Option<Record>> {
        let now = self.now();
        let kept = self.remember(|memory| {
            let (record, since) = memory.recent.get_mut(key)?;
            let is_fresh = self.is(RecentForever) || since.elapsed() < STALENESS;
            let is_live = self.is(RecentShowsExpired) || record.is_live(now);
            if self.is(RecentAgesFromUse) {
                *since = Instant::now();
            }
            (is_fresh && is_live).then(|| record.clone())
        });
        if kept.is_some() {
            return Ok(kept);
        }
        let (turn, since) = (self.remember(|memory| memory.turns), Instant::now());
        let found = self.retrieve(key).await?;
        if self.is(RecentFillsLate) {
            self.pause().await;
        }
        self.remember(|memory| {
            if let Some(found) = &found
                && (memory.turns == turn || self.is(RecentFillsLate))
            {
                memory.recent.insert(key.clone(), (found.clone(), since));
            }
        });
        Ok(found)
    }

    /// Before and after each change.
    pub(super) fn forget_recent(&self, key: &Key) {
        self.remember(|memory| {
            memory.turns += 1;
            memory.recent.remove(key);
        });
    }

    pub(super) fn keep_recent(&self, key: &Key, record: Record) {
        self.remember(|memory| memory.recent.insert(key.clone(), (record, Instant::now())));
    }
}

//! Defects of `traverse` and `purge`.

use std::time::Duration;

use session_core::{
    Cursor, Driver, Entry, Key, Operation, Page, Prefix, Purged, Record, Result, StoreError, StoreErrorKind,
    is_live,
};

use super::Defect::*;
use super::Defective;

const PAGE_OF_COUNT: usize = 200;

impl Defective {
    pub(super) async fn page(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let limit = match self.defect {
            Nothing => return self.inner.traverse(prefix, from, limit).await,
            LimitZeroEnds if limit == 0 => return Ok(Page::last(Vec::new())),
            CursorIsOffset => return self.page_at_offset(prefix, &from, limit).await,
            WholeAtOnce => usize::MAX,
            _ => limit,
        };
        let from = self.unmarked(from)?;
        let mut page = match self.inner.traverse(prefix, from.clone(), limit).await {
            Err(_) if self.is(GarbageStartsAgain) => {
                self.inner.traverse(prefix, Cursor::start(), limit).await?
            }
            answer => answer?,
        };
        match (self.defect, from.key(prefix).ok().flatten()) {
            (CursorNeedsItsKey, Some(key)) if self.inner.retrieve(&key).await?.is_none() => {
                return Err(StoreError::invalid_cursor("its key is gone"));
            }
            (RepeatsKeys, Some(key)) => page.entries.insert(0, Entry::new(key)),
            (EmptyTraversalFails, None) if page.entries.is_empty() => {
                return Err(StoreError::new(StoreErrorKind::Backend, Operation::Traverse));
            }
            (EntryLies, _) => page.entries.iter_mut().for_each(|entry| entry.size = Some(1 << 40)),
            (TraverseTouches, _) => {
                for key in page.entries.iter().map(|entry| &entry.key) {
                    let later = |record: Record| Record {
                        expires: record.expires.map(|at| at.saturating_add(Duration::from_millis(1))),
                        ..record
                    };
                    self.inner.put(key, self.inner.stored(key)?.map(later))?;
                }
            }
            (TraverseFailsAtDamage | DamageEndsTraverse, _) => {
                for at in 0..page.entries.len() {
                    match self.inner.retrieve(&page.entries[at].key).await {
                        Err(error) if self.is(TraverseFailsAtDamage) => return Err(error),
                        Err(_) => return Ok(Page::last(page.entries[..at].to_vec())),
                        Ok(_) => {}
                    }
                }
            }
            _ => {}
        }
        if page.next.is_none() {
            if self.is(TraverseSkipsLast) {
                page.entries.pop();
            }
            page.entries.extend(self.extra(prefix, limit)?.into_iter().map(Entry::new));
        }
        page.next = page.next.map(|next| self.marked(next));
        Ok(page)
    }

    /// The keys that a defect adds to the last page.
    fn extra(&self, prefix: &Prefix, limit: usize) -> Result<Vec<Key>> {
        let mut extra = self.inner.keys()?;
        let counts = limit > PAGE_OF_COUNT;
        let is_longer = |key: &Key| !key.is_in(prefix) && key.as_str().starts_with(prefix.as_str());
        let expired =
            |key: &Key| self.inner.stored(key).unwrap_or_default().map(|record| !record.is_live(self.now()));
        extra.retain(|key| match self.defect {
            ReportsRemoved => key.is_in(prefix) && expired(key).is_none(),
            ReportsExpired => key.is_in(prefix) && expired(key) == Some(true),
            CountsOtherPrefixes => counts && !key.is_in(prefix),
            PrefixMatchesLonger => is_longer(key),
            ClearsOtherPrefixes => counts && is_longer(key),
            _ => false,
        });
        Ok(extra)
    }

    async fn page_at_offset(&self, prefix: &Prefix, from: &Cursor, limit: usize) -> Result<Page> {
        let offset: usize = std::str::from_utf8(from.as_bytes()).unwrap().parse().unwrap_or(0);
        let all = self.inner.traverse(prefix, Cursor::start(), usize::MAX).await?.entries;
        let end = offset.saturating_add(limit.max(1));
        let next = (end < all.len()).then(|| Cursor::from_bytes(end.to_string().into_bytes()));
        Ok(Page { entries: all.into_iter().skip(offset).take(limit.max(1)).collect(), next })
    }

    /// The bytes that some defects write into a cursor before its key.
    fn mark(&self) -> Option<[u8; 8]> {
        match self.defect {
            CursorOfHandle | CursorOfHandleStartsAgain => Some(self.id.to_le_bytes()),
            TraverseFailsOnChange => Some(self.remember(|memory| memory.changes).to_le_bytes()),
            _ => None,
        }
    }

    fn marked(&self, next: Cursor) -> Cursor {
        match self.mark() {
            Some(mark) => Cursor::from_bytes([&mark, next.as_bytes()].concat()),
            None => next,
        }
    }

    fn unmarked(&self, from: Cursor) -> Result<Cursor> {
        let Some((mark, bytes)) = self.mark().zip(from.as_bytes().split_at_checked(8)) else {
            return Ok(from);
        };
        match self.defect {
            _ if bytes.0 == mark => Ok(Cursor::from_bytes(bytes.1.to_vec())),
            CursorOfHandleStartsAgain => Ok(Cursor::start()),
            CursorOfHandle => Err(StoreError::invalid_cursor("it is of another handle")),
            _ => Err(StoreError::new(StoreErrorKind::Backend, Operation::Traverse)),
        }
    }

    pub(super) async fn sweep(&self, limit: usize) -> Result<Purged> {
        let racy = match self.defect {
            PurgeSaysNone => return Ok(Purged::default()),
            PurgeDoesNotRecheck | PurgeCountsTwice => true,
            PurgeTakesLive
            | PurgeTakesAnother
            | PurgeOnlySessions
            | PurgeRemembersDeadline
            | DamageEndsPurge => false,
            defect => {
                let limit = if defect == PurgeIgnoresLimit { usize::MAX } else { limit };
                let Purged { removed, more } = self.inner.purge(limit).await?;
                let missed = u64::from(defect == PurgeMiscounts && removed > 0);
                return Ok(Purged { removed: removed - missed, more: more || defect == PurgeNeverEnds });
            }
        };
        let due = self.due(limit)?;
        if racy {
            self.pause().await;
        }
        for key in &due {
            let is_there = self.inner.stored(key)?.is_some();
            if is_there || !self.is(PurgeCountsTwice) {
                self.inner.put(key, None)?;
                self.remember(|memory| memory.first_due.remove(key));
            }
        }
        Ok(Purged { removed: due.len() as u64, more: !self.due(1)?.is_empty() })
    }

    /// The keys that a defect takes for expired.
    fn due(&self, limit: usize) -> Result<Vec<Key>> {
        let now = self.now();
        let mut due = Vec::new();
        for key in self.inner.keys()? {
            let Some(Record { expires, .. }) = self.inner.stored(&key)? else { continue };
            let is_due = match self.defect {
                PurgeTakesLive => !is_live(expires, now.saturating_add(Duration::from_millis(10))),
                PurgeOnlySessions => !is_live(expires, now) && key.prefix() == "session",
                PurgeRemembersDeadline => {
                    self.remember(|memory| memory.first_due.get(&key).is_some_and(|first| *first <= now))
                }
                PurgeTakesAnother => is_live(expires, now),
                _ => !is_live(expires, now),
            };
            if is_due && self.is(DamageEndsPurge) && self.inner.check(&key).is_err() {
                break;
            }
            if is_due && due.len() < limit {
                due.push(key);
            }
        }
        Ok(due)
    }
}

//! Defects of `retrieve`.

use std::time::Duration;

use session_core::{Driver, Key, Operation, Record, Result, Revision, StoreError, StoreErrorKind};

use super::Defect::*;
use super::{Defective, table};

const HOUR: Duration = Duration::from_secs(3_600);
const ONE: Revision = Revision::from_bytes([1; 8]);

impl Defective {
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Record>> {
        assert!(!self.is(RetrievePanics), "a defect of a driver");
        if self.is(FirstReadFails) && self.remember(|memory| memory.is_odd(key)) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, Operation::Retrieve));
        }
        let known = self.remember(|memory| match self.defect {
            HandleCaches | RemovalNotWritten | TouchNotWritten => memory.cache.get(key).cloned(),
            StaleRead => {
                memory.reads += 1;
                if memory.reads % 7 == 0 { memory.one_behind(key).map(Some) } else { None }
            }
            _ => None,
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let found = match self.inner.retrieve(key).await {
            Ok(Some(record)) => self.instead_of(key, record)?,
            Ok(None) => self.instead_of_nothing(key)?,
            Err(error) => self.instead_of_error(key, error)?,
        };
        if matches!(self.defect, HandleCaches | ComparesHandleCache) {
            self.remember(|memory| memory.cache.insert(key.clone(), found.clone()));
        }
        Ok(found)
    }

    fn instead_of(&self, key: &Key, mut record: Record) -> Result<Option<Record>> {
        let is_table = matches!(record.data[..], [1, 1 | 2, ..]);
        match self.defect {
            LosesRevision => record.revision = Revision::from_bytes([0; 8]),
            ReadCutsData => record.data.truncate(record.data.len().saturating_sub(1)),
            ShowsEarlierDeadlines => {
                record.expires = record.expires.map(|at| at.saturating_sub(HOUR / 2));
            }
            ReadsOneBehind => {
                return Ok(self.remember(|memory| memory.one_behind(key)).or(Some(record)));
            }
            ReadExtends => {
                let expires = record.expires.map(|at| at.saturating_add(HOUR));
                self.inner.put(key, Some(Record { expires, ..record.clone() }))?;
            }
            ReadRemoves => self.inner.put(key, None)?,
            EmptyIsAbsent if record.data.is_empty() => return Ok(None),
            NoneMeansACentury if record.expires.is_none() && self.now().as_millis() >= 6_000_000_000_000 => {
                return Ok(None);
            }
            GarbageIsAbsent if !is_table => return Ok(None),
            GarbageIsDeleted if !is_table => {
                self.inner.put(key, None)?;
                return Ok(None);
            }
            _ => {}
        }
        Ok(Some(record))
    }

    fn instead_of_nothing(&self, key: &Key) -> Result<Option<Record>> {
        let now = self.now();
        Ok(match self.defect {
            AbsentIsAnError => {
                return Err(StoreError::new(StoreErrorKind::Backend, Operation::Retrieve));
            }
            AbsentIsEmptySession => {
                Some(Record::new(table::empty(now), Some(now.saturating_add(2 * HOUR)), ONE))
            }
            AbsentIsAnother => self.remember(|memory| memory.newest(&memory.last.as_ref()?.0)),
            ShowsRemoved => self.remember(|memory| memory.newest(key)),
            NeedsCleanup | ShowsExpired => self.inner.stored(key)?,
            ExpiresLate => self.inner.stored(key)?.filter(|record| record.expires == Some(now)),
            RetrieveCreates => {
                self.inner.put(key, Some(Record::new(&b""[..], None, ONE)))?;
                None
            }
            _ => None,
        })
    }

    fn instead_of_error(&self, key: &Key, error: StoreError) -> Result<Option<Record>> {
        match (self.defect, error.kind()) {
            (DamagedIsAbsent, StoreErrorKind::Corrupt)
            | (GoneIsAbsent, StoreErrorKind::Unavailable)
            | (DeniedIsAbsent, StoreErrorKind::Misconfigured) => Ok(None),
            (DamagedIsReturned, StoreErrorKind::Corrupt) => Ok(Some(Record::new(&b"damaged"[..], None, ONE))),
            (DamagedIsDeleted, StoreErrorKind::Corrupt) => self.inner.put(key, None).map(|()| None),
            _ => Err(error),
        }
    }
}

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
            Some(HandleCaches | RemovalNotWritten | TouchNotWritten) => memory.cache.get(key).cloned(),
            Some(StaleRead) => {
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
        if matches!(self.defect, Some(HandleCaches | ComparesHandleCache)) {
            self.remember(|memory| memory.cache.insert(key.clone(), found.clone()));
        }
        Ok(found)
    }

    fn instead_of(&self, key: &Key, mut record: Record) -> Result<Option<Record>> {
        let is_table = matches!(record.data[..], [1, 1 | 2, ..]);
        match self.defect {
            Some(LosesRevision) => record.revision = Revision::from_bytes([0; 8]),
            Some(ReadCutsData) => record.data.truncate(record.data.len().saturating_sub(1)),
            Some(ShowsEarlierDeadlines) => {
                record.expires = record.expires.map(|at| at.saturating_sub(HOUR / 2));
            }
            Some(ReadsOneBehind) => {
                return Ok(self.remember(|memory| memory.one_behind(key)).or(Some(record)));
            }
            Some(ReadExtends) => {
                let expires = record.expires.map(|at| at.saturating_add(HOUR));
                self.inner.put(key, Some(Record { expires, ..record.clone() }))?;
            }
            Some(ReadRemoves) => self.inner.put(key, None)?,
            Some(EmptyIsAbsent) if record.data.is_empty() => return Ok(None),
            Some(NoneMeansACentury)
                if record.expires.is_none() && self.now().as_millis() >= 6_000_000_000_000 =>
            {
                return Ok(None);
            }
            Some(GarbageIsAbsent) if !is_table => return Ok(None),
            Some(GarbageIsDeleted) if !is_table => {
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
            Some(AbsentIsAnError) => {
                return Err(StoreError::new(StoreErrorKind::Backend, Operation::Retrieve));
            }
            Some(AbsentIsEmptySession) => {
                Some(Record::new(table::empty(now), Some(now.saturating_add(2 * HOUR)), ONE))
            }
            Some(AbsentIsAnother) => self.remember(|memory| memory.newest(&memory.last.as_ref()?.0)),
            Some(ShowsRemoved) => self.remember(|memory| memory.newest(key)),
            Some(NeedsCleanup | ShowsExpired) => self.inner.stored(key)?,
            Some(ExpiresLate) => self.inner.stored(key)?.filter(|record| record.expires == Some(now)),
            Some(RetrieveCreates) => {
                self.inner.put(key, Some(Record::new(&b""[..], None, ONE)))?;
                None
            }
            _ => None,
        })
    }

    fn instead_of_error(&self, key: &Key, error: StoreError) -> Result<Option<Record>> {
        match (self.defect, error.kind()) {
            (Some(DamagedIsAbsent), StoreErrorKind::Corrupt)
            | (Some(GoneIsAbsent), StoreErrorKind::Unavailable)
            | (Some(DeniedIsAbsent), StoreErrorKind::Misconfigured) => Ok(None),
            (Some(DamagedIsReturned), StoreErrorKind::Corrupt) => {
                Ok(Some(Record::new(&b"damaged"[..], None, ONE)))
            }
            (Some(DamagedIsDeleted), StoreErrorKind::Corrupt) => self.inner.put(key, None).map(|()| None),
            _ => Err(error),
        }
    }
}

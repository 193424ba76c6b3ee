//! The operations of both traits, over a driver.

use session_core::{Condition, Driver, Key, Record, Revision, StoreErrorKind, Timestamp, Touch, random};

use crate::base::{Base, Value, Values};
use crate::error::{Error, ErrorKind};
use crate::key::Library;
use crate::layout::{Stored, encode};
use crate::merge::merge;

/// How often a change is tried while other requests change the session.
const TRIES: usize = 100;

/// How many expired records one call of the driver removes.
const PURGED_AT_ONCE: usize = 1_000;

/// The sessions of one library in a driver.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<D> {
    pub(crate) driver: D,
    pub(crate) library: Library,
}

/// The stored session, as this request knows it.
struct Seen<V> {
    revision: Revision,
    values: Values<V>,
}

impl<D: Driver> Guarded<D> {
    /// The values of a live session, with their [`Base`], and its deadline.
    pub(crate) async fn load<V: Value>(
        &self,
        id: &[u8],
    ) -> Result<Option<(Values<V>, Option<Timestamp>)>, Error> {
        let Some(record) = self.driver.retrieve(&self.library.key(id)).await? else { return Ok(None) };
        let Stored { mut values, .. } = Stored::decode(&record.data)?;
        Base::new(record.revision, number()?, values.clone()).put_into(&mut values);
        Ok(Some((values, record.expires)))
    }

    /// Stores a new session, and puts its [`Base`] into `values`. Returns `false` if the id is taken.
    pub(crate) async fn create<V: Value>(
        &self,
        id: &[u8],
        values: &mut Values<V>,
        deadline: Timestamp,
    ) -> Result<bool, Error> {
        // That of the session whose id the application replaces.
        let _ = Base::take_from(values);
        let (revision, request) = (Revision::random()?, number()?);
        let record = Record::new(encode(request, values)?, Some(deadline), revision);
        let created = self.driver.store(&self.library.key(id), record, Condition::Absent).await?.is_applied();
        if created {
            Base::new(revision, request, values.clone()).put_into(values);
        }
        Ok(created)
    }

    /// Stores the values of a live session: over the state that the request has loaded, or joined with the changes of
    /// other requests since.
    pub(crate) async fn save<V: Value>(
        &self,
        id: &[u8],
        mut values: Values<V>,
        deadline: Timestamp,
    ) -> Result<(), Error> {
        let key = self.library.key(id);
        let base = Base::take_from(&mut values);
        let request = base.as_ref().map_or_else(number, |base| Ok(base.request))?;
        let mut seen = match &base {
            Some(base) => Seen { revision: base.revision(), values: base.values.clone() },
            None => self.live(&key).await?.1,
        };
        let (mut wanted, mut writer) = (values.clone(), request);
        for _ in 0..TRIES {
            if self.put(&key, &seen, &wanted, writer, deadline).await? {
                return Ok(());
            }
            let (live_writer, live) = self.live(&key).await?;
            (wanted, writer) = match &base {
                // Another request wrote last. The result is not what this request alone wrote, so it gets a number of
                // its own: a second save of this request must not take it for the first one.
                Some(base) if live_writer != request => {
                    let merged = merge(&base.values, &values, &live.values);
                    (merged.ok_or_else(|| Error::new(ErrorKind::Changed))?, number()?)
                }
                // This request itself wrote last, or the application has cleared the values.
                _ => (values.clone(), request),
            };
            seen = live;
        }
        Err(Error::new(ErrorKind::Contended))
    }

    /// Moves the deadline of a live session, and does nothing if the session has ended.
    pub(crate) async fn extend(&self, id: &[u8], deadline: Timestamp) -> Result<(), Error> {
        let key = self.library.key(id);
        for _ in 0..TRIES {
            let Some(record) = self.driver.retrieve(&key).await? else { return Ok(()) };
            if self.touch(&key, record.revision, deadline).await? {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Contended))
    }

    pub(crate) async fn delete(&self, id: &[u8]) -> Result<(), Error> {
        // A conflict means that no session was live.
        let _ = self.driver.remove(&self.library.key(id), Condition::Any).await?;
        Ok(())
    }

    /// Removes expired records, unless the engine does so by itself.
    pub(crate) async fn purge(&self) -> Result<(), Error> {
        loop {
            match self.driver.purge(PURGED_AT_ONCE).await {
                Ok(purged) if purged.more => {}
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == StoreErrorKind::Unsupported => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The request that wrote the live session, and the session.
    async fn live<V: Value>(&self, key: &Key) -> Result<(u64, Seen<V>), Error> {
        let record = self.driver.retrieve(key).await?.ok_or_else(|| Error::new(ErrorKind::Ended))?;
        let Stored { request, values } = Stored::decode(&record.data)?;
        Ok((request, Seen { revision: record.revision, values }))
    }

    /// Replaces the session that was seen, or only moves its deadline if no value is to change. Returns `false` if it is
    /// not there any more.
    async fn put<V: Value>(
        &self,
        key: &Key,
        seen: &Seen<V>,
        values: &Values<V>,
        writer: u64,
        deadline: Timestamp,
    ) -> Result<bool, Error> {
        if *values == seen.values {
            return self.touch(key, seen.revision, deadline).await;
        }
        let record = Record::new(encode(writer, values)?, Some(deadline), Revision::random()?);
        Ok(self.driver.store(key, record, Condition::Revision(seen.revision)).await?.is_applied())
    }

    async fn touch(&self, key: &Key, from: Revision, deadline: Timestamp) -> Result<bool, Error> {
        let touch = Touch { from, to: Revision::random()?, deadline: Some(deadline) };
        Ok(self.driver.touch(key, touch).await?)
    }
}

/// A random number for a request.
fn number() -> Result<u64, Error> {
    Ok(u64::from_le_bytes(random::eight_bytes()?))
}

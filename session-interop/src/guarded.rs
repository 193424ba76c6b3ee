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
        let record = Record::new(encode(request, &[], values)?, Some(deadline), revision);
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
            None => {
                let (live, revision) = self.live(&key).await?;
                Seen { revision, values: live.values }
            }
        };
        let mut wanted = Stored { request, changed: Vec::new(), values: values.clone() };
        for _ in 0..TRIES {
            if self.put(&key, &seen, &wanted, deadline).await? {
                return Ok(());
            }
            let (live, revision) = self.live::<V>(&key).await?;
            wanted = match &base {
                // Another request wrote last, or this one over another. The result is not what this request alone wrote,
                // so it gets a number of its own: a second save of this request must not take it for the first one.
                Some(base) if live.request != request => {
                    let mut began = base.values.clone();
                    if live.request == request | JOINED {
                        // An earlier save of this request has stored these.
                        for name in &live.changed {
                            match live.values.get(name) {
                                Some(value) => drop(began.insert(name.clone(), value.clone())),
                                None => drop(began.remove(name)),
                            }
                        }
                    }
                    let merged = merge(&began, &values, &live.values);
                    let values_now = merged.ok_or_else(|| Error::new(ErrorKind::Changed))?;
                    let is_changed = |name: &&String| values.get(*name) != base.values.get(*name);
                    let names =
                        values.keys().chain(base.values.keys().filter(|name| !values.contains_key(*name)));
                    let changed = names.filter(is_changed).cloned().collect();
                    Stored { request: request | JOINED, changed, values: values_now }
                }
                // This request itself wrote last, or the application has cleared the values.
                _ => Stored { request, changed: Vec::new(), values: values.clone() },
            };
            seen = Seen { revision, values: live.values };
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

    /// The live session.
    async fn live<V: Value>(&self, key: &Key) -> Result<(Stored<V>, Revision), Error> {
        let record = self.driver.retrieve(key).await?.ok_or_else(|| Error::new(ErrorKind::Ended))?;
        Ok((Stored::decode(&record.data)?, record.revision))
    }

    /// Replaces the session that was seen, or only moves its deadline if no value is to change. Returns `false` if it is
    /// not there any more.
    async fn put<V: Value>(
        &self,
        key: &Key,
        seen: &Seen<V>,
        wanted: &Stored<V>,
        deadline: Timestamp,
    ) -> Result<bool, Error> {
        let Stored { request, changed, values } = wanted;
        if *values == seen.values {
            return self.touch(key, seen.revision, deadline).await;
        }
        let record = Record::new(encode(*request, changed, values)?, Some(deadline), Revision::random()?);
        Ok(self.driver.store(key, record, Condition::Revision(seen.revision)).await?.is_applied())
    }

    async fn touch(&self, key: &Key, from: Revision, deadline: Timestamp) -> Result<bool, Error> {
        let touch = Touch { from, to: Revision::random()?, deadline: Some(deadline) };
        Ok(self.driver.touch(key, touch).await?)
    }
}

/// In the number of a request: its values were joined with those of another one.
const JOINED: u64 = 1;

/// A random number for a request.
fn number() -> Result<u64, Error> {
    Ok(u64::from_le_bytes(random::bytes()?) & !JOINED)
}

//! Store calls whose answer may get lost.

use std::time::Duration;

use session_core::{
    Applied, Change, Condition, Driver, Key, OldDecision, Record, Revision, Timestamp, Touch,
};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::random;
use crate::sessions::Inner;

/// How often a change whose answer was lost is made again before nobody knows.
const ATTEMPTS: u32 = 3;

impl<D: Driver> Inner<D> {
    /// Stores a record in the place of the one with revision `before`, and finds out what happened if the answer is
    /// lost: our own revision means that it was applied, the one before that it is to be made again, with the same
    /// revision, which is safe to repeat. Where nothing is there, the session has ended, whether it was applied or
    /// not. Anything else is `Uncertain`, for the change may have been applied and written over: to replay the log on
    /// it could count it twice. With `lasting`, for a tombstone, which nobody writes over, it was not applied.
    pub(crate) async fn replace(
        &self,
        key: &Key,
        record: &Record,
        before: Revision,
        lasting: bool,
    ) -> Result<Change, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let lost = match self.store_if(key, record, Condition::Revision(before)).await {
                Ok(Change::Conflict(Some(_))) if attempt > 1 && !lasting => {
                    return Err(Error::new(ErrorKind::Uncertain));
                }
                Ok(answer) => return Ok(answer),
                Err(error) if error.applied() == Applied::Unknown => error,
                // An earlier call of this loop may still arrive.
                Err(error) if attempt > 1 => return Err(uncertain(error)),
                Err(error) => return Err(error.into()),
            };
            match self.driver.retrieve(key).await {
                Ok(None) => return Ok(Change::Conflict(None)),
                Ok(Some(there)) if there.revision == record.revision => return Ok(Change::Applied),
                Ok(Some(there)) if there.revision == before && attempt < ATTEMPTS => {}
                Ok(Some(there)) if there.revision != before && lasting => {
                    return Ok(Change::Conflict(Some(there)));
                }
                _ => return Err(uncertain(lost)),
            }
        }
    }

    /// Stores a record under an id that was drawn for it. It is tried once for each id: a call that arrives late, after
    /// a second try and the end of the session, would bring it back, while under an id that was given up it is a
    /// record that nobody can reach.
    pub(crate) async fn store_new(&self, key: &Key, record: &Record) -> Result<New, Error> {
        match self.store_if(key, record, Condition::Absent).await {
            Ok(Change::Applied) => Ok(New::Stored),
            // Somebody else's session: it is never replayed onto.
            Ok(Change::Conflict(_)) => Ok(New::Taken),
            Err(error) if error.applied() == Applied::Unknown => match self.driver.retrieve(key).await {
                Ok(Some(there)) if there.revision == record.revision => Ok(New::Stored),
                Ok(_) => Ok(New::Lost(error)),
                Err(_) => Err(uncertain(error)),
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// The driver's changes, on a condition. With a driver that cannot compare they look first and then change whatever is
/// there: the last write wins, which had to be asked for by name.
impl<D: Driver> Inner<D> {
    async fn store_if(&self, key: &Key, record: &Record, when: Condition) -> session_core::Result<Change> {
        if !self.looks {
            return self.driver.store(key, record.clone(), when).await;
        }
        let looked = Box::pin(self.look(key, when, Some(record.revision))).await?;
        match looked {
            Some(answer) => Ok(answer),
            None => self.driver.store(key, record.clone(), Condition::Any).await,
        }
    }

    pub(crate) async fn remove_if(&self, key: &Key, when: Condition) -> session_core::Result<Change> {
        if !self.looks {
            return self.driver.remove(key, when).await;
        }
        match Box::pin(self.look(key, when, None)).await? {
            Some(answer) => Ok(answer),
            None => self.driver.remove(key, Condition::Any).await,
        }
    }

    pub(crate) async fn touch_if(
        &self,
        key: &Key,
        from: Revision,
        to: Revision,
        deadline: Timestamp,
    ) -> session_core::Result<bool> {
        if !self.looks {
            return self.driver.touch(key, Touch { from, to, deadline: Some(deadline) }).await;
        }
        match self.driver.retrieve(key).await? {
            Some(there) if there.revision == from => {
                let touched = Record { expires: Some(deadline), revision: to, ..there };
                Ok(self.driver.store(key, touched, Condition::Any).await?.is_applied())
            }
            _ => Ok(false),
        }
    }

    /// What a driver that compares would answer, unless the condition holds.
    async fn look(
        &self,
        key: &Key,
        when: Condition,
        offered: Option<Revision>,
    ) -> session_core::Result<Option<Change>> {
        let there = self.driver.retrieve(key).await?;
        Ok(match when.decide(there.as_ref().map(|record| record.revision), offered) {
            OldDecision::Apply => None,
            OldDecision::AlreadyApplied => Some(Change::Applied),
            OldDecision::Conflict => Some(Change::Conflict(there)),
        })
    }
}

/// What became of a record under a new id.
pub(crate) enum New {
    Stored,
    /// The id is in use.
    Taken,
    /// The answer was lost, and the record is not there: another id is to be drawn.
    Lost(session_core::StoreError),
}

impl New {
    /// Why no id could be had, after the last try.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Lost(error) => error.into(),
            _ => Error::new(ErrorKind::NoFreeId),
        }
    }
}

/// How many ids are drawn for one session before the machine's randomness counts as broken.
pub(crate) const DRAWS: u32 = 3;

fn uncertain(error: session_core::StoreError) -> Error {
    Error::new(ErrorKind::Uncertain).with_source(error)
}

/// How long a commit goes on against other requests' writes.
pub(crate) struct Patience {
    since: Option<Instant>,
    pub(crate) tries: u32,
}

impl Patience {
    const TIME: Duration = Duration::from_secs(5);
    const TRIES: u32 = 100;
    /// From this try on there are pauses.
    const PAUSE_FROM: u32 = 4;

    pub(crate) const fn new() -> Self {
        Self { since: None, tries: 0 }
    }

    /// Counts a conflict, pauses if there were several, and says whether there was a pause. The pause is random: up
    /// to 1 ms at first, twice that each time, 16 ms at most.
    pub(crate) async fn spend(&mut self) -> Result<bool, Error> {
        let since = *self.since.get_or_insert_with(Instant::now);
        self.tries += 1;
        if self.tries >= Self::TRIES || since.elapsed() >= Self::TIME {
            return Err(Error::new(ErrorKind::Contention).with_detail("too many conflicts"));
        }
        if self.tries < Self::PAUSE_FROM {
            return Ok(false);
        }
        let most = 1_000_u64 << (self.tries - Self::PAUSE_FROM).min(4);
        let pause = u64::from_le_bytes(random::bytes()?) % most;
        tokio::time::sleep(Duration::from_micros(pause)).await;
        Ok(true)
    }
}

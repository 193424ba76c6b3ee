//! Store calls whose answer may get lost.

use std::time::Duration;

use session_core::{Applied, Condition, Driver, Key, Record, Revision, Stored};
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::random;
use crate::sessions::Inner;

/// How often a change whose answer was lost is made again before nobody knows.
const ATTEMPTS: u32 = 3;

impl<D: Driver> Inner<D> {
    /// Stores a record under `when`, where `before` is the revision of what is there (`None` for nothing), and finds
    /// out what happened if the answer is lost: our own revision means that it was applied, the one before that it
    /// is to be made again, with the same revision, which is safe to repeat. Anything else is `Uncertain`: to replay
    /// the log on it could count a change twice.
    pub(crate) async fn store_settled(
        &self,
        key: &Key,
        record: Record,
        when: Condition,
        before: Option<Revision>,
    ) -> Result<Stored, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.driver.store(key, record.clone(), when).await {
                // Our lost call may have been applied and written over since.
                Ok(Stored::Conflict(Some(_))) if attempt > 1 => return Err(Error::new(ErrorKind::Uncertain)),
                Ok(answer) => return Ok(answer),
                Err(error) if error.applied() == Applied::Unknown => {
                    let Ok(there) = self.driver.retrieve(key).await else { return Err(uncertain(error)) };
                    let there = there.map(|record| record.revision);
                    if there == Some(record.revision) {
                        return Ok(Stored::Yes);
                    }
                    if there != before || attempt == ATTEMPTS {
                        return Err(uncertain(error));
                    }
                }
                // An earlier call of this loop may still arrive.
                Err(error) if attempt > 1 => return Err(uncertain(error)),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn uncertain(error: session_core::Error) -> Error {
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

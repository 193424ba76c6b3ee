//! The trait of actix-session.

use std::fmt;
use std::time::Duration as StdDuration;

use actix_session_0_11::storage::{
    LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key,
};
use session_core::{Driver, Timestamp};
use time::Duration;

use crate::base::Values;
use crate::error::{Error, ErrorKind};
use crate::guarded::Guarded;
use crate::key::Library;

/// How many keys a new session tries. Each is random, so a second one is never needed by chance.
const KEYS: usize = 8;

/// A store of actix-session over a driver of session-kit.
///
/// The driver MUST compare and swap (`Capabilities::conditional`). Otherwise every change fails.
#[derive(Clone)]
pub struct ActixStore<D>(Guarded<D>);

impl<D: Driver> ActixStore<D> {
    /// A store over `driver`.
    #[must_use]
    pub fn new(driver: D) -> Self {
        Self(Guarded { driver, library: Library::ActixSession })
    }

    /// The driver.
    #[must_use]
    pub fn driver(&self) -> &D {
        &self.0.driver
    }

    /// Removes expired sessions. Call it regularly, because actix-session has no place for it.
    ///
    /// # Errors
    /// `Store`.
    pub async fn delete_expired(&self) -> Result<(), Error> {
        self.0.purge().await
    }

    /// A time to live that is not positive has passed already.
    fn deadline(&self, ttl: &Duration) -> Timestamp {
        let ttl = StdDuration::try_from(*ttl).unwrap_or(StdDuration::ZERO);
        self.0.driver.clock().now().saturating_add(ttl)
    }
}

impl<D> fmt::Debug for ActixStore<D> {
    /// The type of the driver only, because a driver need not be `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ActixStore").field(&format_args!("{}", std::any::type_name::<D>())).finish()
    }
}

impl<D: Driver> SessionStore for ActixStore<D> {
    async fn load(&self, session_key: &SessionKey) -> Result<Option<Values<String>>, LoadError> {
        match self.0.load(id(session_key)).await {
            Ok(found) => Ok(found.map(|(values, _)| values)),
            Err(error) if error.kind() == ErrorKind::Decode => Err(LoadError::Deserialization(error.into())),
            Err(error) => Err(LoadError::Other(error.into())),
        }
    }

    async fn save(&self, mut session_state: Values<String>, ttl: &Duration) -> Result<SessionKey, SaveError> {
        for _ in 0..KEYS {
            let session_key = generate_session_key();
            let created = self.0.create(id(&session_key), &mut session_state, self.deadline(ttl)).await;
            match created {
                Ok(true) => return Ok(session_key),
                Ok(false) => {}
                Err(error) if error.kind() == ErrorKind::Encode => {
                    return Err(SaveError::Serialization(error.into()));
                }
                Err(error) => return Err(SaveError::Other(error.into())),
            }
        }
        Err(SaveError::Other(Error::new(ErrorKind::NoFreeId).into()))
    }

    async fn update(
        &self,
        session_key: SessionKey,
        session_state: Values<String>,
        ttl: &Duration,
    ) -> Result<SessionKey, UpdateError> {
        match self.0.save(id(&session_key), session_state, self.deadline(ttl)).await {
            Ok(()) => Ok(session_key),
            Err(error) if error.kind() == ErrorKind::Encode => Err(UpdateError::Serialization(error.into())),
            Err(error) => Err(UpdateError::Other(error.into())),
        }
    }

    async fn update_ttl(&self, session_key: &SessionKey, ttl: &Duration) -> Result<(), anyhow::Error> {
        Ok(self.0.extend(id(session_key), self.deadline(ttl)).await?)
    }

    async fn delete(&self, session_key: &SessionKey) -> Result<(), anyhow::Error> {
        Ok(self.0.delete(id(session_key)).await?)
    }
}

fn id(session_key: &SessionKey) -> &[u8] {
    session_key.as_ref().as_bytes()
}

//! The trait of tower-sessions, in two versions.

use std::fmt;

use serde_json::Value;
use session_core::{Driver, Timestamp};
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::base::Values;
use crate::error::{Error, ErrorKind};
use crate::guarded::Guarded;
use crate::key::Library;

/// How many ids a new session tries. Each has 128 random bits, so a second one is never needed by chance.
const IDS: usize = 8;

/// A store of tower-sessions over a driver of session-kit. Implements `SessionStore` and `ExpiredDeletion` of each version
/// whose feature is on. Both versions read the same sessions.
///
/// The driver MUST compare and swap (`Capabilities::conditional`). Otherwise every change fails.
#[derive(Clone)]
pub struct TowerStore<D>(Guarded<D>);

impl<D: Driver> TowerStore<D> {
    /// A store over `driver`.
    #[must_use]
    pub fn new(driver: D) -> Self {
        Self(Guarded { driver, library: Library::TowerSessions })
    }

    /// The driver.
    #[must_use]
    pub fn driver(&self) -> &D {
        &self.0.driver
    }

    async fn load_values(&self, id: i128) -> Result<Option<(Values<Value>, OffsetDateTime)>, Error> {
        let found = self.0.load(&id.to_le_bytes()).await?;
        Ok(found.map(|(values, deadline)| (values, deadline.map_or_else(latest, date))))
    }

    /// Creates the session under the first free id.
    async fn create_values<I: Copy>(
        &self,
        mut id: I,
        number: impl Fn(I) -> i128,
        next: impl Fn() -> I,
        values: &mut Values<Value>,
        expiry_date: OffsetDateTime,
    ) -> Result<I, Error> {
        for _ in 0..IDS {
            if self.0.create(&number(id).to_le_bytes(), values, deadline(expiry_date)).await? {
                return Ok(id);
            }
            id = next();
        }
        Err(Error::new(ErrorKind::NoFreeId))
    }
}

impl<D> fmt::Debug for TowerStore<D> {
    /// The type of the driver only, because a driver need not be `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TowerStore").field(&format_args!("{}", std::any::type_name::<D>())).finish()
    }
}

/// A macro, because the types of the two versions are equal but distinct.
macro_rules! implement {
    ($core:ident) => {
        const _: () = {
            use $core::session::{Id, Record};
            use $core::session_store::{self, ExpiredDeletion, Result, SessionStore};

            #[async_trait::async_trait]
            impl<D: Driver> SessionStore for TowerStore<D> {
                async fn create(&self, record: &mut Record) -> Result<()> {
                    let (id, expiry_date) = (record.id, record.expiry_date);
                    let created =
                        self.create_values(id, |id| id.0, Id::default, &mut record.data, expiry_date).await;
                    record.id = created.map_err(session_store::Error::from)?;
                    Ok(())
                }

                async fn save(&self, record: &Record) -> Result<()> {
                    let id = record.id.0.to_le_bytes();
                    Ok(self.0.save(&id, record.data.clone(), deadline(record.expiry_date)).await?)
                }

                async fn load(&self, id: &Id) -> Result<Option<Record>> {
                    let found = self.load_values(id.0).await?;
                    Ok(found.map(|(data, expiry_date)| Record { id: *id, data, expiry_date }))
                }

                async fn delete(&self, id: &Id) -> Result<()> {
                    Ok(self.0.delete(&id.0.to_le_bytes()).await?)
                }
            }

            #[async_trait::async_trait]
            impl<D: Driver> ExpiredDeletion for TowerStore<D> {
                async fn delete_expired(&self) -> Result<()> {
                    Ok(self.0.purge().await?)
                }
            }

            impl From<Error> for session_store::Error {
                fn from(error: Error) -> Self {
                    let text = text(&error);
                    match error.kind() {
                        ErrorKind::Encode => Self::Encode(text),
                        ErrorKind::Decode => Self::Decode(text),
                        _ => Self::Backend(text),
                    }
                }
            }
        };
    };
}

#[cfg(feature = "tower-sessions-0_14")]
implement!(tower_sessions_core_0_14);
#[cfg(feature = "tower-sessions-0_15")]
implement!(tower_sessions_core_0_15);

/// The error and its causes, because the errors of the trait hold only text.
fn text(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", text(cause)),
        None => error.to_string(),
    }
}

/// A deadline is in whole milliseconds. Rounded up, so that no session ends early.
fn deadline(date: OffsetDateTime) -> Timestamp {
    let millis = date.unix_timestamp_nanos().max(0).unsigned_abs().div_ceil(1_000_000);
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

fn date(deadline: Timestamp) -> OffsetDateTime {
    let nanos = i128::from(deadline.as_millis()) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or_else(|_| latest())
}

fn latest() -> OffsetDateTime {
    PrimitiveDateTime::MAX.assume_utc()
}

#[cfg(test)]
mod tests {
    use time::Duration;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn deadlines_round_up_to_the_next_millisecond() {
        let whole = datetime!(2027-01-15 08:00:00.005 UTC);
        for (added, millis) in [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)] {
            let rounded = date(deadline(whole + Duration::nanoseconds(added)));
            assert_eq!(rounded, whole + Duration::milliseconds(millis), "{added}");
        }
    }

    #[test]
    fn any_date_is_a_deadline_in_the_same_order() {
        assert_eq!(deadline(datetime!(1969-12-31 23:59:59 UTC)), Timestamp::EPOCH);
        assert_eq!(deadline(PrimitiveDateTime::MIN.assume_utc()), Timestamp::EPOCH);
        assert_eq!(deadline(datetime!(2027-01-15 10:00 +2)), deadline(datetime!(2027-01-15 08:00 UTC)));
        assert!(deadline(latest()) > deadline(datetime!(9999-12-31 23:59:59 UTC)));
        assert_eq!(date(Timestamp::from_millis(u64::MAX)), latest());
    }
}

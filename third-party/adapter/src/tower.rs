//! The trait of tower-sessions, in two versions.

use session_core::{Key, Timestamp};
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::payload::digest;

/// A macro, because the types of the two versions are equal but distinct.
macro_rules! implement {
    ($name:ident, $core:ident) => {
        /// A store of this version of tower-sessions.
        #[derive(Debug)]
        pub struct $name<S>(pub std::sync::Arc<S>);

        impl<S> $name<S> {
            /// Wraps a store.
            pub fn new(store: S) -> Self {
                Self(std::sync::Arc::new(store))
            }
        }

        impl<S> Clone for $name<S> {
            fn clone(&self) -> Self {
                Self(std::sync::Arc::clone(&self.0))
            }
        }

        const _: () = {
            use $core::session::{Id, Record as Session};
            use $core::session_store::SessionStore;

            use crate::foreign::{Created, Foreign, Refused, Saved};
            use crate::payload::{decode, encode};
            use session_core::Record;

            fn session(key: &Key, record: &Record) -> Session {
                let data = encode(record).into_iter().collect();
                Session { id: id(key), data, expiry_date: date(record.expires) }
            }

            fn id(key: &Key) -> Id {
                Id(i128::from_le_bytes(digest(key)))
            }

            impl<S: SessionStore> Foreign for $name<S> {
                async fn create(&self, key: &Key, record: &Record) -> Result<Created, Refused> {
                    let mut made = session(key, record);
                    let created = self.0.create(&mut made).await;
                    match created {
                        Ok(()) if made.id == id(key) => Ok(Created::Here),
                        Ok(()) => {
                            // The store avoided the id. No caller asked for the session under the other one.
                            self.0.delete(&made.id).await.map_err(Refused::new)?;
                            Ok(Created::Taken)
                        }
                        // The trait permits an error for an id that is in use.
                        Err(error) => match self.load(key).await? {
                            Some(_) => Ok(Created::Taken),
                            None => Err(Refused::new(error)),
                        },
                    }
                }

                async fn load(&self, key: &Key) -> Result<Option<Record>, Refused> {
                    let Some(found) = self.0.load(&id(key)).await.map_err(Refused::new)? else {
                        return Ok(None);
                    };
                    let expires = deadline(found.expiry_date);
                    let record = decode(|name| found.data.get(name), expires);
                    record
                        .map(Some)
                        .ok_or_else(|| Refused::new("a session without the values that were saved"))
                }

                async fn save(&self, key: &Key, record: &Record) -> Result<Saved, Refused> {
                    match self.0.save(&session(key, record)).await {
                        Ok(()) => Ok(Saved::Done),
                        // A store may refuse to save a session that does not exist.
                        Err(error) => match self.load(key).await? {
                            Some(_) => Err(Refused::new(error)),
                            None => Ok(Saved::Gone),
                        },
                    }
                }

                async fn delete(&self, key: &Key) -> Result<(), Refused> {
                    self.0.delete(&id(key)).await.map_err(Refused::new)
                }
            }
        };
    };
}

#[cfg(feature = "tower-sessions-0_14")]
implement!(Tower14, tower_sessions_core_0_14);
#[cfg(feature = "tower-sessions-0_15")]
implement!(Tower15, tower_sessions_core_0_15);

/// The session's expiry date. A session of tower-sessions always has one.
fn date(deadline: Option<Timestamp>) -> OffsetDateTime {
    let latest = PrimitiveDateTime::MAX.assume_utc();
    let nanos = deadline.map(|deadline| i128::from(deadline.as_millis()) * 1_000_000);
    nanos.and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()).unwrap_or(latest)
}

fn deadline(date: OffsetDateTime) -> Timestamp {
    let millis = date.unix_timestamp_nanos().max(0) / 1_000_000;
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

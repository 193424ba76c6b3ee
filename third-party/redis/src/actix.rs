//! The stores of actix-session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_session::storage::{CookieSessionStore, RedisSessionStore, SessionKey, SessionStore};
use actix_web::cookie::time::Duration;
use serde_json::Value;
use session_conformance::{HarnessError, HarnessResult, Requirement};
use session_core::{Clock as _, Key, Record, Survives, SystemClock, Timestamp};
use third_party_adapter::{Created, Foreign, Refused, Saved, Store, VOLATILE, decode, encode};

use crate::server::{self, Database};

/// The cookies of the clients: which session key the store has given for a key of the suite.
type Jar = Arc<Mutex<HashMap<Key, String>>>;

/// A store of actix-session. A macro, because the trait's futures are `Send` only for a known store.
macro_rules! foreign {
    ($name:ident, $store:ty) => {
        #[derive(Clone)]
        pub struct $name {
            store: Arc<$store>,
            jar: Jar,
        }

        impl $name {
            fn lock(&self) -> MutexGuard<'_, HashMap<Key, String>> {
                self.jar.lock().unwrap_or_else(PoisonError::into_inner)
            }

            fn cookie(&self, key: &Key) -> Option<SessionKey> {
                self.lock().get(key).cloned()?.try_into().ok()
            }

            fn keep(&self, key: &Key, cookie: SessionKey) {
                self.lock().insert(key.clone(), cookie.into());
            }
        }

        impl Foreign for $name {
            async fn create(&self, key: &Key, record: &Record) -> Result<Created, Refused> {
                if self.load(key).await?.is_some() {
                    return Ok(Created::Taken);
                }
                let cookie = self.store.save(state(record), &ttl(record)).await.map_err(Refused::new)?;
                self.keep(key, cookie);
                Ok(Created::Here)
            }

            async fn load(&self, key: &Key) -> Result<Option<Record>, Refused> {
                let Some(cookie) = self.cookie(key) else { return Ok(None) };
                let Some(found) = self.store.load(&cookie).await.map_err(Refused::new)? else {
                    return Ok(None);
                };
                record(&found)
                    .map(Some)
                    .ok_or_else(|| Refused::new("a session without the values that were saved"))
            }

            async fn save(&self, key: &Key, record: &Record) -> Result<Saved, Refused> {
                let Some(cookie) = self.cookie(key) else { return Ok(Saved::Gone) };
                let updated = self.store.update(cookie, state(record), &ttl(record)).await;
                // The client receives the key that the store returns.
                self.keep(key, updated.map_err(Refused::new)?);
                Ok(Saved::Done)
            }

            async fn delete(&self, key: &Key) -> Result<(), Refused> {
                let Some(cookie) = self.cookie(key) else { return Ok(()) };
                self.store.delete(&cookie).await.map_err(Refused::new)
            }
        }
    };
}

foreign!(WithRedis, RedisSessionStore);
foreign!(WithCookie, CookieSessionStore);

/// A session is a map of texts. The trait returns no deadline, so it is one more value.
fn state(record: &Record) -> HashMap<String, String> {
    let mut values = encode(record);
    values.insert("expires".into(), record.expires.map_or(0, Timestamp::as_millis).into());
    values.into_iter().map(|(name, value)| (name, value.to_string())).collect()
}

fn record(state: &HashMap<String, String>) -> Option<Record> {
    let values: HashMap<&str, Value> = state
        .iter()
        .map(|(name, text)| Some((name.as_str(), serde_json::from_str(text).ok()?)))
        .collect::<Option<_>>()?;
    let expires = Timestamp::from_millis(values.get("expires")?.as_u64()?);
    decode(|name| values.get(name), expires)
}

fn ttl(record: &Record) -> Duration {
    let left = record.expires.map(|expires| expires.saturating_since(SystemClock.now()));
    left.map_or(Duration::days(3_650), |left| Duration::try_from(left).unwrap_or(Duration::days(3_650)))
}

/// Clauses about what a time to live cannot say.
const UNASKED: &[(&str, &str)] = &[
    ("B17", "the store draws the session keys"),
    ("B34", "the trait returns no deadline"),
    ("B35", "the trait takes a time to live, which is never in the past"),
    ("B37", "the trait takes a time to live, which is never in the past"),
    ("C02", "the store draws the session keys"),
    ("E08", "the trait takes a time to live, which is never in the past"),
    ("E09", "the trait takes a time to live, which is never in the past"),
    ("E11", "the trait takes a time to live, which is never in the past"),
];

/// The session key is drawn by the store, so only this process knows which session belongs to a key of the suite.
const JAR: &[(Requirement, &str)] = &[
    (Requirement::Close, "not tried: the store draws the session keys"),
    (Requirement::Kill, "not tried: the store draws the session keys"),
];

pub struct ActixRedis;

impl Store for ActixRedis {
    const NAME: &'static str = "actix-session RedisSessionStore";
    const PACKAGE: &'static str = "actix-session";
    const TRAIT: &'static str = "actix-session 0.11";
    const SURVIVES: Survives = Survives::Nothing;
    const LACKS: &'static [(Requirement, &'static str)] = JAR;
    const UNASKED: &'static [(&'static str, &'static str)] = UNASKED;
    type Home = (Database, Jar);
    type Handle = WithRedis;

    async fn create() -> HarnessResult<Self::Home> {
        Ok((Database::create()?, Jar::default()))
    }

    async fn open((database, jar): &Self::Home) -> HarnessResult<WithRedis> {
        let store = RedisSessionStore::new(&database.0).await;
        let store = Arc::new(store.map_err(|error| HarnessError::new(error.to_string()))?);
        Ok(WithRedis { store, jar: Arc::clone(jar) })
    }

    fn engine() -> Option<String> {
        server::engine()
    }
}

pub struct ActixCookie;

impl Store for ActixCookie {
    const NAME: &'static str = "actix-session CookieSessionStore";
    const PACKAGE: &'static str = "actix-session";
    const TRAIT: &'static str = "actix-session 0.11";
    const SURVIVES: Survives = Survives::Nothing;
    const LACKS: &'static [(Requirement, &'static str)] = VOLATILE;
    const UNASKED: &'static [(&'static str, &'static str)] = UNASKED;
    type Home = Jar;
    type Handle = WithCookie;

    async fn create() -> HarnessResult<Jar> {
        Ok(Jar::default())
    }

    async fn open(jar: &Jar) -> HarnessResult<WithCookie> {
        Ok(WithCookie { store: Arc::default(), jar: Arc::clone(jar) })
    }
}

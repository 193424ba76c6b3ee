//! The store in memory of async-session.

use std::process::ExitCode;

use async_session::{MemoryStore, Session, SessionStore};
use chrono::{DateTime, Utc};
use data_encoding::BASE64;
use serde_json::{Value, json};
use session_conformance::{HarnessResult, Requirement};
use session_core::{Key, Record, Survives, Timestamp};
use third_party_adapter::{
    Created, Foreign, Refused, Saved, Store, VOLATILE, decode, digest, encode, entry, main as serve,
};

fn main() -> ExitCode {
    serve(include_str!("../Cargo.lock"), &[entry::<Memory>()])
}

/// A store of async-session.
#[derive(Clone, Debug)]
struct Async(MemoryStore);

/// The value of the cookie for a key: 16 bytes of its hash. The library draws 64 random bytes.
fn cookie(key: &Key) -> String {
    BASE64.encode(&digest(key))
}

/// A session with the id of this cookie. It is made from its serialized form, because the library draws the ids of new
/// ones.
fn session(key: &Key, record: Option<&Record>) -> Result<Session, Refused> {
    let id = Session::id_from_cookie_value(&cookie(key)).map_err(Refused::new)?;
    let values = record.map(encode).unwrap_or_default();
    let data: serde_json::Map<_, _> =
        values.into_iter().map(|(name, value)| (name, value.to_string().into())).collect();
    let expiry = record.and_then(|record| record.expires).map(date);
    serde_json::from_value(json!({ "id": id, "expiry": expiry, "data": data })).map_err(Refused::new)
}

fn date(deadline: Timestamp) -> DateTime<Utc> {
    let millis = i64::try_from(deadline.as_millis()).ok();
    millis.and_then(DateTime::from_timestamp_millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl Foreign for Async {
    /// The trait has one call for a new and for a changed session.
    async fn create(&self, key: &Key, record: &Record) -> Result<Created, Refused> {
        self.0.store_session(session(key, Some(record))?).await.map_err(Refused::new)?;
        Ok(Created::Here)
    }

    async fn load(&self, key: &Key) -> Result<Option<Record>, Refused> {
        let Some(found) = self.0.load_session(cookie(key)).await.map_err(Refused::new)? else {
            return Ok(None);
        };
        let expires = found.expiry().map_or(0, |expiry| expiry.timestamp_millis().unsigned_abs());
        let values: Vec<(&str, Value)> = ["data", "revision", "endless"]
            .into_iter()
            .filter_map(|name| Some((name, found.get::<Value>(name)?)))
            .collect();
        let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let record = decode(value, Timestamp::from_millis(expires));
        record.map(Some).ok_or_else(|| Refused::new("a session without the values that were saved"))
    }

    async fn save(&self, key: &Key, record: &Record) -> Result<Saved, Refused> {
        self.0.store_session(session(key, Some(record))?).await.map_err(Refused::new)?;
        Ok(Saved::Done)
    }

    async fn delete(&self, key: &Key) -> Result<(), Refused> {
        self.0.destroy_session(session(key, None)?).await.map_err(Refused::new)
    }
}

struct Memory;

impl Store for Memory {
    const NAME: &'static str = "async-session MemoryStore";
    const PACKAGE: &'static str = "async-session";
    const TRAIT: &'static str = "async-session 3";
    const SURVIVES: Survives = Survives::Nothing;
    const LACKS: &'static [(Requirement, &'static str)] = VOLATILE;
    type Home = Async;
    type Handle = Async;

    async fn create() -> HarnessResult<Async> {
        Ok(Async(MemoryStore::new()))
    }

    async fn open(home: &Async) -> HarnessResult<Async> {
        Ok(home.clone())
    }
}

//! The SQLite pool of axum_session.

use std::process::ExitCode;
use std::sync::Arc;

use axum_session::DatabasePool;
use axum_session_sqlx::SessionSqlitePool;
use serde_json::{Map, Value};
use session_conformance::HarnessResult;
use session_conformance::testing::FreshPath;
use session_core::{Key, Record, Survives, Timestamp};
use sqlx::SqlitePool;
use third_party_adapter::{Created, Foreign, Refused, Saved, Store, decode, encode, entry, main as serve};

fn main() -> ExitCode {
    serve(include_str!("../Cargo.lock"), &[entry::<Sqlite>()])
}

/// The library's default.
const TABLE: &str = "sessions";

/// The trait by which axum_session stores sessions. Above it the library keeps sessions in memory too, which is not
/// part of this run.
#[derive(Clone, Debug)]
struct Pool(Arc<SessionSqlitePool>);

/// The trait takes a text and a time in seconds. It returns no deadline, so the text has it too.
async fn store(pool: &Pool, key: &Key, record: &Record) -> Result<(), Refused> {
    let mut values = encode(record);
    values.insert("expires".into(), record.expires.map_or(0, Timestamp::as_millis).into());
    let text = Value::Object(values).to_string();
    let seconds = record.expires.map_or(i64::MAX, |expires| (expires.as_millis() / 1_000).cast_signed());
    pool.0.store(key.as_str(), &text, seconds, TABLE).await.map_err(Refused::new)
}

impl Foreign for Pool {
    /// As the library does it: it draws ids until one does not exist, and stores the session.
    async fn create(&self, key: &Key, record: &Record) -> Result<Created, Refused> {
        if self.0.exists(key.as_str(), TABLE).await.map_err(Refused::new)? {
            return Ok(Created::Taken);
        }
        store(self, key, record).await.map(|()| Created::Here)
    }

    async fn load(&self, key: &Key) -> Result<Option<Record>, Refused> {
        let Some(text) = self.0.load(key.as_str(), TABLE).await.map_err(Refused::new)? else {
            return Ok(None);
        };
        let values: Map<String, Value> = serde_json::from_str(&text).map_err(Refused::new)?;
        let expires = values.get("expires").and_then(Value::as_u64).unwrap_or_default();
        let record = decode(|name| values.get(name), Timestamp::from_millis(expires));
        record.map(Some).ok_or_else(|| Refused::new("a session without the values that were saved"))
    }

    async fn save(&self, key: &Key, record: &Record) -> Result<Saved, Refused> {
        store(self, key, record).await.map(|()| Saved::Done)
    }

    async fn delete(&self, key: &Key) -> Result<(), Refused> {
        self.0.delete_one_by_id(key.as_str(), TABLE).await.map_err(Refused::new)
    }
}

struct Sqlite;

/// A pool with sqlx's own settings, as in the library's examples.
async fn pool(home: &FreshPath) -> HarnessResult<SessionSqlitePool> {
    Ok(SqlitePool::connect(&format!("sqlite://{}?mode=rwc", home.path().display())).await?.into())
}

impl Store for Sqlite {
    const NAME: &'static str = "axum_session_sqlx, SQLite";
    const PACKAGE: &'static str = "axum_session_sqlx";
    const TRAIT: &'static str = "axum_session 0.22";
    const SURVIVES: Survives = Survives::Kill;
    const UNASKED: &'static [(&'static str, &'static str)] = &[("B34", "the trait returns no deadline")];
    type Home = FreshPath;
    type Handle = Pool;

    async fn create() -> HarnessResult<FreshPath> {
        let home = FreshPath::new("sessions.db")?;
        pool(&home).await?.initiate(TABLE).await?;
        Ok(home)
    }

    async fn open(home: &FreshPath) -> HarnessResult<Pool> {
        Ok(Pool(Arc::new(pool(home).await?)))
    }

    fn address(home: &FreshPath) -> Option<String> {
        home.address()
    }

    fn attach(address: &str) -> HarnessResult<FreshPath> {
        Ok(FreshPath::of_another(address))
    }
}

//! An axum application with a login, over each driver.

use std::error::Error;
use std::hint::black_box;

use axum::extract::Path;
use axum::routing::{get, post};
use session_bench_work::{Args, COUNT_KEY, READ_KEY, Runner, Sample, mix, parts};
use session_core::Driver;
use session_manager::Sessions;
use session_state_cookie::CookieConfig;
use session_store_file::FileStore;
use session_store_memory::MemoryStore;
use session_store_mmap::MmapStore;
use session_store_postgres::PostgresStore;
use session_store_redis::RedisStore;
use session_store_sled::SledStore;
use session_store_sqlite::SqliteStore;
use session_tower::{Session, SessionLayer};

use super::stores::config;

type Answer = Result<&'static str, session_tower::Error>;

pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runner = Runner::new(args)?;
    runner.block_on(async {
        match args.subject.as_str() {
            "memory" => over(args, MemoryStore::new()?).await,
            "sqlite" => over(args, SqliteStore::open(config::sqlite(args))?).await,
            "mmap" => over(args, MmapStore::open(config::mmap(args))?).await,
            "file" => over(args, FileStore::open(config::file(args))?).await,
            "sled" => over(args, SledStore::open(config::sled(args))?).await,
            "postgres" => over(args, PostgresStore::open(config::postgres(args)).await?).await,
            "redis" => over(args, RedisStore::open(config::redis(args)).await?).await,
            other => Err(format!("{other:?} has no application").into()),
        }
    })
}

async fn over<D: Driver>(args: &Args, driver: D) -> Result<Sample, Box<dyn Error>> {
    let sessions = Sessions::new(driver)?;
    let layer = SessionLayer::new(sessions.clone(), CookieConfig::new().build()?);
    let parts = parts(args);
    let login = post(move |session: Session, Path(user): Path<String>| login(session, user, parts.clone()));
    let sample =
        mix::measure(args, mix::routes([get(read), post(save), login, post(logout)]).layer(layer)).await;
    sessions.driver().close().await?;
    sample
}

async fn read(session: Session) -> Result<&'static str, String> {
    let text = |error: session_tower::Error| error.to_string();
    let user = session.user().map_err(text)?;
    let part: Option<String> = session.get(READ_KEY).map_err(text)?;
    let (Some(user), Some(part)) = (user, part) else { return Err("no login".into()) };
    drop(black_box((user, part)));
    Ok("ok")
}

async fn save(session: Session) -> Result<&'static str, String> {
    let answer = read(session.clone()).await?;
    let count: u64 = session.get(COUNT_KEY).map_err(|error| error.to_string())?.unwrap_or(0);
    session.insert(COUNT_KEY, &(count + 1)).map_err(|error| error.to_string())?;
    Ok(answer)
}

async fn login(session: Session, user: String, parts: Vec<(String, String)>) -> Answer {
    session.login(&user)?;
    for (key, value) in parts {
        session.insert(&key, &value)?;
    }
    session.insert(COUNT_KEY, &0_u64)?;
    Ok("ok")
}

async fn logout(session: Session) -> Answer {
    session.destroy("logout").await?;
    Ok("ok")
}

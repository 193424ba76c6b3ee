//! session-tower over axum, on the memory driver.

use std::error::Error;

use axum::routing::get;
use session_bench_work::{Args, COUNT_KEY, READ_KEY, Sample, parts, web};
use session_manager::Sessions;
use session_state_cookie::CookieConfig;
use session_store_memory::MemoryStore;
use session_tower::{Session, SessionLayer};

pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let sessions = Sessions::new(MemoryStore::new()?)?;
        let state = CookieConfig::new().build()?;
        let layer = SessionLayer::new(sessions, state);
        let parts = parts(args);
        let fill = get(move |session| fill(session, parts.clone()));
        let handlers = [fill, get(read), get(save)];
        Ok(web::measure(args, |router| router.layer(layer.clone()), handlers).await?)
    })
}

async fn fill(session: Session, parts: Vec<(String, String)>) -> Result<(), session_tower::Error> {
    for (key, value) in parts {
        session.insert(&key, &value)?;
    }
    session.insert(COUNT_KEY, &0_u64)?;
    Ok(())
}

async fn read(session: Session) -> Result<&'static str, String> {
    let part: Option<String> = session.get(READ_KEY).map_err(|error| error.to_string())?;
    part.map(|part| drop(std::hint::black_box(part))).map(|()| "ok").ok_or_else(|| "no part".into())
}

async fn save(session: Session) -> Result<&'static str, String> {
    let answer = read(session.clone()).await?;
    let count: u64 = session.get(COUNT_KEY).map_err(|error| error.to_string())?.unwrap_or(0);
    session.insert(COUNT_KEY, &(count + 1)).map_err(|error| error.to_string())?;
    Ok(answer)
}

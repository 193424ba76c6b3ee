//! session-tower over axum, on the memory driver and with the session in the cookie.

use std::error::Error;

use axum::Router;
use axum::routing::get;
use session_bench_work::{Args, COUNT_KEY, READ_KEY, Sample, parts, web};
use session_manager::{CarriedSessions, NoStore, Sessions};
use session_state_cookie::{CookieConfig, KeyRing, SecretKey};
use session_store_memory::MemoryStore;
use session_tower::{CarriedSessionLayer, Session, SessionLayer};

pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let layer = SessionLayer::new(Sessions::new(MemoryStore::new()?)?, CookieConfig::new().build()?);
    measured(args, |router| router.layer(layer.clone()))
}

/// Cookie-only sessions.
pub(crate) fn sealed(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let cookie = CookieConfig::new().build_sealed(&KeyRing::new(SecretKey::generate()?))?;
    let sessions = CarriedSessions::new(Sessions::new(NoStore::new())?)?;
    let layer = CarriedSessionLayer::new(sessions, cookie);
    measured(args, |router| router.layer(layer.clone()))
}

fn measured(args: &Args, layer: impl Fn(Router) -> Router) -> Result<Sample, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let parts = parts(args);
    let fill = get(move |session| fill(session, parts.clone()));
    Ok(runtime.block_on(web::measure(args, layer, [fill, get(read), get(save)]))?)
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

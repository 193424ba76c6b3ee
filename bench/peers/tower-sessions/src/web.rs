//! The layer over axum.

use std::error::Error;

use axum::Router;
use axum::routing::get;
use session_bench_work::{Args, COUNT_KEY, READ_KEY, Sample, parts, web};
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

/// Measures.
pub fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let store = MemoryStore::default();
        let parts = parts(args);
        let fill = get(move |session| fill(session, parts.clone()));
        let layer = |router: Router| router.layer(SessionManagerLayer::new(store.clone()));
        Ok(web::measure(args, layer, [fill, get(read), get(save)]).await?)
    })
}

async fn fill(session: Session, parts: Vec<(String, String)>) -> Result<(), String> {
    let text = |error: tower_sessions::session::Error| error.to_string();
    for (key, value) in parts {
        session.insert(&key, value).await.map_err(text)?;
    }
    session.insert(COUNT_KEY, 0_u64).await.map_err(text)
}

async fn read(session: Session) -> Result<&'static str, String> {
    let part: Option<String> = session.get(READ_KEY).await.map_err(|error| error.to_string())?;
    part.map(|part| drop(std::hint::black_box(part))).map(|()| "ok").ok_or_else(|| "no part".into())
}

async fn save(session: Session) -> Result<&'static str, String> {
    let answer = read(session.clone()).await?;
    let count: u64 = session.get(COUNT_KEY).await.map_err(|error| error.to_string())?.unwrap_or(0);
    session.insert(COUNT_KEY, count + 1).await.map_err(|error| error.to_string())?;
    Ok(answer)
}

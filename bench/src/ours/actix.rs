//! session-actix, on the memory driver and with the session in the cookie.

use std::error::Error;
use std::future::ready;
use std::hint::black_box;

use actix_web::error::ErrorInternalServerError;
use actix_web::rt::System;
use actix_web::{App, Route, test, web};
use session_actix::{CarriedSessionMiddleware, Session, SessionMiddleware};
use session_bench_work::{Args, COUNT_KEY, READ_KEY, Sample, actix, parts};
use session_manager::{CarriedSessions, NoStore, Sessions};
use session_state_cookie::{CookieConfig, KeyRing, SecretKey};
use session_store_memory::MemoryStore;

/// A macro, because the service that a middleware wraps has no name.
macro_rules! measured {
    ($args:expr, $middleware:expr) => {{
        let (middleware, parts) = ($middleware, parts($args));
        let layered = async |route: Route| {
            test::init_service(App::new().wrap(middleware.clone()).route("/", route)).await
        };
        let fill = web::get().to(move |session: Session| ready(fill(&session, &parts)));
        let routes = [fill, web::get().to(read), web::get().to(save)];
        Ok(System::new().block_on(actix::measure($args, layered, routes))?)
    }};
}

pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let sessions = Sessions::new(MemoryStore::new()?)?;
    measured!(args, SessionMiddleware::new(sessions, CookieConfig::new().build()?))
}

/// Cookie-only sessions.
pub(crate) fn sealed(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let cookie = CookieConfig::new().build_sealed(&KeyRing::new(SecretKey::generate()?))?;
    let sessions = CarriedSessions::new(Sessions::new(NoStore::new())?)?;
    measured!(args, CarriedSessionMiddleware::new(sessions, cookie))
}

fn fill(session: &Session, parts: &[(String, String)]) -> Result<&'static str, session_actix::Error> {
    for (key, value) in parts {
        session.insert(key, value)?;
    }
    session.insert(COUNT_KEY, &0_u64)?;
    Ok("ok")
}

async fn read(session: Session) -> actix_web::Result<&'static str> {
    let part: Option<String> = session.get(READ_KEY)?;
    part.map(|part| drop(black_box(part))).map(|()| "ok").ok_or_else(|| ErrorInternalServerError("no part"))
}

async fn save(session: Session) -> actix_web::Result<&'static str> {
    let answer = read(session.clone()).await?;
    let count = session.get::<u64>(COUNT_KEY)?.unwrap_or(0);
    session.insert(COUNT_KEY, &(count + 1))?;
    Ok(answer)
}

//! actix-session 0.11: its middleware, over a store in memory and over its store in the cookie.

mod memory;

use std::error::Error;
use std::hint::black_box;

use actix_session::storage::{CookieSessionStore, SessionStore};
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::error::ErrorInternalServerError;
use actix_web::rt::System;
use actix_web::{App, Result, Route, test, web};
use session_bench_work::{Args, COUNT_KEY, READ_KEY, Sample, actix, parts, serve};

use crate::memory::MemoryStore;

fn main() -> Result<(), Box<dyn Error>> {
    serve(std::env::args().skip(1), |args| {
        System::new().block_on(async {
            match args.subject.as_str() {
                "memory" => {
                    let store = MemoryStore::default();
                    sample(args, || store.clone()).await
                }
                "cookie" => sample(args, CookieSessionStore::default).await,
                other => Err(format!("{other:?} is not a subject").into()),
            }
        })
    })
}

async fn sample<S: SessionStore + 'static>(
    args: &Args,
    store: impl Fn() -> S,
) -> Result<Sample, Box<dyn Error>> {
    let (key, parts) = (Key::generate(), parts(args));
    let layered = async |route: Route| {
        let middleware = SessionMiddleware::new(store(), key.clone());
        test::init_service(App::new().wrap(middleware).route("/", route)).await
    };
    let fill = web::get().to(move |session: Session| std::future::ready(fill(&session, &parts)));
    Ok(actix::measure(args, layered, [fill, web::get().to(read), web::get().to(save)]).await?)
}

fn fill(session: &Session, parts: &[(String, String)]) -> Result<&'static str> {
    for (key, value) in parts {
        session.insert(key, value)?;
    }
    session.insert(COUNT_KEY, 0_u64)?;
    Ok("ok")
}

async fn read(session: Session) -> Result<&'static str> {
    let part: Option<String> = session.get(READ_KEY)?;
    part.map(|part| drop(black_box(part))).map(|()| "ok").ok_or_else(|| ErrorInternalServerError("no part"))
}

async fn save(session: Session) -> Result<&'static str> {
    let answer = read(session.clone()).await?;
    let count = session.get::<u64>(COUNT_KEY)?.unwrap_or(0);
    session.insert(COUNT_KEY, count + 1)?;
    Ok(answer)
}

//! An actix-web application with a login, over actix-session and its Redis store.

use std::error::Error;
use std::future::ready;
use std::hint::black_box;

use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::error::ErrorInternalServerError;
use actix_web::rt::System;
use actix_web::{App, HttpServer, Result, web};
use session_bench_work::{Args, COUNT_KEY, READ_KEY, Sample, mix, parts};

/// Serves the application with two workers, as the others do.
pub fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    System::new().block_on(async {
        let store = RedisSessionStore::new(args.url.as_str()).await?;
        let (key, parts) = (Key::generate(), parts(args));
        let server = HttpServer::new(move || {
            let parts = parts.clone();
            let login = move |session: Session, user: web::Path<String>| ready(login(&session, &user, &parts));
            App::new()
                .wrap(SessionMiddleware::new(store.clone(), key.clone()))
                .route("/read", web::get().to(async |session: Session| read(&session)))
                .route("/save", web::post().to(async |session: Session| save(&session)))
                .route("/login/{user}", web::post().to(login))
                .route("/logout", web::post().to(async |session: Session| logout(&session)))
        });
        let server = server.workers(2).bind(("127.0.0.1", 0))?;
        let address = *server.addrs().first().ok_or("the server has no address")?;
        let running = server.run();
        let handle = running.handle();
        let running = actix_web::rt::spawn(running);
        let sample = mix::loaded(args, address).await;
        handle.stop(false).await;
        running.await??;
        sample
    })
}

fn read(session: &Session) -> Result<&'static str> {
    let user: Option<String> = session.get("user")?;
    let part: Option<String> = session.get(READ_KEY)?;
    let (Some(user), Some(part)) = (user, part) else { return Err(ErrorInternalServerError("no login")) };
    drop(black_box((user, part)));
    Ok("ok")
}

fn save(session: &Session) -> Result<&'static str> {
    let answer = read(session)?;
    let count = session.get::<u64>(COUNT_KEY)?.unwrap_or(0);
    session.insert(COUNT_KEY, count + 1)?;
    Ok(answer)
}

fn login(session: &Session, user: &str, parts: &[(String, String)]) -> Result<&'static str> {
    session.renew();
    session.insert("user", user)?;
    for (key, value) in parts {
        session.insert(key, value)?;
    }
    session.insert(COUNT_KEY, 0_u64)?;
    Ok("ok")
}

fn logout(session: &Session) -> Result<&'static str> {
    session.purge();
    Ok("ok")
}

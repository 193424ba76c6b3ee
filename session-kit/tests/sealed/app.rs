//! The application.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::{get, post};
use session_kit::prelude::*;
use session_kit::session_core::Carrier;
use session_kit::test_kit::{TestClock, Timestamp};
use session_kit::{
    CarriedSessionLayer, CarriedSessions, Driver, Error, ErrorKind, KeyRing, NoStore, SealedCookie,
    SecretKey, csrf,
};

pub(crate) const NAME: &str = "__Host-session";

pub(crate) fn clock() -> TestClock {
    TestClock::new(Timestamp::from_millis(1_800_000_000_000))
}

pub(crate) fn no_store(clock: &TestClock) -> session_kit::Sessions<NoStore> {
    session_kit::Sessions::new(NoStore::with_clock(Arc::new(clock.clone()))).unwrap()
}

pub(crate) fn ring() -> KeyRing {
    KeyRing::new(SecretKey::generate().unwrap())
}

pub(crate) fn sealed(ring: &KeyRing, cookies: u8) -> SealedCookie {
    CookieConfig::new().build_sealed(ring).unwrap().max_cookies(cookies)
}

async fn count(session: Session) -> Result<String, Error> {
    Ok(session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)?.to_string())
}

/// The view that a request has of its session.
async fn show(session: Session) -> Result<String, Error> {
    let user = session.user()?.unwrap_or_else(|| "guest".into());
    Ok(format!("{user} {} {}", session.exists()?, session.keys()?.len()))
}

async fn fill(session: Session, Path(bytes): Path<usize>) -> Result<(), Error> {
    match bytes {
        0 => session.remove("text").map(drop),
        _ => session.insert("text", &"x".repeat(bytes)),
    }
}

async fn refused(session: Session) -> Result<String, Error> {
    session.insert("token", &1)?;
    let kind = |error: Error| error.kind() == ErrorKind::NoStore;
    let all = [
        session.take::<u8>("token").is_err_and(kind),
        session.claim::<u8>("token").await.is_err_and(kind),
        session.reference().is_err_and(kind),
    ];
    Ok(format!("{all:?}"))
}

/// A logout whose response has space for one header more.
async fn logout_with_all_headers(session: Session) -> Result<HeaderMap, Error> {
    session.destroy("out").await?;
    let mut headers = HeaderMap::new();
    let mut names = (0..).map(|n| HeaderName::try_from(format!("x-{n}")).unwrap());
    while headers.try_insert(names.next().unwrap(), HeaderValue::from_static("")).is_ok() {}
    headers.remove("x-0");
    Ok(headers)
}

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/count", get(count))
        .route("/show", get(show))
        .route("/fill/{bytes}", post(fill))
        .route("/login/{name}", post(async |session: Session, Path(name): Path<String>| session.login(&name)))
        .route(
            "/remember/{name}",
            post(async |session: Session, Path(name): Path<String>| {
                session.login(&name)?;
                session.remember(Duration::from_secs(30 * 86_400))
            }),
        )
        .route("/logout", post(async |session: Session| session.destroy("out").await.map(drop)))
        .route(
            "/logout-with-notice",
            post(async |session: Session| {
                session.destroy("out").await?;
                session.flash().set("notice", "bye")
            }),
        )
        .route("/logout-full", post(logout_with_all_headers))
        .route("/endless", post(async |session: Session| session.set_absolute_lifetime(None)))
        .route("/rotate", post(async |session: Session| session.rotate()))
        .route("/form", get(async |session: Session| csrf::token(&session).await))
        .route(
            "/say/{text}",
            post(async |session: Session, Path(text): Path<String>| session.flash().set("said", &text)),
        )
        .route(
            "/said",
            get(async |session: Session| {
                let said = session.flash().get::<String>("said")?;
                Ok::<_, Error>(said.unwrap_or_default())
            }),
        )
        .route(
            "/fail",
            post(async |session: Session| {
                session.insert("lost", &1)?;
                Ok::<_, Error>(StatusCode::INTERNAL_SERVER_ERROR)
            }),
        )
        .route("/static", get(async || "static"))
        .route("/refused", post(refused))
}

pub(crate) fn app<D: Driver>(sessions: session_kit::Sessions<D>, cookie: impl Carrier) -> Router {
    app_of(CarriedSessions::new(sessions).unwrap(), cookie)
}

pub(crate) fn app_of<D: Driver>(sessions: CarriedSessions<D>, cookie: impl Carrier) -> Router {
    routes().layer(CarriedSessionLayer::new(sessions, cookie))
}

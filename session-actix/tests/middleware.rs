//! The differences of actix-web: failures of middleware, bodies that tell their length, and the warnings about mistakes.
//! session-web tests the rest on both frameworks.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::sync::Once;

use actix_web::body::{MessageBody, to_bytes};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::error::ErrorUnauthorized;
use actix_web::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, SET_COOKIE, VARY};
use actix_web::middleware::{Next, from_fn};
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::{App, HttpResponse, ResponseError, web};
use session_actix::{CommitBody, Error, LazySession, RoutePolicy, Session, SessionMiddleware};
use session_manager::Sessions;
use session_state_cookie::{CookieConfig, CookieState};
use session_store_memory::MemoryStore;
use tracing_subscriber::filter::LevelFilter;

fn middleware() -> SessionMiddleware<MemoryStore, CookieState> {
    SessionMiddleware::new(Sessions::new(MemoryStore::new().unwrap()).unwrap(), CookieState::default())
}

#[derive(Debug)]
struct Own;

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error of the application")
    }
}

impl ResponseError for Own {}

/// Fails as the path says.
async fn failing(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse, actix_web::Error> {
    let session = || {
        let lazy = LazySession::in_request(request.request()).unwrap();
        async move { lazy.load().await }
    };
    match request.path() {
        "/unauthorized" => {
            session().await?.insert("n", &1)?;
            Err(ErrorUnauthorized("not you"))
        }
        "/broken" => {
            session().await?.insert("n", &2)?;
            Err(Own.into())
        }
        "/untouched" => Err(Own.into()),
        "/session" => {
            session().await?.insert("n", &"text")?;
            session().await?.get::<u32>("n")?;
            Err(Own.into())
        }
        _ => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
    }
}

async fn read(session: Session) -> Result<String, Error> {
    Ok(format!("{:?}", session.get::<u32>("n")?))
}

fn cookies(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all(SET_COOKIE).map(|line| line.to_str().unwrap().split(';').next().unwrap()).collect()
}

#[actix_web::test]
async fn failed_middleware_is_committed_by_its_status() {
    let app = App::new().wrap(from_fn(failing)).wrap(middleware()).route("/read", web::to(read));
    let app = init_service(app).await;
    let ask = async |path: &str, cookie: &str| {
        let request = TestRequest::get().uri(path).insert_header((COOKIE, cookie));
        let request = request.insert_header((ACCEPT, "application/json"));
        try_call_service(&app, request.to_request()).await
    };
    let error = ask("/unauthorized", "").await.unwrap_err();
    let response = error.error_response();
    assert_eq!((response.status().as_u16(), error.to_string()), (401, "not you".to_owned()));
    let cookie = cookies(response.headers())[0].to_owned();
    assert_eq!(response.headers().get(VARY).unwrap(), "Cookie");
    assert_eq!(to_bytes(response.into_body()).await.unwrap(), "not you");

    // A server error discards the changes.
    let response = ask("/broken", &cookie).await.unwrap_err().error_response();
    assert_eq!((response.status().as_u16(), cookies(response.headers()).len()), (500, 0));
    let response = ask("/read", &cookie).await.unwrap();
    assert_eq!(to_bytes(response.into_body()).await.unwrap(), "Some(1)");

    // The layer renders its own errors.
    let response = ask("/session", "").await.unwrap_err().error_response();
    assert_eq!(response.headers().get(CONTENT_TYPE).unwrap(), "application/problem+json");

    // Without a session, the error of the middleware stays what it is.
    assert!(ask("/untouched", &cookie).await.unwrap_err().as_error::<Own>().is_some());
}

#[actix_web::test]
async fn bodies_that_tell_their_length_are_committed() {
    async fn late(
        session: Session,
        length: web::Path<usize>,
    ) -> Result<HttpResponse<impl MessageBody>, Error> {
        let late = session.during_body()?;
        if let Some(session) = late.load().await? {
            session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1)?;
        }
        let mut response = HttpResponse::Ok().body("x".repeat(*length));
        response.headers_mut().insert(CONTENT_LENGTH, (*length).into());
        Ok(CommitBody::of(late, response))
    }
    let app =
        App::new().wrap(middleware()).route("/read", web::to(read)).route("/late/{length}", web::to(late));
    let app = init_service(
        app.route("/write", web::to(async |session: Session| session.insert("n", &1).map(|()| ""))),
    )
    .await;
    let ask = async |path: &str, cookie: &str| {
        let request = TestRequest::get().uri(path).insert_header((COOKIE, cookie)).to_request();
        app.call(request).await.unwrap()
    };
    let begun = ask("/write", "").await;
    let cookie = cookies(begun.headers())[0].to_owned();
    for (length, seen) in [(5, "Some(2)"), (0, "Some(3)")] {
        let response = ask(&format!("/late/{length}"), &cookie).await;
        let body = to_bytes(response.into_body()).await.map_err(|_| "the body fails").unwrap();
        assert_eq!(body.len(), length);
        assert_eq!(to_bytes(ask("/read", &cookie).await.into_body()).await.unwrap(), seen);
    }
    // A dropped body commits nothing.
    drop(ask("/late/5", &cookie).await);
    assert_eq!(to_bytes(ask("/read", &cookie).await.into_body()).await.unwrap(), "Some(3)");
}

/// Asks for the session as the header `x-asks` says, and continues without it.
async fn asking(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse, actix_web::Error> {
    match request.headers().get("x-asks").map(|value| value.to_str().unwrap().to_owned()).as_deref() {
        Some("extracts lazily") => drop(request.extract::<LazySession>().await),
        Some("extracts") => drop(request.extract::<Session>().await),
        _ => {}
    }
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
}

#[actix_web::test]
async fn middleware_inside_of_another_that_asks_warns_once() {
    let lines = Lines::listen();
    for way in ["extracts lazily", "extracts"] {
        let request = || TestRequest::get().uri("/read").insert_header(("x-asks", way)).to_request();
        // The middleware that was added last runs first.
        let app = App::new().route("/read", web::to(read)).wrap(middleware()).wrap(from_fn(asking));
        let app = init_service(app).await;
        for _ in 0..2 {
            assert_eq!(app.call(request()).await.unwrap().status(), 200);
        }
        let ours = lines.take("outside of this session layer");
        let [warning] = &ours[..] else { panic!("{way} {ours:?}") };
        assert!(warning.contains("WARN session_web"), "{warning}");
        let app = App::new().route("/read", web::to(read)).wrap(from_fn(asking)).wrap(middleware());
        assert_eq!(init_service(app).await.call(request()).await.unwrap().status(), 200);
        assert_eq!(lines.take("WARN"), [""; 0], "{way}");
    }
    let app = App::new().route("/read", web::to(read)).wrap(middleware()).wrap(RoutePolicy::new());
    let request = TestRequest::get().uri("/read").to_request();
    assert_eq!(init_service(app).await.call(request).await.unwrap().status(), 200);
    assert_eq!(lines.take("outside of this session layer").len(), 1);
}

#[actix_web::test]
async fn cookie_that_a_client_drops_is_one_warning() {
    let lines = Lines::listen();
    let ask = async |cookie, headers: &[(&'static str, &'static str)]| {
        let sessions = Sessions::new(MemoryStore::new().unwrap()).unwrap();
        let write = async |session: Session| session.insert("n", &1).map(|()| "");
        let app = App::new().wrap(SessionMiddleware::new(sessions, cookie));
        let app = init_service(app.route("/read", web::to(read)).route("/write", web::to(write))).await;
        for path in ["/read", "/write", "/write"] {
            let request = TestRequest::get().uri(path);
            let request = headers.iter().fold(request, |request, header| request.append_header(*header));
            assert_eq!(app.call(request.to_request()).await.unwrap().status(), 200);
        }
        lines.take("no sign of HTTPS").len()
    };
    let development = || CookieConfig::development(([127, 0, 0, 1], 3000).into()).build().unwrap();
    for headers in [
        &[("host", "127.0.0.1:3000")][..],
        &[("host", "shop.example"), ("x-forwarded-proto", "http")],
        &[("host", "shop.example"), ("forwarded", "for=192.0.2.1;proto=http;host=https.example")],
    ] {
        assert_eq!(ask(CookieState::default(), headers).await, 1, "{headers:?}");
        assert_eq!(ask(development(), headers).await, 0, "{headers:?}");
    }
    for headers in [
        &[("host", "127.0.0.1:3000"), ("sec-fetch-site", "none")][..],
        &[("x-forwarded-proto", "https, http")],
        &[("forwarded", "proto=\"https\"")],
        // It has returned a cookie of this name before.
        &[("cookie", "__Host-session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")],
    ] {
        assert_eq!(ask(CookieState::default(), headers).await, 0, "{headers:?}");
    }
}

/// The events of this thread. Each test has its own thread.
#[derive(Clone, Copy)]
struct Lines;

thread_local!(static WRITTEN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });

impl Lines {
    fn listen() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let all = tracing_subscriber::fmt().with_ansi(false).with_max_level(LevelFilter::TRACE);
            all.with_writer(|| Self).init();
        });
        Self
    }

    /// The lines since the last call that contain `part`.
    fn take(self, part: &str) -> Vec<String> {
        let new = String::from_utf8(WRITTEN.take()).unwrap();
        new.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|written| written.extend_from_slice(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

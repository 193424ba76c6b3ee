//! A budget for the allocations that a session adds to a request. In a process of its own, because the subscriber of
//! other tests allocates.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

use std::pin::pin;

use axum::Router;
use axum::body::Body;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{Request, Response};
use axum::routing::get;
use session_conformance::testing::poll_once;
use session_manager::Sessions;
use session_state_cookie::CookieState;
use session_store_memory::MemoryStore;
use session_tower::{Error, Session, SessionLayer};
use tower::Service;

/// One request in process, and its allocations from the router to the response head. The memory driver is never
/// pending, so the request runs on this thread only.
fn call(app: &mut Router, path: &str, cookie: Option<&str>) -> (Response<Body>, u64) {
    let mut request = Request::get(path);
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    let mut request = Some(request.body(Body::empty()).unwrap());
    let mut response = None;
    let counted = allocation_counter::measure(|| {
        response = poll_once(pin!(app.call(request.take().unwrap())));
    });
    let response = response.expect("a request in memory is never pending").unwrap();
    assert_eq!(response.status(), 200);
    (response, counted.count_total)
}

#[test]
fn session_stays_within_its_allocation_budget() {
    let mut bare = Router::new().route("/never", get(async || "hello"));
    let sessions = Sessions::new(MemoryStore::new().unwrap()).unwrap();
    let mut app = Router::new()
        .route("/never", get(async || "hello"))
        .route(
            "/start",
            get(async |session: Session| {
                session.insert("text", &"x".repeat(1024))?;
                session.insert("n", &0)
            }),
        )
        .route(
            "/read",
            get(async |session: Session| {
                let text: Option<String> = session.get("text")?;
                Ok::<_, Error>(if text.is_some_and(|text| text.len() == 1024) { "hello" } else { "" })
            }),
        )
        .route(
            "/change",
            get(async |session: Session| {
                let n: u32 = session.get("n")?.unwrap_or(0);
                session.insert("n", &(n + 1))?;
                Ok::<_, Error>("hello")
            }),
        )
        .layer(SessionLayer::new(sessions, CookieState::default()));
    let (started, _) = call(&mut app, "/start", None);
    let cookie = started.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    let cookie = Some(cookie.as_str());
    let mut missed = Vec::new();
    for (what, path, sent, budget) in [
        ("no cookie, untouched", "/never", None, 6),
        ("cookie, untouched", "/never", cookie, 7),
        ("one key of 1 KiB read", "/read", cookie, 12),
        ("read, changed, saved", "/change", cookie, 18),
    ] {
        // The first call of a route fills caches.
        call(&mut bare, "/never", sent);
        call(&mut app, path, sent);
        let added = call(&mut app, path, sent).1 - call(&mut bare, "/never", sent).1;
        println!("{what}: {added} of {budget}");
        if added > budget {
            missed.push(format!("{what}: {added}, and the budget is {budget}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

//! What is not asked for costs nothing.

use axum::Router;
use axum::routing::get;
use session_core::Operation;
use session_tower::{Error, LazySession, Session};

use crate::common::{Browser, Probe, layer};

fn app(probe: &Probe) -> Router {
    Router::new()
        .route("/never", get(async || "hello"))
        .route("/handle", get(async |_: LazySession| "hello"))
        .route(
            "/read",
            get(async |session: Session| Ok::<_, Error>(format!("{:?}", session.get::<u32>("n")?))),
        )
        .route("/write", get(async |session: Session| session.insert("n", &1)))
        .route("/twice", get(async |_: Session, again: Session| again.insert("n", &2)))
        .layer(layer(probe))
}

#[tokio::test]
async fn a_request_that_never_asks_makes_no_store_call_and_gets_no_header() {
    let probe = Probe::new();
    let mut browser = Browser::new(app(&probe));
    let bare = browser.get("/never").await.is(200).headers;
    browser.get("/write").await.is(200);
    probe.calls();
    for path in ["/never", "/handle"] {
        let answer = browser.get(path).await.is(200);
        assert_eq!(answer.headers, bare);
        assert!(!bare.contains_key("vary") && !bare.contains_key("cache-control"));
        assert_eq!(probe.calls(), []);
    }
}

#[tokio::test]
async fn reading_without_a_cookie_asks_no_store_and_sends_no_cookie() {
    let probe = Probe::new();
    let answer = Browser::new(app(&probe)).get("/read").await.is(200).sets_no_cookie();
    assert_eq!((answer.body.as_str(), answer.all("vary")), ("None", vec!["Cookie"]));
    assert!(!answer.headers.contains_key("cache-control"));
    assert_eq!(probe.calls(), []);
}

#[tokio::test]
async fn one_retrieve_to_read_one_store_to_write_however_many_extractors() {
    let probe = Probe::new();
    let mut browser = Browser::new(app(&probe));
    browser.get("/write").await.is(200);
    assert_eq!(probe.calls(), [Operation::Store]);
    assert_eq!(browser.get("/read").await.is(200).sets_no_cookie().body, "Some(1)");
    assert_eq!(probe.calls(), [Operation::Retrieve]);
    browser.get("/twice").await.is(200).sets_no_cookie();
    assert_eq!(probe.calls(), [Operation::Retrieve, Operation::Store]);
    // Writing what is there already is no change.
    browser.get("/twice").await.is(200).sets_no_cookie();
    assert_eq!(probe.calls(), [Operation::Retrieve]);
}

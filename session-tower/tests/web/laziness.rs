//! An unused session costs nothing.

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
async fn unused_session_costs_no_call_and_no_header() {
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
async fn read_without_cookie_makes_no_call() {
    let probe = Probe::new();
    let answer = Browser::new(app(&probe)).get("/read").await.is(200).sets_no_cookie();
    assert_eq!((answer.body.as_str(), answer.all("vary")), ("None", vec!["Cookie"]));
    assert!(!answer.headers.contains_key("cache-control"));
    assert_eq!(probe.calls(), []);
}

#[tokio::test]
async fn several_extractors_share_one_retrieve_and_store() {
    let probe = Probe::new();
    let mut browser = Browser::new(app(&probe));
    browser.get("/write").await.is(200);
    assert_eq!(probe.calls(), [Operation::Store]);
    assert_eq!(browser.get("/read").await.is(200).sets_no_cookie().body, "Some(1)");
    assert_eq!(probe.calls(), [Operation::Retrieve]);
    browser.get("/twice").await.is(200).sets_no_cookie();
    assert_eq!(probe.calls(), [Operation::Retrieve, Operation::Store]);
    // An equal value changes nothing.
    browser.get("/twice").await.is(200).sets_no_cookie();
    assert_eq!(probe.calls(), [Operation::Retrieve]);
}

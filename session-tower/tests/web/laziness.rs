//! An unused session costs nothing.

use axum::routing::get;
use session_core::Operation;
use session_tower::{LazySession, Session};

use crate::common::{Browser, Probe, layer, probe, routes};

fn browser(probe: &Probe) -> Browser {
    let routes = routes()
        .route("/handle", get(async |_: LazySession| "hello"))
        .route("/twice", get(async |_: Session, again: Session| again.insert("n", &2)));
    Browser::new(routes.layer(layer(probe)))
}

#[tokio::test]
async fn unused_session_costs_no_call_and_no_header() {
    let probe = probe();
    let mut browser = browser(&probe);
    let bare = browser.get("/never").await.is(200).headers;
    assert!(!bare.contains_key("vary") && !bare.contains_key("cache-control"));
    browser.get("/write").await.is(200);
    probe.calls();
    for path in ["/never", "/handle"] {
        assert_eq!(browser.get(path).await.is(200).headers, bare);
        assert_eq!(probe.operations(), []);
    }
}

#[tokio::test]
async fn read_without_cookie_makes_no_call() {
    let probe = probe();
    let answer = browser(&probe).get("/read").await.is(200).sets_no_cookie();
    assert_eq!((answer.body.as_str(), answer.all("vary")), ("None", vec!["Cookie"]));
    assert!(!answer.headers.contains_key("cache-control"));
    assert_eq!(probe.operations(), []);
}

#[tokio::test]
async fn several_extractors_share_one_retrieve_and_store() {
    let probe = probe();
    let mut browser = browser(&probe);
    browser.get("/write").await.is(200);
    assert_eq!(probe.operations(), [Operation::Store]);
    assert_eq!(browser.get("/read").await.is(200).sets_no_cookie().body, "Some(1)");
    assert_eq!(probe.operations(), [Operation::Retrieve]);
    browser.get("/twice").await.is(200).sets_no_cookie();
    assert_eq!(probe.operations(), [Operation::Retrieve, Operation::Store]);
    // An equal value changes nothing.
    browser.get("/twice").await.is(200).sets_no_cookie();
    assert_eq!(probe.operations(), [Operation::Retrieve]);
}

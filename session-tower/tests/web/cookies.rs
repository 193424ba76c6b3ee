//! Foreign and malformed cookies.

use axum::Router;
use axum::body::Body;
use axum::http::header::COOKIE;
use axum::http::{HeaderValue, Request};
use axum::routing::get;
use session_core::{Operation, SessionId};
use session_tower::{Error, Session};

use crate::common::{Browser, Probe, layer, send};

fn app(probe: &Probe) -> Router {
    Router::new()
        .route(
            "/read",
            get(async |session: Session| Ok::<_, Error>(format!("{:?}", session.get::<u32>("n")?))),
        )
        .route("/write", get(async |session: Session| session.insert("n", &1)))
        .layer(layer(probe))
}

fn request(path: &str, cookies: &[&[u8]]) -> Request<Body> {
    let mut request = Request::get(path);
    for cookie in cookies {
        request = request.header(COOKIE, HeaderValue::from_bytes(cookie).unwrap());
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn foreign_cookies_are_ignored_and_never_echoed() {
    let probe = Probe::new();
    let foreign = SessionId::from_bytes([9; 24]).reveal().as_str().to_owned();
    let long = "A".repeat(40_000);
    for value in [
        "",
        "x",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+/",
        "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
        "../../../../etc/passwd",
        "'; DROP TABLE sessions; --",
        "%00%ff",
        &foreign,
        &long,
    ] {
        let cookie = format!("a=b; __Host-session={value}; c=d");
        let read = send(app(&probe), request("/read", &[cookie.as_bytes()])).await.is(200).sets_no_cookie();
        assert_eq!(read.body, "None");
        let written = send(app(&probe), request("/write", &[cookie.as_bytes()])).await.is(200);
        let set = written.all("set-cookie");
        assert_eq!(set.len(), 1, "{value}");
        assert!(value.len() < 8 || !set[0].contains(value), "{value} was adopted: {set:?}");
    }
    for raw in [&b"\xff\xfe=\x80; __Host-session=\xff\xff"[..], b";;;===;;", b"__Host-session", b"="] {
        send(app(&probe), request("/read", &[raw])).await.is(200).sets_no_cookie();
    }
}

#[tokio::test]
async fn malformed_id_is_not_looked_up() {
    let probe = Probe::new();
    send(app(&probe), request("/read", &[b"__Host-session=x; session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]))
        .await
        .is(200);
    assert_eq!(probe.calls(), []);
}

#[tokio::test]
async fn first_cookie_with_a_session_is_used() {
    let probe = Probe::new();
    let mut browser = Browser::new(app(&probe));
    browser.get("/write").await.is(200);
    probe.calls();
    let good = browser.cookie.unwrap();
    let foreign = format!("__Host-session={}", SessionId::from_bytes([9; 24]).reveal().as_str());
    for cookies in [
        vec![format!("{foreign}; {good}")],
        vec![foreign.clone(), good.clone()],
        vec![format!("__Host-session=x; {foreign}"), format!("{good}; {foreign}")],
    ] {
        let cookies: Vec<_> = cookies.iter().map(String::as_bytes).collect();
        let answer = send(app(&probe), request("/read", &cookies)).await.is(200).sets_no_cookie();
        assert_eq!(answer.body, "Some(1)");
        assert_eq!(probe.calls(), [Operation::Retrieve, Operation::Retrieve]);
    }
    // Up to four are tried.
    let many: Vec<_> = (10..40).map(|n| SessionId::from_bytes([n; 24]).reveal()).collect();
    let many: Vec<_> = many.iter().map(|id| format!("__Host-session={}", id.as_str())).collect();
    send(app(&probe), request("/read", &[many.join("; ").as_bytes()])).await.is(200).sets_no_cookie();
    assert_eq!(probe.calls().len(), 4);
}

//! Foreign and malformed cookies.

use session_core::{Operation, SessionId};

use crate::common::{Answer, Browser, Probe, layer, probe, request, routes, send};

/// A session cookie with another id.
fn foreign(n: u8) -> String {
    format!("__Host-session={}", SessionId::from_bytes([n; 24]).reveal().as_str())
}

async fn ask(probe: &Probe, path: &str, cookies: &[&[u8]]) -> Answer {
    send(routes().layer(layer(probe)), request(path, cookies.iter().copied())).await.is(200)
}

#[tokio::test]
async fn foreign_cookies_are_ignored_and_never_echoed() {
    let probe = probe();
    let (foreign, long) = (foreign(9), "A".repeat(40_000));
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
        &foreign["__Host-session=".len()..],
        &long,
    ] {
        let cookie = format!("a=b; __Host-session={value}; c=d");
        let read = ask(&probe, "/read", &[cookie.as_bytes()]).await.sets_no_cookie();
        assert!(read.body.starts_with("None"), "{value}: {}", read.body);
        let written = ask(&probe, "/write", &[cookie.as_bytes()]).await;
        let set = written.all("set-cookie");
        assert_eq!(set.len(), 1, "{value}");
        assert!(value.len() < 8 || !set[0].contains(value), "{value} was adopted: {set:?}");
    }
    for raw in [&b"\xff\xfe=\x80; __Host-session=\xff\xff"[..], b";;;===;;", b"__Host-session", b"="] {
        ask(&probe, "/read", &[raw]).await.sets_no_cookie();
    }
}

#[tokio::test]
async fn malformed_id_is_not_looked_up() {
    let probe = probe();
    ask(&probe, "/read", &[b"__Host-session=x; session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]).await;
    assert_eq!(probe.operations(), []);
}

#[tokio::test]
async fn first_cookie_with_a_session_is_used() {
    let probe = probe();
    let good = Browser::begun(&probe).await.cookie.unwrap();
    probe.calls();
    let foreign = foreign(9);
    for cookies in [
        vec![format!("{foreign}; {good}")],
        vec![foreign.clone(), good.clone()],
        vec![format!("__Host-session=x; {foreign}"), format!("{good}; {foreign}")],
    ] {
        let cookies: Vec<_> = cookies.iter().map(String::as_bytes).collect();
        assert_eq!(ask(&probe, "/read", &cookies).await.sets_no_cookie().body, "Some(1)");
        assert_eq!(probe.operations(), [Operation::Retrieve, Operation::Retrieve]);
    }
    // Up to four are tried.
    let many: Vec<_> = (10..40).map(self::foreign).collect();
    ask(&probe, "/read", &[many.join("; ").as_bytes()]).await.sets_no_cookie();
    assert_eq!(probe.operations().len(), 4);
}

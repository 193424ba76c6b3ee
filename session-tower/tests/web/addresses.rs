//! Sessions bound to an address or a user agent.

use std::net::IpAddr;

use axum::Router;
use axum::http::header::{HeaderName, USER_AGENT};
use session_manager::{AddressCheck, Sessions};
use session_state_cookie::CookieState;
use session_tower::{ClientAddress, SessionLayer};

use crate::common::{Answer, Probe, probe, request, routes, send};

fn app(probe: &Probe, address: Option<ClientAddress>) -> Router {
    let sessions = Sessions::builder(probe.clone()).check_address(AddressCheck::Exact).check_user_agent(true);
    let mut layer = SessionLayer::new(sessions.build().unwrap(), CookieState::default());
    if let Some(address) = address {
        layer = layer.client_address(address);
    }
    routes().layer(layer)
}

async fn ask(app: &Router, path: &str, cookie: &str, peer: &str, agent: &'static str) -> Answer {
    let mut request = request(path, [cookie.as_bytes()]);
    request.extensions_mut().insert(peer.parse::<IpAddr>().unwrap());
    request.headers_mut().insert("x-real-ip", "192.0.2.1".parse().unwrap());
    request.headers_mut().insert(USER_AGENT, agent.parse().unwrap());
    send(app.clone(), request).await
}

#[tokio::test]
async fn other_address_or_agent_is_refused() {
    let app = app(&probe(), Some(ClientAddress::extension(|peer: &IpAddr| *peer)));
    let first = ask(&app, "/write", "", "192.0.2.1", "Firefox").await.is(200);
    for (peer, agent, expected) in [
        ("192.0.2.1", "Firefox", "Some(1)"),
        ("::ffff:192.0.2.1", "Firefox", "Some(1)"),
        ("192.0.2.2", "Firefox", "None AddressMismatch"),
        ("192.0.2.1", "curl", "None UserAgentMismatch"),
        ("192.0.2.1", "Firefox", "Some(1)"),
    ] {
        let answer = ask(&app, "/read", first.cookies()[0], peer, agent).await.is(200).sets_no_cookie();
        assert_eq!(answer.body, expected, "{peer} {agent}");
    }
}

#[tokio::test]
async fn address_header_counts_only_if_configured() {
    let probe = probe();
    let trusted = app(&probe, Some(ClientAddress::header(HeaderName::from_static("x-real-ip"))));
    let first = ask(&trusted, "/write", "", "10.0.0.1", "Firefox").await.is(200);
    let cookie = first.cookies()[0];
    assert_eq!(ask(&trusted, "/read", cookie, "10.0.0.2", "Firefox").await.body, "Some(1)");
    // Without a source of addresses, a bound session is refused to every client.
    let body = ask(&app(&probe, None), "/read", cookie, "192.0.2.1", "Firefox").await.body;
    assert_eq!(body, "None AddressMismatch");
}

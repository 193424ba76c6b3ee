//! Sessions bound to an address or a user agent.

use std::net::IpAddr;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::header::{COOKIE, HeaderName, USER_AGENT};
use axum::routing::get;
use session_manager::{AddressCheck, EndReason, Sessions};
use session_state_cookie::CookieConfig;
use session_tower::{ClientAddress, Error, Session, SessionLayer};

use crate::common::{Answer, Probe, send};

fn app(probe: &Probe, address: Option<ClientAddress>) -> Router {
    let sessions = Sessions::builder(probe.clone())
        .check_address(AddressCheck::Exact)
        .check_user_agent(true)
        .build()
        .unwrap();
    let mut layer = SessionLayer::new(sessions, CookieConfig::new().build().unwrap());
    if let Some(address) = address {
        layer = layer.client_address(address);
    }
    Router::new()
        .route("/write", get(async |session: Session| session.insert("n", &1)))
        .route(
            "/read",
            get(async |session: Session| {
                Ok::<_, Error>(format!("{:?} {:?}", session.get::<u32>("n")?, session.end_reason()?))
            }),
        )
        .layer(layer)
}

async fn ask(app: &Router, path: &str, cookie: &str, peer: &str, agent: &str) -> Answer {
    let peer: IpAddr = peer.parse().unwrap();
    let request = Request::get(path)
        .extension(peer)
        .header("x-real-ip", "192.0.2.1")
        .header(COOKIE, cookie)
        .header(USER_AGENT, agent);
    send(app.clone(), request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn other_address_or_agent_is_refused() {
    let probe = Probe::new();
    let app = app(&probe, Some(ClientAddress::extension(|peer: &IpAddr| *peer)));
    let first = ask(&app, "/write", "", "192.0.2.1", "Firefox").await.is(200);
    let cookie = first.all("set-cookie")[0].split(';').next().unwrap().to_owned();
    for (peer, agent, expected) in [
        ("192.0.2.1", "Firefox", "Some(1) None".to_owned()),
        ("::ffff:192.0.2.1", "Firefox", "Some(1) None".to_owned()),
        ("192.0.2.2", "Firefox", format!("None {:?}", Some(EndReason::AddressMismatch))),
        ("192.0.2.1", "curl", format!("None {:?}", Some(EndReason::UserAgentMismatch))),
        ("192.0.2.1", "Firefox", "Some(1) None".to_owned()),
    ] {
        let answer = ask(&app, "/read", &cookie, peer, agent).await.is(200).sets_no_cookie();
        assert_eq!(answer.body, expected, "{peer} {agent}");
    }
}

#[tokio::test]
async fn address_header_counts_only_if_configured() {
    let probe = Probe::new();
    let trusted = app(&probe, Some(ClientAddress::header(HeaderName::from_static("x-real-ip"))));
    let first = ask(&trusted, "/write", "", "10.0.0.1", "Firefox").await.is(200);
    let cookie = first.all("set-cookie")[0].split(';').next().unwrap().to_owned();
    assert_eq!(ask(&trusted, "/read", &cookie, "10.0.0.2", "Firefox").await.body, "Some(1) None");
    // Without a source of addresses, a bound session is refused to every client.
    let body = ask(&app(&probe, None), "/read", &cookie, "192.0.2.1", "Firefox").await.body;
    assert_eq!(body, format!("None {:?}", Some(EndReason::AddressMismatch)));
}

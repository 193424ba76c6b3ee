//! What every application writes by itself, in an axum application without a socket.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Path;
use axum::http::Request;
use axum::routing::{get, post};
use axum::{Extension, Router};
use session_kit::memory::{MemoryConfig, MemoryStore};
use session_kit::prelude::*;
use session_kit::test_kit::{Client, TestClock, sessions};
use session_kit::{
    ClearSiteData, Error, ErrorKind, IdUpdate, LoginPage, Refusal, RequireFresh, RequireUser,
    SameOriginLayer, Timeouts, csrf,
};

fn app() -> (Client<Router>, TestClock) {
    let (sessions, clock) = sessions();
    let app = Router::new()
        .route("/account", get(async |user: RequireUser| user.name))
        .route("/login/{name}", post(async |session: Session, Path(name): Path<String>| session.login(&name)))
        .route("/logout", post(async |session: Session| session.destroy("out").await.map(|_| ())))
        .route("/form", get(async |session: Session| csrf::token(&session).await))
        .route(
            "/form/{token}",
            post(async |session: Session, Path(token): Path<String>| {
                Ok::<_, Error>(csrf::is_valid(&session, &token)?.to_string())
            }),
        )
        .layer(SessionLayer::new(sessions, CookieState::default()))
        .layer(SameOriginLayer::new())
        .layer(Extension(LoginPage::new("/login").unwrap()));
    (Client::new(app), clock)
}

fn asking(accept: &str) -> Request<Body> {
    Request::get("/account").header("accept", accept).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn forms_of_two_requests_at_once_have_one_token() {
    let (sessions, _) = sessions();
    let session = sessions.load(None).await.unwrap();
    session.insert("cart", &1).unwrap();
    let _ = sessions.finish(&session).await.unwrap();
    let IdUpdate::Set { id, .. } = session.id_update() else { panic!("no id") };
    let [one, other] = [sessions.load(id).await.unwrap(), sessions.load(id).await.unwrap()];
    let shown = [csrf::token(&one).await.unwrap(), csrf::token(&other).await.unwrap()];
    assert_eq!(shown[0], shown[1]);
    for request in [one, other] {
        let _ = sessions.finish(&request).await.unwrap();
    }
    let later = sessions.load(id).await.unwrap();
    assert!(csrf::is_valid(&later, &shown[1]).unwrap());
}

#[tokio::test]
async fn user_is_required_by_what_the_client_accepts() {
    let (mut client, clock) = app();
    for accept in ["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "application/json, Text/HTML;q=0.1"] {
        let answer = client.send(asking(accept)).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/login")), "{accept}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for accept in ["application/json", "*/*", ""] {
        let answer = client.send(asking(accept)).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (401, None), "{accept}");
        assert!(answer.header("www-authenticate").is_some());
    }
    assert_eq!(client.post_form("/login/alice", &[]).await.status, 200);
    assert_eq!(client.get("/account").await.text(), "alice");
    let mut tab = client.clone();
    clock.advance(Duration::from_secs(25 * 3_600));
    assert_eq!(tab.get("/account").await.status, 401);
    assert_eq!(client.post_form("/login/bob", &[]).await.status, 200);
    assert_eq!(client.post_form("/logout", &[]).await.status, 200);
    assert_eq!(client.cookie("__Host-session"), None);
    assert_eq!(client.get("/account").await.status, 401);
}

#[tokio::test]
async fn csrf_token_is_valid_in_its_own_session_only() {
    let (mut one, _) = app();
    let mut other = one.clone();
    let token = one.get("/form").await.text().to_owned();
    assert_eq!(token.len(), 32);
    assert_eq!(one.get("/form").await.text(), token, "the token stays");
    assert_ne!(other.get("/form").await.text(), token);
    assert_eq!(one.post_form("/login/alice", &[]).await.status, 200);
    let other_end = if token.ends_with('A') { 'B' } else { 'A' };
    for (client, submitted, valid) in [
        (&one, token.clone(), "true"),
        (&one, token[..31].to_owned(), "false"),
        (&one, format!("{}{other_end}", &token[..31]), "false"),
        (&other, token.clone(), "false"),
    ] {
        let answer = client.clone().post_form(&format!("/form/{submitted}"), &[]).await;
        assert_eq!(answer.text(), valid, "{submitted}");
    }
    let (mut stranger, _) = app();
    assert_eq!(stranger.post_form(&format!("/form/{token}"), &[]).await.text(), "false");
}

#[tokio::test]
async fn form_of_another_site_is_refused_before_the_session() {
    let (mut client, _) = app();
    let request = Request::post("/login/mallory").header("sec-fetch-site", "cross-site");
    let answer = client.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (403, "The form came from another site."));
    assert_eq!(client.cookie("__Host-session"), None);
}

#[tokio::test]
async fn fresh_login_is_required_and_gets_old() {
    let (sessions, clock) = sessions();
    let app = Router::new()
        .route("/password", post(async |user: RequireFresh<300>| user.name))
        .route("/account", get(async |user: RequireUser| user.name))
        .route("/cart", post(async |session: Session| session.insert("cart", &1)))
        .route("/login", post(async |session: Session| session.login("ada")))
        .layer(SessionLayer::new(sessions, CookieState::default()))
        .layer(Extension(LoginPage::new("/login").unwrap()));
    let mut client = Client::new(app);
    assert_eq!(client.post("/password", "").await.status, 401);
    assert_eq!(client.post("/cart", "").await.status, 200);
    assert_eq!(client.post("/password", "").await.status, 401, "an anonymous session is not fresh");
    for _ in 0..2 {
        client.post("/login", "").await;
        for (seconds, status) in [(0, 200), (299, 200), (1, 401)] {
            clock.advance(Duration::from_secs(seconds));
            client.post("/cart", "").await;
            assert_eq!(client.get("/account").await.status, 200);
            assert_eq!(client.post("/password", "").await.status.as_u16(), status, "{seconds}");
        }
    }
    clock.set(session_kit::Timestamp::from_millis(1_800_000_000_000 - 3_600_000));
    assert_eq!(client.post("/password", "").await.status, 401, "the login is ahead of the clock");
}

#[tokio::test]
async fn logout_clears_the_chosen_data() {
    let some = Some("\"cache\", \"storage\"");
    for (data, expected, with_notice) in [
        (ClearSiteData::new(), None, None),
        (ClearSiteData::new().cookies(), Some("\"cookies\""), None),
        (ClearSiteData::new().cache().storage(), some, some),
        (ClearSiteData::new().cache().cookies().storage(), Some("\"cache\", \"cookies\", \"storage\""), some),
    ] {
        let app = Router::new()
            .route("/login", post(async |session: Session| session.login("ada")))
            .route("/logout", post(async |session: Session| session.destroy("out").await.map(drop)))
            .route(
                "/logout-with-notice",
                post(async |session: Session| {
                    session.destroy("out").await?;
                    session.flash().set("notice", "bye")
                }),
            )
            .layer(SessionLayer::new(sessions().0, CookieState::default()).clear_site_data(data));
        let mut client = Client::new(app);
        assert_eq!(client.post("/login", "").await.header("clear-site-data"), None);
        assert_eq!(client.post("/logout", "").await.header("clear-site-data"), expected);
        assert_eq!(client.post("/logout", "").await.header("clear-site-data"), None, "no session was ended");
        client.post("/login", "").await;
        let answer = client.post("/logout-with-notice", "").await;
        assert_eq!(answer.header("clear-site-data"), with_notice, "the next session has the notice");
        assert!(client.cookie("__Host-session").is_some());
    }
}

#[tokio::test]
async fn timeouts_of_a_guideline_end_the_session() {
    let clock = TestClock::new(session_kit::Timestamp::from_millis(1_800_000_000_000));
    let store = MemoryStore::open(MemoryConfig::new().clock(Arc::new(clock.clone()))).unwrap();
    let sessions = session_kit::Sessions::builder(store).timeouts(Timeouts::NIST_AAL2).build().unwrap();
    let app = Router::new()
        .route("/account", get(async |user: RequireUser| user.name))
        .route("/login", post(async |session: Session| session.login("ada")))
        .layer(SessionLayer::new(sessions, CookieState::default()));
    let mut idle = Client::new(app);
    let mut active = idle.clone();
    for client in [&mut idle, &mut active] {
        client.post("/login", "").await;
    }
    for minutes in (30..24 * 60).step_by(30) {
        clock.advance(Duration::from_secs(30 * 60));
        assert_eq!(active.get("/account").await.status, 200, "{minutes} minutes");
    }
    assert_eq!(idle.get("/account").await.status, 401);
    clock.advance(Duration::from_secs(30 * 60));
    assert_eq!(active.get("/account").await.status, 401, "a day");
}

/// The figures of the documents that the constants name.
#[test]
fn timeouts_are_those_of_their_guidelines() {
    let minutes = |time: Duration| time.as_secs() / 60;
    for (timeouts, idle, absolute) in [
        (Timeouts::NIST_AAL1, 30 * 24 * 60, 30 * 24 * 60),
        (Timeouts::NIST_AAL2, 60, 24 * 60),
        (Timeouts::NIST_AAL3, 15, 12 * 60),
        (Timeouts::OWASP_LOW_RISK, 30, 8 * 60),
        (Timeouts::OWASP_HIGH_VALUE, 5, 4 * 60),
    ] {
        assert_eq!((minutes(timeouts.idle), timeouts.absolute.map(minutes)), (idle, Some(absolute)));
    }
}

/// Refusals by an extractor and by a layer: what is asked, the status and the text.
const REFUSALS: [(&str, u16, &str, ErrorKind); 4] = [
    ("/account", 401, "Please log in.", ErrorKind::NoUser),
    ("/password", 401, "Please log in.", ErrorKind::NoUser),
    ("/password-of-ada", 401, "Please log in again.", ErrorKind::NotFresh),
    ("/foreign", 403, "The form came from another site.", ErrorKind::OtherSite),
];

async fn refused(client: &mut Client<Router>, path: &str, accept: &str) -> session_kit::test_kit::Answer {
    let mut request = Request::post(path).header("accept", accept);
    if path == "/password-of-ada" {
        client.post("/login", "").await;
        request = Request::post("/password").header("accept", accept);
    }
    if path == "/foreign" {
        request = request.header("sec-fetch-site", "cross-site");
    }
    client.send(request.body(Body::empty()).unwrap()).await
}

fn refusing() -> Router {
    Router::new()
        .route("/account", post(async |user: RequireUser| user.name))
        .route("/password", post(async |user: RequireFresh<0>| user.name))
        .route("/login", post(async |session: Session| session.login("ada")))
        .route("/foreign", post(async || "sent"))
}

#[tokio::test]
async fn refusals_are_problem_details_for_clients_that_prefer_json() {
    let session_layer = || SessionLayer::new(sessions().0, CookieState::default());
    let same_origin = SameOriginLayer::new();
    for app in [
        refusing().layer(same_origin.clone()).layer(session_layer()),
        refusing().layer(session_layer()).layer(same_origin),
    ] {
        for (path, status, text, _) in REFUSALS {
            let mut client = Client::new(app.clone());
            let answer = refused(&mut client, path, "application/json").await;
            assert_eq!(answer.status.as_u16(), status, "{path}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
            let body: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
            assert_eq!((&body["status"], &body["detail"]), (&status.into(), &text.into()), "{path}");
            assert_eq!(answer.header("www-authenticate"), (status == 401).then_some("Session"), "{path}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
            let answer = refused(&mut client, path, "*/*").await;
            assert_eq!((answer.status.as_u16(), answer.text()), (status, text), "{path}");
        }
    }
}

#[tokio::test]
async fn closure_of_the_session_layer_replaces_these_refusals_too() {
    let own = |refusal: &Refusal| (refusal.status, format!("{:?} {}", refusal.kind, refusal.wants_json));
    let own = move |refusal: &Refusal| axum::response::IntoResponse::into_response(own(refusal));
    let layer = SessionLayer::new(sessions().0, CookieState::default()).refuse_with(own);
    let app = refusing().layer(SameOriginLayer::new()).layer(layer);
    for (path, status, _, kind) in REFUSALS {
        let answer = refused(&mut Client::new(app.clone()), path, "application/json").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, format!("{kind:?} true").as_str()));
    }
}

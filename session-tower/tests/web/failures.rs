//! The store fails, or the handler fails.

use axum::Router;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::get;
use session_core::{Condition, Driver, Operation, Record, Revision, SessionId};
use session_manager::{OnCorrupt, Sessions};
use session_state_cookie::CookieConfig;
use session_tower::{
    Error, LazySession, OnHandlerError, OnStoreError, Refused, RoutePolicy, Session, SessionLayer,
};
use tower::ServiceExt;

use crate::common::{Browser, Fault, Probe, layer};

fn routes() -> Router {
    let failing = get(async |session: Session| {
        session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1)?;
        Ok::<_, Error>(StatusCode::BAD_GATEWAY)
    });
    Router::new()
        .route("/never", get(async || "hello"))
        .route(
            "/read",
            get(async |session: Session| {
                Ok::<_, Error>(format!("{:?} detached={}", session.get::<u32>("n")?, session.is_detached()))
            }),
        )
        .route("/write", get(async |session: Session| session.insert("n", &1)))
        .route(
            "/login",
            get(async |session: Session| {
                session.rotate()?;
                session.bind_user("alice")?;
                Ok::<_, Error>(Redirect::to("/read"))
            }),
        )
        .route(
            "/logout",
            get(async |session: Session| {
                session.destroy("out").await?;
                Ok::<_, Error>(Redirect::to("/never"))
            }),
        )
        .route(
            "/commit",
            get(async |session: Session| {
                session.insert("n", &5)?;
                Ok::<_, Error>(format!("{:?}", session.commit().await?.outcome))
            }),
        )
        .route(
            "/logout-502",
            get(async |session: Session| {
                session.destroy("out").await?;
                Ok::<_, Error>(StatusCode::BAD_GATEWAY)
            }),
        )
        .route("/502", failing.clone())
        .route("/502-commit", failing.layer(RoutePolicy::new().on_handler_error(OnHandlerError::Commit)))
        .route(
            "/read-refuse",
            get(async |_: Session| "read").layer(RoutePolicy::new().on_store_error(OnStoreError::Reject)),
        )
        .route(
            "/read-go-on",
            get(async |_: Session| "read").layer(RoutePolicy::new().on_store_error(OnStoreError::Continue)),
        )
        .route(
            "/write-go-on",
            get(async |handle: LazySession| {
                handle.on_store_error(OnStoreError::Continue);
                handle.load().await?.insert("n", &2)?;
                Ok::<_, Error>("written")
            }),
        )
}

fn refusing(probe: &Probe) -> Browser {
    Browser::new(routes().layer(layer(probe)))
}

fn going_on(probe: &Probe) -> Browser {
    Browser::new(routes().layer(layer(probe).on_store_error(OnStoreError::Continue)))
}

#[tokio::test]
async fn store_outage_is_a_503_for_requests_with_session() {
    let probe = Probe::new();
    let mut browser = refusing(&probe);
    browser.get("/write").await.is(200);
    probe.fail(Fault::All);
    for path in ["/read", "/write", "/login", "/logout", "/commit", "/read-refuse"] {
        let answer = browser.get(path).await.is(503).sets_no_cookie();
        assert_eq!(answer.body, "Sessions are not available at the moment. Please try again.");
    }
    browser.get("/never").await.is(200);
    let mut anonymous = refusing(&probe);
    anonymous.get("/never").await.is(200);
    // Reading needs no store call, writing needs one.
    assert_eq!(anonymous.get("/read").await.is(200).body, "None detached=false");
    anonymous.get("/write").await.is(503).sets_no_cookie();

    probe.fail(None);
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1) detached=false");
}

#[tokio::test]
async fn failed_commit_replaces_response_unless_continued() {
    let probe = Probe::new();
    let mut browser = refusing(&probe);
    browser.get("/write").await.is(200);
    probe.fail(Fault::Changes);
    assert_eq!(browser.get("/502-commit").await.is(503).sets_no_cookie().body, "");
    assert_eq!(browser.get("/write-go-on").await.is(200).sets_no_cookie().body, "written");
    probe.fail(None);
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1) detached=false");
}

#[tokio::test]
async fn detached_session_is_empty_and_never_stored() {
    let probe = Probe::new();
    let mut browser = going_on(&probe);
    browser.get("/write").await.is(200);
    probe.fail(Fault::Reads);
    assert_eq!(browser.get("/read").await.is(200).sets_no_cookie().body, "None detached=true");
    // Changes would succeed, but the session must not be stored: it would replace the client's cookie.
    probe.calls();
    browser.get("/write").await.is(200).sets_no_cookie();
    browser.get("/read-refuse").await.is(503);
    assert_eq!(probe.calls(), [Operation::Retrieve; 2]);
    assert_eq!(probe.records().await, 1);
    probe.fail(None);
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1) detached=false");
}

#[tokio::test]
async fn detached_login_logout_and_commit_are_refused() {
    let probe = Probe::new();
    let mut browser = going_on(&probe);
    browser.get("/write").await.is(200);
    for fault in [Fault::All, Fault::Reads, Fault::Changes] {
        probe.fail(fault);
        for path in ["/login", "/logout", "/commit"] {
            let answer = browser.get(path).await.sets_no_cookie();
            assert_eq!(answer.status, 503, "{path} {fault:?}: {:?}", probe.calls());
            assert!(!answer.headers.contains_key("location"));
        }
    }
    probe.fail(Fault::All);
    going_on(&probe).get("/login").await.is(503).sets_no_cookie();
    going_on(&probe).get("/write").await.is(200).sets_no_cookie();
    probe.fail(None);
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1) detached=false");
}

#[tokio::test]
async fn route_policy_overrides_the_layer() {
    let probe = Probe::new();
    let (mut refusing, mut going_on) = (refusing(&probe), going_on(&probe));
    refusing.get("/write").await.is(200);
    going_on.cookie.clone_from(&refusing.cookie);
    probe.fail(Fault::All);
    refusing.get("/read-go-on").await.is(200).sets_no_cookie();
    going_on.get("/read-refuse").await.is(503).sets_no_cookie();
}

#[tokio::test]
async fn uncertain_login_is_refused() {
    for (browser, path, status) in [
        (going_on as fn(&Probe) -> Browser, "/login", 503),
        (going_on, "/write", 200),
        (refusing, "/login", 503),
        (refusing, "/write", 503),
    ] {
        let probe = Probe::new();
        let mut browser = browser(&probe);
        for _ in 0..2 {
            browser.get("/502-commit").await.is(502);
        }
        probe.fail(Fault::Lost);
        browser.get(path).await.is(status).sets_no_cookie();
    }
}

#[tokio::test]
async fn damaged_record_follows_on_corrupt() {
    for (what, status) in [(OnCorrupt::Fresh, 200), (OnCorrupt::Fail, 500)] {
        let probe = Probe::new();
        let sessions = Sessions::builder(probe.clone()).on_corrupt(what).build().unwrap();
        let cookie = CookieConfig::new().build().unwrap();
        let mut browser = Browser::new(routes().layer(SessionLayer::new(sessions, cookie)));
        browser.get("/write").await.is(200);
        let id = browser.cookie.clone().unwrap();
        let id = SessionId::parse(id.strip_prefix("__Host-session=").unwrap().as_bytes()).unwrap();
        let junk = Record::new(&b"\xff\xff junk"[..], None, Revision::from_bytes([1; 8]));
        assert!(probe.store(&id.key(), junk, Condition::Any).await.unwrap().is_applied());
        browser.get("/read").await.is(status).sets_no_cookie();
    }
}

#[tokio::test]
async fn server_error_drops_changes_unless_commit_is_set() {
    let probe = Probe::new();
    let mut browser = refusing(&probe);
    browser.get("/502").await.is(502).sets_no_cookie();
    assert_eq!(probe.records().await, 0);
    browser.get("/write").await.is(200);
    browser.get("/502").await.is(502).sets_no_cookie();
    assert_eq!(browser.get("/read").await.body, "Some(1) detached=false");
    browser.get("/502-commit").await.is(502).sets_no_cookie();
    assert_eq!(browser.get("/read").await.body, "Some(2) detached=false");

    let app = routes().layer(layer(&probe).on_handler_error(OnHandlerError::Commit));
    let mut committing = Browser::new(app);
    assert_eq!(committing.get("/502").await.is(502).all("set-cookie").len(), 1);
}

#[tokio::test]
async fn logout_is_final_if_the_handler_fails() {
    let probe = Probe::new();
    let mut browser = refusing(&probe);
    browser.get("/write").await.is(200);
    let answer = browser.get("/logout-502").await.is(502);
    assert!(answer.all("set-cookie")[0].contains("Max-Age=0"));
    assert_eq!(probe.records().await, 0);
}

#[tokio::test]
async fn refused_response_is_marked() {
    let probe = Probe::new();
    probe.fail(Fault::All);
    let browser = refusing(&probe);
    let app = routes().layer(layer(&probe));
    let response = app.oneshot(browser.request("/write")).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.extensions().get::<Refused>().is_some());
}

#[tokio::test]
async fn handler_panic_stores_nothing() {
    let probe = Probe::new();
    let panicking = get(async |session: Session| {
        session.insert("n", &99).unwrap();
        session.rotate().unwrap();
        if session.contains("n").unwrap() {
            panic!("in the middle of a handler");
        }
    });
    let mut browser = Browser::new(routes().route("/panic", panicking).layer(layer(&probe)));
    browser.get("/write").await.is(200);
    probe.calls();
    let mut tab = browser.clone();
    let joined = tokio::spawn(async move { tab.get("/panic").await }).await;
    assert!(joined.unwrap_err().is_panic());
    assert_eq!(probe.calls(), [Operation::Retrieve]);
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1) detached=false");
}

#[tokio::test]
async fn unwritable_id_refuses_the_response() {
    struct Mute;
    impl session_core::State for Mute {
        fn read(&self, _: &axum::http::HeaderMap) -> session_core::Candidates {
            session_core::Candidates::none()
        }
        fn write(
            &self,
            _: &SessionId,
            _: Option<session_core::Timestamp>,
            _: session_core::Timestamp,
            _: &mut axum::http::HeaderMap,
        ) -> session_core::Result<()> {
            Err(session_core::StoreError::new(
                session_core::StoreErrorKind::TooLarge,
                session_core::Operation::State,
            ))
        }
        fn erase(&self, _: &mut axum::http::HeaderMap) -> session_core::Result<()> {
            Ok(())
        }
    }
    let probe = Probe::new();
    let sessions = Sessions::new(probe.clone()).unwrap();
    let mut browser = Browser::new(routes().layer(SessionLayer::new(sessions, Mute)));
    browser.get("/write").await.is(500);
    browser.get("/read").await.is(200);
}

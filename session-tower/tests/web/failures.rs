//! The store fails, or the handler fails.

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use session_core::{
    Candidates, Condition, Driver, Operation, Persistence, Record, Revision, SessionId, State, StoreError,
    StoreErrorKind, Timestamp,
};
use session_manager::{OnCorrupt, Sessions};
use session_state_cookie::CookieState;
use session_tower::{
    Error, LazySession, OnHandlerError, OnNotStored, OnStoreError, RoutePolicy, Session, SessionLayer,
};

use crate::common::{self, Browser, Fault, Probe, add, fail, layer, probe, records};

fn routes() -> Router {
    let failing = get(async |session: Session| add(&session).map(|()| StatusCode::BAD_GATEWAY));
    let commit = async |session: Session| {
        session.insert("n", &5)?;
        Ok::<_, Error>(format!("{:?}", session.commit().await?.outcome))
    };
    let logout = async |session: Session| session.destroy("out").await.map(|_| StatusCode::BAD_GATEWAY);
    let continuing = async |handle: LazySession| {
        handle.on_store_error(OnStoreError::Continue);
        handle.load().await?.insert("n", &2)?;
        Ok::<_, Error>("written")
    };
    let reading = |policy| get(async |_: Session| "read").layer(RoutePolicy::new().on_store_error(policy));
    common::routes()
        .route("/commit", get(commit))
        .route("/logout-502", get(logout))
        .route("/502", failing.clone())
        .route("/502-commit", failing.layer(RoutePolicy::new().on_handler_error(OnHandlerError::Commit)))
        .route("/read-refuse", reading(OnStoreError::Reject))
        .route("/read-continue", reading(OnStoreError::Continue))
        .route("/write-continue", get(continuing))
}

fn anonymous(probe: &Probe, policy: OnStoreError) -> Browser {
    Browser::new(routes().layer(layer(probe).on_store_error(policy)))
}

async fn begun(probe: &Probe, policy: OnStoreError) -> Browser {
    let mut browser = anonymous(probe, policy);
    browser.get("/write").await.is(200);
    browser
}

#[tokio::test]
async fn store_outage_is_a_503_for_requests_with_session() {
    let probe = probe();
    let mut browser = begun(&probe, OnStoreError::Reject).await;
    fail(&probe, Fault::All);
    for path in ["/read", "/write", "/login", "/logout", "/commit", "/read-refuse"] {
        let answer = browser.get(path).await.is(503).sets_no_cookie();
        assert_eq!(answer.body, "Sessions are not available at the moment. Please try again.");
        assert!(answer.refused, "{path}");
    }
    browser.get("/never").await.is(200);
    let mut anonymous = anonymous(&probe, OnStoreError::Reject);
    anonymous.get("/never").await.is(200);
    // Reading needs no store call, writing needs one.
    assert_eq!(anonymous.get("/read").await.is(200).body, "None");
    assert!(anonymous.get("/write").await.is(503).sets_no_cookie().refused);

    probe.recover();
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1)");
}

#[tokio::test]
async fn failed_commit_replaces_response_unless_continued() {
    let probe = probe();
    let mut browser = begun(&probe, OnStoreError::Reject).await;
    fail(&probe, Fault::Changes);
    let answer = browser.get("/502-commit").await.is(503).sets_no_cookie();
    assert_eq!(answer.body, "Sessions are not available at the moment. Please try again.");
    assert_eq!(browser.get("/write-continue").await.is(200).sets_no_cookie().body, "written");
    probe.recover();
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1)");
}

#[tokio::test]
async fn detached_session_is_empty_and_never_stored() {
    let probe = probe();
    let mut browser = begun(&probe, OnStoreError::Continue).await;
    fail(&probe, Fault::Reads);
    assert_eq!(browser.get("/read").await.is(200).sets_no_cookie().body, "None detached");
    // Changes would succeed, but the session must not be stored: it would replace the client's cookie.
    probe.calls();
    browser.get("/write").await.is(200).sets_no_cookie();
    assert_eq!(probe.operations(), [Operation::Retrieve]);
    assert_eq!(records(&probe), 1);
    probe.recover();
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1)");
}

#[tokio::test]
async fn detached_login_logout_and_commit_are_refused() {
    let probe = probe();
    let mut browser = begun(&probe, OnStoreError::Continue).await;
    for fault in [Fault::All, Fault::Reads, Fault::Changes] {
        fail(&probe, fault);
        for path in ["/login", "/logout", "/commit"] {
            let answer = browser.get(path).await.sets_no_cookie();
            assert_eq!(answer.status, 503, "{path} {fault:?}: {:?}", probe.operations());
            assert!(!answer.headers.contains_key("location"));
        }
    }
    fail(&probe, Fault::All);
    anonymous(&probe, OnStoreError::Continue).get("/login").await.is(503).sets_no_cookie();
    anonymous(&probe, OnStoreError::Continue).get("/write").await.is(200).sets_no_cookie();
    probe.recover();
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1)");
}

#[tokio::test]
async fn route_policy_overrides_the_layer() {
    for (policy, path, status) in
        [(OnStoreError::Reject, "/read-continue", 200), (OnStoreError::Continue, "/read-refuse", 503)]
    {
        let probe = probe();
        let mut browser = begun(&probe, policy).await;
        fail(&probe, Fault::All);
        browser.get(path).await.is(status).sets_no_cookie();
    }
}

#[tokio::test]
async fn uncertain_login_is_refused() {
    for (policy, path, status) in [
        (OnStoreError::Continue, "/login", 503),
        (OnStoreError::Continue, "/add", 200),
        (OnStoreError::Reject, "/login", 503),
        (OnStoreError::Reject, "/add", 503),
    ] {
        let probe = probe();
        let mut browser = begun(&probe, policy).await;
        fail(&probe, Fault::Lost);
        browser.get(path).await.is(status).sets_no_cookie();
    }
}

#[tokio::test]
async fn damaged_record_follows_on_corrupt() {
    for (what, status) in [(OnCorrupt::Fresh, 200), (OnCorrupt::Fail, 500)] {
        let probe = probe();
        let sessions = Sessions::builder(probe.clone()).on_corrupt(what).build().unwrap();
        let mut browser = Browser::new(routes().layer(SessionLayer::new(sessions, CookieState::default())));
        browser.get("/write").await.is(200);
        let junk = Record::new(&b"\xff\xff junk"[..], None, Revision::from_bytes([1; 8]));
        assert!(probe.store(&browser.id().key(), junk, Condition::Any).await.unwrap().is_applied());
        browser.get("/read").await.is(status).sets_no_cookie();
    }
}

#[tokio::test]
async fn server_error_drops_changes_unless_commit_is_set() {
    let probe = probe();
    anonymous(&probe, OnStoreError::Reject).get("/502").await.is(502).sets_no_cookie();
    assert_eq!(records(&probe), 0);
    let mut browser = begun(&probe, OnStoreError::Reject).await;
    browser.get("/502").await.is(502).sets_no_cookie();
    assert_eq!(browser.get("/read").await.body, "Some(1)");
    browser.get("/502-commit").await.is(502).sets_no_cookie();
    assert_eq!(browser.get("/read").await.body, "Some(2)");

    let app = routes().layer(layer(&probe).on_handler_error(OnHandlerError::Commit));
    assert_eq!(Browser::new(app).get("/502").await.is(502).all("set-cookie").len(), 1);
}

#[tokio::test]
async fn logout_is_final_if_the_handler_fails() {
    let probe = probe();
    let answer = begun(&probe, OnStoreError::Reject).await.get("/logout-502").await.is(502);
    assert!(answer.all("set-cookie")[0].contains("Max-Age=0"));
    assert_eq!(records(&probe), 0);
}

#[tokio::test]
async fn handler_panic_stores_nothing() {
    let probe = probe();
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
    assert_eq!(probe.operations(), [Operation::Retrieve]);
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1)");
}

struct Mute;

impl State for Mute {
    fn read(&self, _: &HeaderMap) -> Candidates {
        Candidates::none()
    }

    fn write(
        &self,
        _: &SessionId,
        _: Option<Timestamp>,
        _: Persistence,
        _: Timestamp,
        _: &mut HeaderMap,
    ) -> session_core::Result<()> {
        Err(StoreError::new(StoreErrorKind::TooLarge, Operation::State))
    }

    fn erase(&self, _: &mut HeaderMap) -> session_core::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn unwritable_id_refuses_the_response() {
    let sessions = Sessions::new(probe()).unwrap();
    let mut browser = Browser::new(routes().layer(SessionLayer::new(sessions, Mute)));
    browser.get("/write").await.is(500);
    browser.get("/read").await.is(200);
}

#[tokio::test]
async fn response_without_its_writes_follows_the_policy() {
    let probe = probe();
    let ending = |probe: &Probe, id: SessionId| {
        let sessions = Sessions::new(probe.clone()).unwrap();
        async move { sessions.load(id).await.unwrap().destroy("elsewhere").await.unwrap() }
    };
    for (path, policy, status) in [
        ("/save", OnNotStored::Continue, 200),
        ("/save", OnNotStored::Reject, 409),
        ("/save-reject", OnNotStored::Continue, 409),
        ("/save-ask", OnNotStored::Continue, 409),
    ] {
        let mut browser = Browser::begun(&probe).await;
        let id = browser.id();
        let saving = |asks: bool| {
            let probe = probe.clone();
            get(async move |handle: LazySession, session: Session| {
                if asks {
                    handle.on_not_stored(OnNotStored::Reject);
                }
                session.insert("n", &7)?;
                // A logout in another tab overtakes this request.
                ending(&probe, id).await;
                Ok::<_, Error>("saved")
            })
        };
        let rejects = RoutePolicy::new().on_not_stored(OnNotStored::Reject);
        let routes = common::routes()
            .route("/save", saving(false))
            .route("/save-ask", saving(true))
            .route("/save-reject", saving(false).layer(rejects));
        browser.app = routes.layer(layer(&probe).on_not_stored(policy));
        let answer = browser.get(path).await.is(status).sets_no_cookie();
        assert!(answer.not_stored, "{path}");
        assert_eq!((answer.body == "saved", answer.refused), (status == 200, status != 200), "{path}");
        // The next page works, and nothing of it is marked.
        let mut browser = Browser::begun(&probe).await;
        let answer = browser.get("/add").await.is(200);
        assert!(!answer.not_stored && !answer.refused);
    }
    // A failing store under the policy `Continue` loses writes too.
    let mut browser = begun(&probe, OnStoreError::Continue).await;
    for (policy, status) in [(OnNotStored::Continue, 200), (OnNotStored::Reject, 503)] {
        let layer = layer(&probe).on_store_error(OnStoreError::Continue).on_not_stored(policy);
        browser.app = routes().layer(layer);
        fail(&probe, Fault::All);
        assert!(browser.get("/write").await.is(status).not_stored);
        assert!(!browser.get("/read").await.is(200).not_stored);
        probe.recover();
    }
}

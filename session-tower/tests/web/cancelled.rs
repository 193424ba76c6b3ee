//! The client disconnects.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::routing::get;
use session_tower::{Error, Session};
use tower::ServiceExt;

use crate::common::{Browser, Probe, layer};

/// Each request is dropped after one more poll than the one before, until one completes.
#[tokio::test]
async fn dropped_request_commits_all_or_nothing() {
    let (mut before, mut nothing, mut all) = (0, 0, 0);
    for create in [true, false] {
        for change in ["/add", "/login"] {
            for polls in 0.. {
                let returned = Arc::new(AtomicBool::new(false));
                let probe = Probe::new();
                let app = app(&probe, &returned);
                let mut browser = Browser::new(app.clone());
                if !create {
                    browser.get("/start").await.is(200);
                    returned.store(false, Ordering::SeqCst);
                }
                let records = probe.records().await;
                probe.yields(true);
                let done = {
                    let mut response = pin!(app.oneshot(browser.request(change)));
                    let mut cx = Context::from_waker(Waker::noop());
                    (0..polls).any(|_| matches!(response.as_mut().poll(&mut cx), Poll::Ready(_)))
                };
                probe.yields(false);
                if done {
                    break;
                }
                // The store holds one of the documented states, and a returning browser finds it.
                let after = probe.records().await;
                if create {
                    assert!(after <= 1);
                } else {
                    // A dropped rotation leaves its unreachable successor, or the tombstone beside it.
                    assert!((1..=2).contains(&after), "{change} {polls}: {after}");
                    let seen = browser.get("/read").await.is(200).sets_no_cookie().body;
                    match (change, seen.as_str()) {
                        (_, "Some(10) None") => nothing += 1,
                        ("/add", "Some(11) None") => all += 1,
                        // The tombstone is placed: the old id is anonymous.
                        ("/login", "None None") if after == 2 => all += 1,
                        other => panic!("{other:?} after {polls} polls"),
                    }
                    if !returned.load(Ordering::SeqCst) {
                        assert_eq!(seen, "Some(10) None");
                    }
                }
                if !returned.load(Ordering::SeqCst) {
                    assert_eq!(after, records, "{change} {polls}");
                    before += 1;
                }
            }
        }
    }
    assert!(before >= 8 && nothing >= 8 && all >= 2, "{before} {nothing} {all}");
}

fn app(probe: &Probe, returned: &Arc<AtomicBool>) -> Router {
    let (at_add, at_login) = (Arc::clone(returned), Arc::clone(returned));
    Router::new()
        .route("/start", get(async |session: Session| session.insert("n", &10)))
        .route(
            "/read",
            get(async |session: Session| {
                Ok::<_, Error>(format!("{:?} {:?}", session.get::<u32>("n")?, session.user()?))
            }),
        )
        .route(
            "/add",
            get(async move |session: Session| {
                tokio::task::yield_now().await;
                session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1)?;
                tokio::task::yield_now().await;
                at_add.store(true, Ordering::SeqCst);
                Ok::<_, Error>(())
            }),
        )
        .route(
            "/login",
            get(async move |session: Session| {
                session.rotate()?;
                session.bind_user("alice")?;
                tokio::task::yield_now().await;
                at_login.store(true, Ordering::SeqCst);
                Ok::<_, Error>(())
            }),
        )
        .layer(layer(probe))
}

#[tokio::test]
async fn kept_session_is_read_only_after_its_request() {
    let probe = Probe::new();
    let (send, receive) = tokio::sync::oneshot::channel::<Session>();
    let send = Arc::new(std::sync::Mutex::new(Some(send)));
    let keep = get(async move |session: Session| {
        session.insert("n", &1)?;
        let _ = send.lock().unwrap().take().unwrap().send(session);
        Ok::<_, Error>(())
    });
    Browser::new(Router::new().route("/keep", keep).layer(layer(&probe))).get("/keep").await.is(200);
    let session = receive.await.unwrap();
    assert_eq!(session.get::<u32>("n").unwrap(), Some(1));
    assert_eq!(session.insert("n", &2).unwrap_err().kind(), session_manager::ErrorKind::Committed);
    assert_eq!(session.destroy("late").await.unwrap_err().kind(), session_manager::ErrorKind::Committed);
}

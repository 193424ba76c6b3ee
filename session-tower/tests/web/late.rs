//! A session after its request.

use std::pin::pin;
use std::sync::{Arc, Mutex, Weak};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use session_manager::ErrorKind;
use session_tower::{Error, LazySession, OnStoreError, Session};
use tokio::task::yield_now;
use tower::{Layer, Service, service_fn};

use crate::common::{self, Browser, Fault, fail, layer, probe, records};

/// A handler keeps a clone of its session here, and a weak reference to its closure.
#[derive(Clone, Default)]
struct Kept {
    session: Arc<Mutex<Option<Session>>>,
    alive: Arc<Mutex<Weak<()>>>,
}

impl Kept {
    /// Changes the session in a way that no handler should: by a closure that holds the session.
    fn change(&self, session: Session) -> Result<(), Error> {
        let (clone, life) = (session.clone(), Arc::new(()));
        *self.alive.lock().unwrap() = Arc::downgrade(&life);
        session.update("n", move |n: Option<u32>| {
            let _held = (&clone, &life);
            n.unwrap_or(0) + 1
        })?;
        session.rotate()?;
        session.flash().set("message", "lost")?;
        *self.session.lock().unwrap() = Some(session);
        Ok(())
    }

    /// Checks that writes through the clone fail, and that its drop frees the closure. False if the handler did not run.
    #[track_caller]
    fn is_over(&self) -> bool {
        let Some(session) = self.session.lock().unwrap().take() else { return false };
        for result in [
            session.insert("n", &2),
            session.remove("n").map(drop),
            session.update("n", |_: Option<u32>| 3).map(drop),
            session.flash().set("late", "message"),
            session.rotate(),
            session.bind_user("alice"),
        ] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Committed);
        }
        drop(session);
        assert!(self.alive.lock().unwrap().upgrade().is_none(), "a reference cycle keeps the log");
        true
    }
}

fn routes(kept: &Kept) -> Router {
    let with = |status: StatusCode| {
        let kept = kept.clone();
        get(async move |session: Session| {
            yield_now().await;
            let changed = kept.change(session);
            yield_now().await;
            changed.map(|()| status)
        })
    };
    common::routes().route("/200", with(StatusCode::OK)).route("/502", with(StatusCode::BAD_GATEWAY))
}

#[tokio::test]
async fn clone_cannot_write_after_uncommitted_response() {
    let (probe, kept) = (probe(), Kept::default());
    let mut browser = Browser::new(routes(&kept).layer(layer(&probe)));
    for path in ["/502", "/write", "/502"] {
        let answer = browser.get(path).await;
        if path == "/502" {
            answer.is(502).sets_no_cookie();
            assert!(kept.is_over());
        }
    }
    assert_eq!((browser.get("/read").await.body.as_str(), records(&probe)), ("Some(1)", 1));
}

#[tokio::test]
async fn late_commit_and_logout_have_no_effect() {
    let (probe, kept) = (probe(), Kept::default());
    let mut browser = Browser::new(routes(&kept).layer(layer(&probe)));
    browser.get("/write").await.is(200);
    browser.get("/502").await.is(502);
    let session = kept.session.lock().unwrap().take().unwrap();
    // An error or no effect: what was dropped stays dropped.
    let _ = session.commit().await;
    assert_eq!(session.destroy("late").await.unwrap_err().kind(), ErrorKind::Committed);
    assert_eq!((browser.get("/read").await.body.as_str(), records(&probe)), ("Some(1)", 1));
}

/// Each request is dropped after one more poll than the one before, until one completes.
#[tokio::test]
async fn clone_cannot_write_after_dropped_request() {
    let mut over = 0;
    for start in [false, true] {
        for polls in 0.. {
            let (probe, kept) = (probe(), Kept::default());
            let mut browser = Browser::new(routes(&kept).layer(layer(&probe)));
            if start {
                browser.get("/write").await.is(200);
            }
            probe.yields(true);
            let done = browser.drop_after(polls, "/200");
            over += u32::from(kept.is_over());
            if done {
                break;
            }
        }
    }
    // In the handler, and during the store calls of a commit that rotates.
    assert!(over >= 8, "{over}");
}

#[tokio::test]
async fn clone_cannot_write_after_failed_commit() {
    for policy in [OnStoreError::Reject, OnStoreError::Continue] {
        for fault in [Fault::Changes, Fault::Lost, Fault::All] {
            let (probe, kept) = (probe(), Kept::default());
            let mut browser = Browser::new(routes(&kept).layer(layer(&probe).on_store_error(policy)));
            browser.get("/write").await.is(200);
            fail(&probe, fault);
            browser.get("/200").await.is(503);
            // If loading fails with Reject, no handler runs.
            assert_eq!(kept.is_over(), (policy, fault) != (OnStoreError::Reject, Fault::All));
        }
    }
}

#[tokio::test]
async fn clone_cannot_write_after_handler_panic() {
    let kept = Kept::default();
    let clone = kept.clone();
    let panicking = get(async move |session: Session| {
        if clone.change(session).is_ok() {
            panic!("in the middle of a handler");
        }
    });
    let mut browser = Browser::new(Router::new().route("/panic", panicking).layer(layer(&probe())));
    let joined = tokio::spawn(async move { browser.get("/panic").await.status }).await;
    assert!(joined.unwrap_err().is_panic());
    assert!(kept.is_over());
}

#[tokio::test]
async fn response_closes_the_session_before_future_drop() {
    for answer in [Ok(StatusCode::OK), Ok(StatusCode::BAD_GATEWAY), Err("no response")] {
        let (probe, kept) = (probe(), Kept::default());
        let service = service_fn(async |request: Request<Body>| {
            let session = LazySession::of(request.extensions()).unwrap().load().await.unwrap();
            kept.change(session).unwrap();
            answer.map(IntoResponse::into_response)
        });
        let mut future = pin!(layer(&probe).layer(service).call(Request::new(Body::empty())));
        assert_eq!(future.as_mut().await.map(|response| response.status()), answer);
        assert!(kept.is_over());
        assert_eq!(records(&probe), usize::from(answer == Ok(StatusCode::OK)));
    }
}

#[tokio::test]
async fn session_kept_after_the_response_is_read_only() {
    for loaded in [false, true] {
        let kept: Arc<Mutex<Option<LazySession>>> = Arc::default();
        let keeping = Arc::clone(&kept);
        let keep = get(async move |handle: LazySession| {
            if loaded {
                let _ = handle.load().await?;
            }
            *keeping.lock().unwrap() = Some(handle);
            Ok::<_, Error>(Redirect::to("/"))
        });
        let mut browser = Browser::new(common::routes().route("/keep", keep).layer(layer(&probe())));
        browser.get("/write").await.is(200);
        browser.get("/keep").await.is(303).sets_no_cookie();
        let handle = kept.lock().unwrap().take().unwrap();
        let session = handle.load().await.unwrap();
        assert_eq!(session.get::<u32>("n").unwrap(), Some(1));
        assert_eq!(session.insert("n", &11).unwrap_err().kind(), ErrorKind::Committed);
        assert_eq!(session.destroy("late").await.unwrap_err().kind(), ErrorKind::Committed);
        assert_eq!(browser.get("/read").await.body, "Some(1)");
    }
}

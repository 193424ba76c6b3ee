//! Login, logout, and late requests.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::routing::get;
use axum::{Extension, Router};
use session_tower::{Error, OnStoreError, Session};
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinHandle;

use crate::common::{self, Answer, Browser, Fault, Probe, add, fail, layer, login, probe, read, records};

/// As the last extractor of a handler, reports that the ones before have done their work, and waits.
#[derive(Clone, Default)]
struct Gate {
    begun: Arc<Notify>,
    open: Arc<Notify>,
}

impl<S: Sync> FromRequestParts<S> for Gate {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let gate = parts.extensions.get::<Self>().unwrap().clone();
        gate.begun.notify_one();
        gate.open.notified().await;
        Ok(gate)
    }
}

impl Gate {
    /// Starts `path` in another tab and waits until its handler has loaded the session.
    async fn begin(&self, browser: &Browser, path: &'static str) -> JoinHandle<Answer> {
        let mut tab = browser.clone();
        let running = tokio::spawn(async move { tab.get(path).await });
        self.begun.notified().await;
        running
    }
}

fn routes(gate: &Gate) -> Router {
    // The handler ignores the result of its commit.
    let login_by_hand = async |session: Session, _: Gate| {
        let answer = login(session.clone()).await?;
        session.commit().await?;
        Ok::<_, Error>(answer)
    };
    common::routes()
        .route("/slow-add", get(async |session: Session, _: Gate| add(&session)))
        .route("/slow-read", get(async |session: Session, _: Gate| read(session).await))
        .route("/slow-login", get(async |session: Session, _: Gate| login(session).await))
        .route("/slow-login-by-hand", get(login_by_hand))
        .layer(Extension(gate.clone()))
}

async fn begun(probe: &Probe, gate: &Gate, policy: OnStoreError) -> Browser {
    let mut browser = Browser::new(routes(gate).layer(layer(probe).on_store_error(policy)));
    browser.get("/write").await.is(200);
    browser
}

#[tokio::test]
async fn logout_during_a_slow_request_is_final() {
    for path in ["/slow-add", "/slow-read"] {
        let (probe, gate) = (probe(), Gate::default());
        let mut browser = begun(&probe, &gate, OnStoreError::Reject).await;
        let slow = gate.begin(&browser, path).await;
        browser.get("/logout").await.is(200);
        gate.open.notify_one();
        slow.await.unwrap().is(200).sets_no_cookie();
        assert_eq!(records(&probe), 0);
    }
}

#[tokio::test]
async fn rotation_sets_cookie_and_late_request_gets_none() {
    let (probe, gate) = (probe(), Gate::default());
    let mut browser = begun(&probe, &gate, OnStoreError::Reject).await;
    let mut old = browser.clone();
    let slow = gate.begin(&browser, "/slow-add").await;
    assert_eq!(browser.get("/login").await.is(303).all("set-cookie").len(), 1);
    assert_ne!(browser.cookie, old.cookie);
    gate.open.notify_one();
    slow.await.unwrap().is(200).sets_no_cookie();

    // Requests with the old id cannot read, write, end the session, or change the browser's cookie.
    assert_eq!(old.get("/read").await.is(200).sets_no_cookie().body, "None Replaced");
    old.get("/add").await.is(200).sets_no_cookie();
    assert_eq!(old.get("/logout").await.is(200).sets_no_cookie().body, "false");
    old.get("/login").await.is(503).sets_no_cookie();
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1) of alice");
}

#[tokio::test]
async fn login_after_logout_is_refused_with_every_policy() {
    let policies = [OnStoreError::Reject, OnStoreError::Continue];
    let paths = ["/slow-login", "/slow-login-by-hand"];
    for (policy, path) in policies.into_iter().flat_map(|policy| paths.map(|path| (policy, path))) {
        let (probe, gate) = (probe(), Gate::default());
        let mut browser = begun(&probe, &gate, policy).await;
        let slow = gate.begin(&browser, path).await;
        browser.get("/logout").await.is(200);
        gate.open.notify_one();
        let answer = slow.await.unwrap().is(503).sets_no_cookie();
        assert!(!answer.headers.contains_key("location"));
        assert_eq!(records(&probe), 0);
    }
}

#[tokio::test]
async fn token_is_spent_once_with_every_policy() {
    for policy in [OnStoreError::Reject, OnStoreError::Continue] {
        let both = Arc::new(Barrier::new(2));
        let spend = get(async move |session: Session| {
            both.wait().await;
            Ok::<_, Error>(format!("{:?}", session.take::<u32>("n")?))
        });
        let app = common::routes().route("/spend", spend).layer(layer(&probe()).on_store_error(policy));
        let mut browser = Browser::new(app);
        browser.get("/write").await.is(200);
        let (mut one, mut two) = (browser.clone(), browser);
        let (one, two) = tokio::join!(one.get("/spend"), two.get("/spend"));
        let mut seen = [one, two].map(|answer| (answer.status.as_u16(), answer.body == "Some(1)"));
        seen.sort_unstable();
        assert_eq!(seen, [(200, true), (503, false)]);
    }
}

#[tokio::test]
async fn explicit_commit_reaches_client_after_later_failure() {
    let probe = probe();
    let failing = probe.clone();
    let by_hand = get(async move |session: Session| {
        session.rotate()?;
        let _ = session.commit().await?;
        fail(&failing, Fault::All);
        add(&session)
    });
    let mut browser = Browser::new(common::routes().route("/by-hand", by_hand).layer(layer(&probe)));
    browser.get("/write").await.is(200);
    let old = browser.cookie.clone();
    // The old id is void already, so the client needs the new one.
    assert_eq!(browser.get("/by-hand").await.is(503).all("set-cookie").len(), 1);
    probe.recover();
    assert_ne!(browser.cookie, old);
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1)");
}

//! Login, logout, and late requests.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Redirect;
use axum::routing::get;
use session_manager::EndReason;
use session_tower::{Error, OnStoreError, Session};
use tokio::sync::{Barrier, Notify};

use crate::common::{Browser, Probe, layer};

/// Handlers report here that they have begun, and wait here.
#[derive(Clone, Default)]
struct Gate {
    begun: Arc<Notify>,
    open: Arc<Notify>,
}

impl Gate {
    async fn pass(&self) {
        self.begun.notify_one();
        self.open.notified().await;
    }
}

fn routes(gate: &Gate) -> Router {
    Router::new()
        .route("/start", get(async |session: Session| session.insert("token", "gold")))
        .route("/read", get(read))
        .route("/write", get(async |session: Session| session.insert("late", &true)))
        .route("/login", get(login))
        .route(
            "/logout",
            get(async |session: Session| Ok::<_, Error>(session.destroy("out").await?.to_string())),
        )
        .route(
            "/slow",
            get(async |State(gate): State<Gate>, session: Session| {
                gate.pass().await;
                session.insert("slow", "done")?;
                Ok::<_, Error>("waited")
            }),
        )
        .route(
            "/slow-read",
            get(async |State(gate): State<Gate>, session: Session| {
                gate.pass().await;
                read(session).await
            }),
        )
        .route(
            "/slow-login",
            get(async |State(gate): State<Gate>, session: Session| {
                gate.pass().await;
                login(session).await
            }),
        )
        .route(
            "/slow-login-by-hand",
            get(async |State(gate): State<Gate>, session: Session| {
                gate.pass().await;
                session.rotate()?;
                session.bind_user("alice")?;
                // The handler ignores the result.
                let _ = session.commit().await?;
                Ok::<_, Error>(Redirect::to("/read"))
            }),
        )
        .with_state(gate.clone())
}

async fn read(session: Session) -> Result<String, Error> {
    let reason = session.end_reason()?;
    let slow = session.get::<String>("slow")?;
    Ok(format!("{:?} {slow:?} {reason:?}", session.user()?))
}

async fn login(session: Session) -> Result<Redirect, Error> {
    session.rotate()?;
    session.bind_user("alice")?;
    Ok(Redirect::to("/read"))
}

/// Starts `path` in another tab and waits until its handler has loaded the session.
async fn begin(
    browser: &Browser,
    gate: &Gate,
    path: &'static str,
) -> tokio::task::JoinHandle<crate::common::Answer> {
    let mut tab = browser.clone();
    let running = tokio::spawn(async move { tab.get(path).await });
    gate.begun.notified().await;
    running
}

#[tokio::test]
async fn logout_during_a_slow_request_is_final() {
    let (probe, gate) = (Probe::new(), Gate::default());
    let mut browser = Browser::new(routes(&gate).layer(layer(&probe)));
    browser.get("/start").await.is(200);
    for path in ["/slow", "/slow-read"] {
        let slow = begin(&browser, &gate, path).await;
        if path == "/slow" {
            browser.get("/logout").await.is(200);
        }
        gate.open.notify_one();
        slow.await.unwrap().is(200).sets_no_cookie();
        assert_eq!(probe.records().await, 0);
    }
}

#[tokio::test]
async fn rotation_sets_cookie_and_late_request_gets_none() {
    let (probe, gate) = (Probe::new(), Gate::default());
    let mut browser = Browser::new(routes(&gate).layer(layer(&probe)));
    browser.get("/start").await.is(200);
    let mut old = browser.clone();
    let slow = begin(&browser, &gate, "/slow").await;
    let answer = browser.get("/login").await.is(303);
    assert_eq!(answer.all("set-cookie").len(), 1);
    assert_ne!(browser.cookie, old.cookie);
    gate.open.notify_one();
    slow.await.unwrap().is(200).sets_no_cookie();

    // Requests with the old id cannot read, write, or change the browser's cookie.
    let replaced = format!("None None {:?}", Some(EndReason::Replaced));
    assert_eq!(old.get("/read").await.is(200).sets_no_cookie().body, replaced);
    old.get("/write").await.is(200).sets_no_cookie();
    old.get("/logout").await.is(200).sets_no_cookie();
    old.get("/login").await.is(503).sets_no_cookie();
    assert_eq!(browser.get("/read").await.is(200).body, "Some(\"alice\") None None");
}

#[tokio::test]
async fn login_works_again_after_the_tombstone() {
    let probe = Probe::new();
    let mut browser = Browser::new(routes(&Gate::default()).layer(layer(&probe)));
    browser.get("/start").await.is(200);
    let mut deaf = browser.clone();
    browser.get("/login").await.is(303);
    for seconds in [0, 59] {
        probe.clock.advance(Duration::from_secs(seconds));
        deaf.get("/login").await.is(503).sets_no_cookie();
        deaf.get("/write").await.is(200).sets_no_cookie();
    }
    probe.clock.advance(Duration::from_secs(1));
    assert_eq!(deaf.get("/login").await.is(303).all("set-cookie").len(), 1);
}

#[tokio::test]
async fn logout_with_the_old_id_ends_nothing() {
    let probe = Probe::new();
    let mut browser = Browser::new(routes(&Gate::default()).layer(layer(&probe)));
    browser.get("/start").await.is(200);
    let mut old = browser.clone();
    browser.get("/login").await.is(303);
    let before = browser.get("/read").await.is(200).body;
    assert_eq!(old.get("/logout").await.is(200).sets_no_cookie().body, "false");
    assert_eq!(browser.get("/read").await.is(200).body, before);
}

#[tokio::test]
async fn login_after_logout_is_refused_with_every_policy() {
    let policies = [OnStoreError::Reject, OnStoreError::Continue];
    let paths = ["/slow-login", "/slow-login-by-hand"];
    for (policy, path) in policies.into_iter().flat_map(|policy| paths.map(|path| (policy, path))) {
        let (probe, gate) = (Probe::new(), Gate::default());
        let mut browser = Browser::new(routes(&gate).layer(layer(&probe).on_store_error(policy)));
        browser.get("/start").await.is(200);
        let slow = begin(&browser, &gate, path).await;
        browser.get("/logout").await.is(200);
        gate.open.notify_one();
        let answer = slow.await.unwrap().is(503).sets_no_cookie();
        assert!(!answer.headers.contains_key("location"));
        assert_eq!(probe.records().await, 0);
    }
}

#[tokio::test]
async fn token_is_spent_once_with_every_policy() {
    for policy in [OnStoreError::Reject, OnStoreError::Continue] {
        let (probe, gate) = (Probe::new(), Gate::default());
        let both = Arc::new(Barrier::new(2));
        let spend = get(async move |session: Session| {
            both.wait().await;
            Ok::<_, Error>(session.take::<String>("token")?.unwrap_or_default())
        });
        let app = routes(&gate).route("/spend", spend).layer(layer(&probe).on_store_error(policy));
        let mut browser = Browser::new(app);
        browser.get("/start").await.is(200);
        let tabs = [browser.clone(), browser.clone()];
        let tasks = tabs.map(|mut tab| tokio::spawn(async move { tab.get("/spend").await }));
        let mut seen = Vec::new();
        for task in tasks {
            let answer = task.await.unwrap();
            seen.push((answer.status.as_u16(), answer.body));
        }
        seen.sort();
        assert_eq!(seen, [(200, "gold".to_owned()), (503, String::new())]);
    }
}

#[tokio::test]
async fn explicit_commit_reaches_client_after_later_failure() {
    use crate::common::Fault;
    let (probe, gate) = (Probe::new(), Gate::default());
    let fault = probe.clone();
    let by_hand = get(async move |session: Session| {
        session.rotate()?;
        let _ = session.commit().await?;
        fault.fail(Fault::All);
        session.insert("more", &1)?;
        Ok::<_, Error>(())
    });
    let mut browser = Browser::new(routes(&gate).route("/by-hand", by_hand).layer(layer(&probe)));
    browser.get("/start").await.is(200);
    let old = browser.cookie.clone();
    // The old id is void already, so the client needs the new one.
    assert_eq!(browser.get("/by-hand").await.is(503).all("set-cookie").len(), 1);
    probe.fail(None);
    assert_ne!(browser.cookie, old);
    assert_eq!(browser.get("/read").await.is(200).body, "None None None");
}

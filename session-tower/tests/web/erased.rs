//! A layer over a driver that is chosen at run time, and handlers that use every part of a session.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use session_core::{Cursor, DynDriver};
use session_manager::Sessions;
use session_state_cookie::CookieState;
use session_store_memory::MemoryStore;
use session_tower::{Error, LazySession, Session, SessionLayer};

use crate::common::Browser;

type Shared = State<Sessions<DynDriver>>;

async fn count(session: Session) -> Result<String, Error> {
    session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).map(|n| n.to_string())
}

async fn login(session: Session) -> Result<(), Error> {
    session.rotate()?;
    session.bind_user("alice")?;
    session.commit().await.map(drop)
}

async fn logout(handle: LazySession) -> Result<String, Error> {
    Ok(handle.load().await?.destroy("logout").await?.to_string())
}

async fn users(State(sessions): Shared, session: Session) -> Result<String, Error> {
    let _ = sessions.commit(&session).await?;
    sessions.sweep_once(10).await?;
    let page = sessions.find(Cursor::start(), 10).await?;
    let users: Vec<_> = page.sessions.iter().filter_map(|found| found.user()).collect();
    Ok(users.join(" "))
}

async fn end_all(State(sessions): Shared) -> Result<String, Error> {
    let page = sessions.find(Cursor::start(), 10).await?;
    let mut ended = 0;
    for found in page.sessions {
        ended += u32::from(found.end("operator").await?);
    }
    // A background task without a request.
    let task = tokio::spawn(async move {
        let session = sessions.load(None).await?;
        session.insert("from", "task")?;
        sessions.finish(&session).await
    });
    assert!(task.await.unwrap().is_ok());
    Ok(ended.to_string())
}

#[tokio::test]
async fn dyn_driver_works_in_axum_handlers() {
    let sessions = Sessions::new(DynDriver::new(MemoryStore::new().unwrap())).unwrap();
    let app = Router::new()
        .route("/count", get(count))
        .route("/login", get(login))
        .route("/logout", get(logout))
        .route("/users", get(users))
        .route("/end-all", get(end_all))
        .layer(SessionLayer::new(sessions.clone(), CookieState::default()))
        .with_state(sessions);
    let mut browser = Browser::new(app);
    assert_eq!(browser.get("/count").await.is(200).body, "1");
    assert_eq!(browser.get("/count").await.is(200).body, "2");
    browser.get("/login").await.is(200);
    assert_eq!(browser.get("/users").await.is(200).body, "alice");
    assert_eq!(browser.get("/logout").await.is(200).body, "true");
    assert_eq!(browser.get("/count").await.is(200).body, "1");
    // The tombstone of the login is no session.
    assert_eq!(browser.get("/end-all").await.is(200).body, "1");
    assert_eq!(browser.get("/count").await.is(200).body, "1");
}

//! Concurrent requests of one session lose nothing.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use session_core::Driver;
use session_manager::Sessions;
use session_state_cookie::CookieState;
use session_store_memory::MemoryStore;
use session_store_sqlite::SqliteStore;
use session_tower::{Error, Session, SessionLayer};
use tokio::sync::Barrier;

use crate::common::{Browser, layer, probe, routes};

const TASKS: u32 = 8;
const ROUNDS: u32 = 200;

fn app<D: Driver>(driver: D) -> Router {
    Router::new()
        .route("/start", get(async |session: Session| session.insert("sum", &0)))
        .route(
            "/work/{task}/{round}",
            get(async |Path((task, round)): Path<(u32, u32)>, session: Session| {
                let mine = format!("task-{task}");
                let before = session.get::<u32>(&mine)?.unwrap_or(0);
                tokio::task::yield_now().await;
                session.insert(&mine, &round)?;
                session.update("sum", |sum: Option<u32>| sum.unwrap_or(0) + 1)?;
                Ok::<_, Error>(before.to_string())
            }),
        )
        .route(
            "/read",
            get(async |session: Session| {
                let mut all = vec![session.get::<u32>("sum")?.unwrap_or(0)];
                for task in 0..TASKS {
                    all.push(session.get(&format!("task-{task}"))?.unwrap_or(0));
                }
                Ok::<_, Error>(format!("{all:?}"))
            }),
        )
        .layer(SessionLayer::new(Sessions::new(driver).unwrap(), CookieState::default()))
}

async fn eight_tasks<D: Driver>(driver: D) {
    let mut browser = Browser::new(app(driver));
    browser.get("/start").await.is(200);
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let mut tab = browser.clone();
        tasks.push(tokio::spawn(async move {
            for round in 1..=ROUNDS {
                let answer = tab.get(&format!("/work/{task}/{round}")).await.is(200).sets_no_cookie();
                // Each round sees the acknowledged write of the round before.
                assert_eq!(answer.body, (round - 1).to_string());
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut expected = vec![TASKS * ROUNDS];
    expected.extend((0..TASKS).map(|_| ROUNDS));
    assert_eq!(browser.get("/read").await.is(200).body, format!("{expected:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_tasks_lose_nothing_in_memory() {
    eight_tasks(MemoryStore::new().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_tasks_lose_nothing_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("sessions.db")).unwrap();
    eight_tasks(store.clone()).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn eight_concurrent_requests_lose_nothing() {
    let all_loaded = Arc::new(Barrier::new(8));
    let insert = get(async move |Path(n): Path<u32>, session: Session| {
        all_loaded.wait().await;
        session.insert(&format!("key-{n}"), &n)?;
        session.update("cart", move |cart: Option<Vec<u32>>| [cart.unwrap_or_default(), vec![n]].concat())?;
        Ok::<_, Error>(())
    });
    let cart = get(async |session: Session| {
        let mut cart = session.get::<Vec<u32>>("cart")?.unwrap_or_default();
        cart.sort_unstable();
        Ok::<_, Error>(format!("{cart:?} {}", session.keys()?.len()))
    });
    let app = routes().route("/insert/{n}", insert).route("/cart", cart).layer(layer(&probe()));
    let mut browser = Browser::new(app);
    browser.get("/write").await.is(200);
    let tasks = (0..8).map(|n| {
        let mut tab = browser.clone();
        tokio::spawn(async move { tab.get(&format!("/insert/{n}")).await.is(200) })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(browser.get("/cart").await.is(200).body, "[0, 1, 2, 3, 4, 5, 6, 7] 10");
}

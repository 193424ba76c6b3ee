//! Concurrent requests of one session lose nothing.

use std::sync::Arc;

use axum::extract::Path;
use axum::routing::get;
use session_tower::{Error, Session};
use tokio::sync::Barrier;

use crate::common::{Browser, layer, probe, routes};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
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

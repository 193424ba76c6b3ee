//! The parts of session-kit in front of handlers: a user, a fresh login, forms of the own site.

use std::time::Duration;

use crate::on_both;
use crate::scene::{Framework, Scene};

on_both!(
    handler_for_users_asks_for_a_login,
    form_of_another_site_is_refused,
    csrf_token_belongs_to_its_session,
);

async fn handler_for_users_asks_for_a_login(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.browser();
    for path in ["/account", "/password"] {
        let answer = browser.send("GET", path, &[("accept", b"text/html")]).await.is(303).sets_no_cookie();
        assert_eq!((answer.all("location"), answer.all("cache-control")), (vec!["/login"], vec!["no-store"]));
        let answer = browser.send("GET", path, &[("accept", b"application/json")]).await.is(401);
        assert_eq!(answer.all("content-type"), ["application/problem+json"]);
        assert_eq!(answer.all("www-authenticate"), ["Session"]);
        assert_eq!(browser.get(path).await.is(401).body, "Please log in.");
    }
    browser.get("/login").await.is(303);
    scene.clock.advance(Duration::from_secs(299));
    for path in ["/account", "/password"] {
        assert_eq!(browser.get(path).await.is(200).body, "ada");
    }
    scene.clock.advance(Duration::from_secs(1));
    assert_eq!(browser.get("/account").await.is(200).body, "ada");
    assert_eq!(browser.get("/password").await.is(401).body, "Please log in again.");
}

async fn form_of_another_site_is_refused(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let foreign = [("sec-fetch-site", &b"cross-site"[..])];
    let answer = browser.send("POST", "/guarded/add", &foreign).await.is(403).sets_no_cookie();
    assert_eq!(answer.body, "The form came from another site.");
    assert_eq!(scene.probe.operations(), []);
    assert_eq!(browser.send("POST", "/guarded/add", &[]).await.is(200).body, "2");
    // Links of other sites lead to the application.
    assert_eq!(browser.send("GET", "/guarded/read", &foreign).await.is(200).body, "Some(2)");
}

async fn csrf_token_belongs_to_its_session(framework: Framework) {
    let scene = Scene::new(framework).await;
    let (mut browser, mut other) = (scene.browser(), scene.browser());
    let token = browser.get("/token").await.is(200).body;
    assert_eq!((token.len(), browser.get("/token").await.body), (32, token.clone()));
    let foreign = other.get("/token").await.is(200).body;
    browser.get("/login").await.is(303);
    for (token, is_valid) in [(&*token, "true"), (&token[..31], "false"), (&*foreign, "false")] {
        assert_eq!(browser.get(&format!("/valid-{token}")).await.is(200).body, is_valid);
    }
    assert_eq!(scene.browser().get(&format!("/valid-{token}")).await.is(200).body, "false");
}

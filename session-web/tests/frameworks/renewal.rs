//! Timed renewal: a new id without a login.

use std::time::Duration;

use crate::on_both;
use crate::scene::{Framework, Scene};

on_both!(renewed_session_has_one_new_cookie, old_id_ends_the_renewed_session);

const NAME: &str = "__Host-session";
const RENEWAL: Duration = Duration::from_secs(600);

async fn renewing(framework: Framework) -> Scene {
    Scene::of(framework, |sessions| sessions.renewal_timeout(RENEWAL), |setup| setup).await
}

async fn renewed_session_has_one_new_cookie(framework: Framework) {
    let scene = renewing(framework).await;
    let mut browser = scene.begun().await;
    let old = browser.clone();
    scene.clock.advance(RENEWAL);
    let answer = browser.get("/add").await.is(200);
    assert_eq!((answer.body.as_str(), answer.all("set-cookie").len()), ("2", 1));
    assert_ne!(browser.cookies[NAME], old.cookies[NAME]);
    // Of a request that was under way, or whose response was lost.
    let mut tab = old.clone();
    let answer = tab.get("/read").await.is(200);
    assert_eq!((answer.body.as_str(), answer.all("set-cookie").len()), ("Some(2)", 1));
    assert_eq!(tab.cookies, browser.cookies);
    // The first use of the new id ends the old one after 20 s.
    browser.get("/read").await.is(200).sets_no_cookie();
    scene.clock.advance(Duration::from_secs(19));
    assert_eq!(old.clone().get("/read").await.is(200).body, "Some(2)");
    scene.clock.advance(Duration::from_secs(1));
    assert!(old.clone().get("/read").await.is(200).sets_no_cookie().body.starts_with("None"));
    assert_eq!(browser.get("/add").await.is(200).sets_no_cookie().body, "3");
}

async fn old_id_ends_the_renewed_session(framework: Framework) {
    let scene = renewing(framework).await;
    let mut browser = scene.begun().await;
    let mut old = browser.clone();
    scene.clock.advance(RENEWAL);
    browser.get("/add").await.is(200);
    assert_eq!(old.get("/logout").await.is(200).body, "true");
    assert!(old.cookies.is_empty(), "{:?}", old.cookies);
    assert!(browser.get("/read").await.is(200).body.starts_with("None"));
    assert_eq!(browser.get("/add").await.is(200).body, "1", "another session");
}

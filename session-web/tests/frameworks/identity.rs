//! Logins, logouts and new ids.

use std::sync::Arc;

use session_core::Operation;
use session_state_cookie::{CookieConfig, KeyRing, SecretKey};
use tokio::sync::Barrier;

use crate::on_both;
use crate::scene::{Framework, Scene, Setup, soon};

on_both!(
    login_gives_a_new_id_and_keeps_the_values,
    double_login_ends_logged_in,
    rotation_voids_the_old_id,
    logout_deletes_the_cookie_and_the_record,
    logout_during_another_request_is_final,
    logout_ends_the_sessions_of_all_cookie_lines,
    remembered_login_keeps_its_cookie,
    unknown_and_malformed_ids_are_never_adopted,
    forged_signature_causes_no_store_call,
);

const NAME: &str = "__Host-session";

async fn login_gives_a_new_id_and_keeps_the_values(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let old = browser.clone();
    let answer = browser.get("/login").await.is(303);
    assert_eq!((answer.all("set-cookie").len(), answer.all("cache-control")), (1, vec!["no-store"]));
    assert_ne!(browser.cookies[NAME], old.cookies[NAME]);
    assert_eq!(browser.get("/read").await.body, "Some(1) of ada");
    assert_eq!(old.clone().get("/read").await.sets_no_cookie().body, "None Replaced");
}

async fn double_login_ends_logged_in(framework: Framework) {
    let scene = Scene::new(framework).await;
    let browser = scene.begun().await;
    *scene.shared.both.lock().unwrap() = Some(Arc::new(Barrier::new(2)));
    let (mut one, mut two) = (browser.clone(), browser);
    let (first, second) = tokio::join!(one.get("/login"), two.get("/login"));
    first.is(303);
    second.is(303);
    for mut tab in [one, two] {
        assert_eq!(tab.get("/read").await.body, "Some(1) of ada");
    }
}

async fn rotation_voids_the_old_id(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let mut old = browser.clone();
    browser.get("/rotate").await.is(200);
    assert_ne!(browser.cookies[NAME], old.cookies[NAME]);
    old.get("/add").await.is(200).sets_no_cookie();
    old.get("/rotate").await.is(503).sets_no_cookie();
    assert_eq!(browser.get("/read").await.body, "Some(1)");
}

async fn logout_deletes_the_cookie_and_the_record(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.begun().await;
    let answer = browser.get("/logout").await.is(200);
    assert_eq!(answer.body, "true");
    let line = "__Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    assert_eq!(answer.all("set-cookie"), [line]);
    assert_eq!((browser.cookies.len(), scene.records()), (0, 0));
}

async fn logout_during_another_request_is_final(framework: Framework) {
    for (path, status) in [("/slow-add", 200), ("/slow-rotate", 503), ("/slow-login", 303)] {
        let scene = Scene::new(framework).await;
        let mut browser = scene.begun().await;
        let mut tab = browser.clone();
        let slow = tab.ask("GET", path, &[]).await;
        soon("the handler", scene.shared.begun.notified()).await;
        browser.get("/logout").await.is(200);
        scene.shared.go.notify_one();
        tab.rest(slow, false).await.is(status);
        // A login starts another session.
        let left = usize::from(path == "/slow-login");
        assert_eq!(scene.records(), left, "{path}");
        assert_eq!(browser.get("/read").await.body, "None");
        if left == 1 {
            assert!(tab.get("/read").await.body.ends_with(" of ada"), "{path}");
        }
    }
}

async fn logout_ends_the_sessions_of_all_cookie_lines(framework: Framework) {
    let scene = Scene::new(framework).await;
    let (mut one, two) = (scene.begun().await, scene.begun().await);
    assert_eq!(scene.records(), 2);
    // As from a browser that has two cookies of one name; in lines of their own, and with bytes that are not text.
    let second = format!("theme=d\u{e9}; {NAME}={}", two.cookies[NAME]);
    one.send("GET", "/logout", &[("cookie", b"\xff\xfe=\xc3"), ("cookie", second.as_bytes())]).await.is(200);
    assert_eq!(scene.records(), 0);
}

async fn remembered_login_keeps_its_cookie(framework: Framework) {
    let scene = Scene::new(framework).await;
    let mut browser = scene.browser();
    let answer = browser.get("/login-remembered").await.is(200);
    let lines = answer.all("set-cookie");
    assert!(lines.len() == 1 && lines[0].contains("Max-Age=86400"), "{lines:?}");
    // A new id has the same lifetime.
    let answer = browser.get("/rotate").await.is(200);
    assert!(answer.all("set-cookie")[0].contains("Max-Age=86400"), "{answer:?}");
}

async fn unknown_and_malformed_ids_are_never_adopted(framework: Framework) {
    let scene = Scene::new(framework).await;
    let unknown = "A".repeat(32);
    for sent in [&*unknown, "short", "", "\"quoted\"", "a%00b"] {
        let mut browser = scene.browser();
        browser.cookies.insert(NAME.into(), sent.into());
        assert!(browser.get("/read").await.is(200).sets_no_cookie().body.starts_with("None"));
        browser.get("/write").await.is(200);
        assert_ne!(browser.cookies[NAME], sent);
    }
}

async fn forged_signature_causes_no_store_call(framework: Framework) {
    let ring = KeyRing::new(SecretKey::generate().unwrap());
    let cookie = CookieConfig::new().build_signed(&ring).unwrap();
    let scene = Scene::with(framework, |setup| Setup { cookie, ..setup }).await;
    let (mut browser, other) = (scene.begun().await, scene.begun().await);
    let genuine = browser.cookies[NAME].clone();
    let (id, signature) = genuine.split_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    for forged in [
        id.to_owned(),
        format!("{id}."),
        format!("{id}.{first}{}", &signature[1..]),
        format!("{id}.{}", other.cookies[NAME].split_once('.').unwrap().1),
    ] {
        browser.cookies.insert(NAME.into(), forged);
        assert_eq!(browser.get("/read").await.is(200).sets_no_cookie().body, "None");
    }
    assert_eq!(scene.probe.operations(), []);
    browser.cookies.insert(NAME.into(), genuine);
    assert_eq!(browser.get("/read").await.is(200).body, "Some(1)");
    assert_eq!(scene.probe.operations(), [Operation::Retrieve]);
}

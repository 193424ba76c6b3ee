//! Cookie-only sessions.

use crate::on_both;
use crate::scene::{Framework, Scene, Setup};

on_both!(
    cookie_holds_the_whole_session,
    forged_cookie_is_no_session,
    session_that_is_too_large_is_refused,
    logout_deletes_the_sealed_cookie,
);

async fn scene(framework: Framework) -> Scene {
    Scene::with(framework, |setup| Setup { is_carried: true, ..setup }).await
}

async fn cookie_holds_the_whole_session(framework: Framework) {
    let scene = scene(framework).await;
    let mut browser = scene.browser();
    for n in 1..=3 {
        assert_eq!(browser.get("/add").await.is(200).body, n.to_string());
    }
    browser.get("/login").await.is(303);
    assert_eq!(browser.get("/read").await.is(200).body, "Some(3) of ada");
    assert_eq!(scene.probe.operations(), []);
    let before = browser.cookies.clone();
    browser.get("/never").await.is(200).sets_no_cookie();
    browser.get("/fail").await.is(502).sets_no_cookie();
    assert_eq!(browser.cookies, before);
}

async fn forged_cookie_is_no_session(framework: Framework) {
    let scene = scene(framework).await;
    let mut browser = scene.browser();
    browser.get("/login").await.is(303);
    let (name, value) = browser.cookies.first_key_value().unwrap();
    let (name, value) = (name.clone(), value.clone());
    let changed = (0..value.len()).map(|at| {
        let other = if value[at..].starts_with('A') { "B" } else { "A" };
        format!("{}{other}{}", &value[..at], &value[at + 1..])
    });
    let cut = (0..value.len()).map(|len| value[..len].to_owned());
    for forged in changed.chain(cut) {
        browser.cookies.insert(name.clone(), forged.clone());
        assert_eq!(browser.get("/read").await.is(200).sets_no_cookie().body, "None", "{forged}");
    }
    // In a line of its own the genuine one counts.
    let line = format!("theme=dark; {name}={value}");
    let answer = browser.send("GET", "/read", &[("cookie", line.as_bytes())]).await.is(200);
    assert_eq!(answer.body, "None of ada");
}

async fn session_that_is_too_large_is_refused(framework: Framework) {
    let scene = scene(framework).await;
    let mut browser = scene.browser();
    browser.get("/add").await.is(200);
    browser.get("/large").await.is(500).sets_no_cookie();
    assert_eq!(browser.get("/add").await.is(200).body, "2");
}

async fn logout_deletes_the_sealed_cookie(framework: Framework) {
    let scene = scene(framework).await;
    let mut browser = scene.browser();
    browser.get("/login").await.is(303);
    browser.get("/logout").await.is(200);
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);
}

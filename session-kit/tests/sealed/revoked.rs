//! Revocation: by keys, and by the epoch of a user in a store.

use std::sync::Arc;
use std::time::Duration;

use session_kit::cookie::SealedCookie;
use session_kit::memory::{MemoryConfig, MemoryStore};
use session_kit::test_kit::{Client, TestClock};
use session_kit::{CarriedSessions, DynDriver, ErrorKind, KeyRing, NoStore, OnTooMany, SecretKey, Sessions};

use super::app::{NAME, app, app_of, clock, no_store, sealed};

fn with_epochs(clock: &TestClock) -> CarriedSessions<MemoryStore> {
    let store = MemoryStore::open(MemoryConfig::new().clock(Arc::new(clock.clone()))).unwrap();
    CarriedSessions::new(Sessions::builder(store).user_epochs(true).build().unwrap()).unwrap()
}

#[tokio::test]
async fn end_user_ends_every_copy_at_once() {
    let clock = clock();
    let sessions = with_epochs(&clock);
    let ring = KeyRing::new(SecretKey::generate().unwrap());
    let mut browsers: Vec<_> =
        (0..3).map(|_| Client::new(app_of(sessions.clone(), sealed(&ring, 1)))).collect();
    for (browser, user) in browsers.iter_mut().zip(["ada", "ada", "bob"]) {
        browser.post(&format!("/login/{user}"), "").await;
        assert_eq!(browser.get("/show").await.text(), format!("{user} true 0"));
    }
    sessions.end_user("ada", "stolen device").await.unwrap();
    for (browser, seen) in browsers.iter_mut().zip(["guest false 0", "guest false 0", "bob true 0"]) {
        assert_eq!(browser.get("/show").await.text(), seen);
    }
    // A login after it is valid, for as long as the session may live.
    browsers[0].post("/login/ada", "").await;
    for _ in 0..23 {
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(browsers[0].get("/show").await.text(), "ada true 0");
        sessions.base().sweep_once(100).await.unwrap();
    }
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(browsers[0].get("/show").await.text(), "guest false 0", "the absolute lifetime");
}

/// Over a day, with a login just before the first epoch's record would end.
#[tokio::test]
async fn epoch_lives_as_long_as_the_sessions_that_have_it() {
    let clock = clock();
    let sessions = with_epochs(&clock);
    let ring = KeyRing::new(SecretKey::generate().unwrap());
    let mut browser = Client::new(app_of(sessions.clone(), sealed(&ring, 1)));
    sessions.end_user("ada", "first").await.unwrap();
    clock.advance(Duration::from_secs(86_400 - 60));
    browser.post("/login/ada", "").await;
    clock.advance(Duration::from_secs(3_600));
    sessions.base().sweep_once(100).await.unwrap();
    assert_eq!(browser.get("/show").await.text(), "ada true 0");
}

/// The epoch's record ends before the cookie that it ended.
#[tokio::test]
async fn revoked_cookie_outlives_the_epoch_in_vain() {
    for end_of_entry in ["/login/ada", "/logout"] {
        let clock = clock();
        let sessions = with_epochs(&clock);
        let ring = KeyRing::new(SecretKey::generate().unwrap());
        let mut browser = Client::new(app_of(sessions.clone(), sealed(&ring, 1)));
        browser.post("/remember/ada", "").await;
        let mut thief = browser.clone();
        browser.post(end_of_entry, "").await;
        assert_eq!(thief.get("/show").await.text(), "ada true 0");
        sessions.end_user("ada", "stolen device").await.unwrap();
        for _ in 0..30 {
            assert_eq!(thief.get("/show").await.text(), "guest false 0", "after {end_of_entry}");
            clock.advance(Duration::from_secs(25 * 3_600));
            sessions.base().sweep_once(100).await.unwrap();
        }
    }
}

#[tokio::test]
async fn lost_epoch_store_ends_the_sessions_of_users() {
    let clock = clock();
    let ring = KeyRing::new(SecretKey::generate().unwrap());
    let sessions = with_epochs(&clock);
    let mut browser = Client::new(app_of(sessions.clone(), sealed(&ring, 1)));
    browser.post("/remember/ada", "").await;
    let mut thief = browser.clone();
    sessions.end_user("ada", "stolen device").await.unwrap();
    let mut empty = Client::new(app_of(with_epochs(&clock), sealed(&ring, 1)));
    empty.set_cookie(NAME, thief.cookie(NAME).unwrap());
    assert_eq!(empty.get("/show").await.text(), "guest false 0");
    // Nor is a cookie accepted from before epochs were in use.
    let mut without = Client::new(app(no_store(&clock), sealed(&ring, 1)));
    without.post("/login/ada", "").await;
    thief.set_cookie(NAME, without.cookie(NAME).unwrap());
    empty.set_cookie(NAME, without.cookie(NAME).unwrap());
    for client in [&mut thief, &mut empty] {
        assert_eq!(client.get("/show").await.text(), "guest false 0");
    }
    empty.post("/login/ada", "").await;
    assert_eq!(empty.get("/show").await.text(), "ada true 0", "a new login begins a new epoch");
}

/// Two first logins, and each one's later requests.
#[tokio::test]
async fn first_logins_of_a_user_agree_on_an_epoch() {
    let clock = clock();
    let sessions = with_epochs(&clock);
    let ring = KeyRing::new(SecretKey::generate().unwrap());
    let mut one = Client::new(app_of(sessions.clone(), sealed(&ring, 1)));
    let mut other = one.clone();
    tokio::join!(one.post("/login/ada", ""), other.post("/login/ada", ""));
    for client in [&mut one, &mut other] {
        assert_eq!(client.get("/show").await.text(), "ada true 0");
    }
    clock.advance(Duration::from_secs(3_600));
    other.post("/logout", "").await;
    sessions.base().sweep_once(100).await.unwrap();
    assert_eq!(one.get("/show").await.text(), "ada true 0");
}

#[tokio::test]
async fn newest_key_seals_all_open_and_a_removed_one_revokes() {
    let clock = clock();
    let [old, new] = [SecretKey::generate().unwrap(), SecretKey::generate().unwrap()];
    let client = |ring: &KeyRing| Client::new(app(no_store(&clock), sealed(ring, 1)));
    let (only_old, only_new) = (KeyRing::new(old.clone()), KeyRing::new(new.clone()));
    let mut before = client(&only_old);
    before.post("/login/ada", "").await;
    let cookie = before.cookie(NAME).unwrap();
    let mut during = client(&KeyRing::new(new).and_older(old).unwrap());
    during.set_cookie(NAME, cookie);
    assert_eq!(during.get("/show").await.text(), "ada true 0");
    during.get("/count").await;
    for (ring, cookie, seen) in [
        (&only_new, cookie, "guest false 0"),
        (&only_new, during.cookie(NAME).unwrap(), "ada true 1"),
        (&only_old, during.cookie(NAME).unwrap(), "guest false 0"),
    ] {
        let mut after = client(ring);
        after.set_cookie(NAME, cookie);
        assert_eq!(after.get("/show").await.text(), seen);
    }
}

#[test]
fn limit_of_sessions_needs_a_store() {
    let store = MemoryStore::open(MemoryConfig::new()).unwrap();
    let sessions = Sessions::builder(store).max_user_sessions(2, OnTooMany::Reject).build().unwrap();
    assert_eq!(CarriedSessions::new(sessions).unwrap_err().kind(), ErrorKind::Config);
}

/// Each use of a copy moves its deadline, so only an epoch would end it.
#[tokio::test]
async fn endless_sessions_need_epochs() {
    let store = || MemoryStore::open(MemoryConfig::new()).unwrap();
    for (epochs, kind) in [(false, Some(ErrorKind::Config)), (true, None)] {
        let sessions =
            Sessions::builder(store()).absolute_lifetime(None).user_epochs(epochs).build().unwrap();
        assert_eq!(CarriedSessions::new(sessions).err().map(|error| error.kind()), kind);
        // Nor does one session choose it.
        let sessions = Sessions::builder(store()).user_epochs(epochs).build().unwrap();
        let ring = KeyRing::new(SecretKey::generate().unwrap());
        let mut client = Client::new(app(sessions, sealed(&ring, 1)));
        assert_eq!(client.post("/endless", "").await.status, if epochs { 200 } else { 500 });
    }
}

/// A copy that is used lives up to the absolute lifetime, and no longer.
#[tokio::test]
async fn used_copy_ends_with_the_absolute_lifetime() {
    let clock = clock();
    let ring = KeyRing::new(SecretKey::generate().unwrap());
    let mut browser = Client::new(app(no_store(&clock), sealed(&ring, 1)));
    browser.post("/login/ada", "").await;
    let mut copy = browser.clone();
    browser.post("/logout", "").await;
    for _ in 0..23 {
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(copy.get("/show").await.text(), "ada true 0");
    }
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(copy.get("/show").await.text(), "guest false 0");
}

/// Instead of an error in each login.
#[test]
fn epochs_need_a_store() {
    let driver = NoStore::with_clock(Arc::new(clock()));
    let sessions = Sessions::builder(driver.clone()).user_epochs(true).build().unwrap();
    assert_eq!(CarriedSessions::new(sessions).unwrap_err().kind(), ErrorKind::Config);
    let sessions = Sessions::builder(DynDriver::new(driver)).user_epochs(true).build().unwrap();
    assert_eq!(CarriedSessions::new(sessions).unwrap_err().kind(), ErrorKind::Config);
}

/// Instead of a result that says that no session had to be ended.
#[tokio::test]
async fn end_user_needs_epochs() {
    let store = MemoryStore::open(MemoryConfig::new()).unwrap();
    let sessions = CarriedSessions::new(Sessions::new(store).unwrap()).unwrap();
    assert_eq!(sessions.end_user("ada", "all").await.unwrap_err().kind(), ErrorKind::Config);
    let sessions = CarriedSessions::new(no_store(&clock())).unwrap();
    assert_eq!(sessions.end_user("ada", "all").await.unwrap_err().kind(), ErrorKind::Config);
}

/// `Debug` shows neither keys nor values.
#[test]
fn debug_shows_no_key() {
    let key = SecretKey::generate().unwrap();
    let text = key.to_text();
    let ring = KeyRing::new(key.clone());
    let cookie: SealedCookie = sealed(&ring, 1);
    let shown = format!("{key:?} {ring:?} {cookie:?}");
    assert!(!shown.contains(&text[14..24]) && shown.contains("SecretKey"), "{shown}");
}

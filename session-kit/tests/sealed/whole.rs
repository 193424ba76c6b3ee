//! A session in one cookie behaves as one in a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use session_kit::session_core::{Carried, Carrier, Clock as _, Outgoing, Parts, StoreError};
use session_kit::test_kit::{Client, TestClock};
use session_kit::{CarriedSessionLayer, CarriedSessions, ClearSiteData, Refusal, SealedCookie};

use super::app::{NAME, app, clock, no_store, ring, routes, sealed};

fn client() -> (Client<Router>, TestClock) {
    let clock = clock();
    (Client::new(app(no_store(&clock), sealed(&ring(), 1))), clock)
}

#[tokio::test]
async fn values_flash_and_csrf_work_without_a_store() {
    let (mut client, _) = client();
    assert_eq!(client.get("/show").await.text(), "guest false 0");
    assert!(client.cookie(NAME).is_none(), "a read makes no session");
    for visits in ["1", "2", "3"] {
        let answer = client.get("/count").await;
        assert_eq!(answer.text(), visits);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("vary"), Some("Cookie"));
    }
    let token = client.get("/form").await.text().to_owned();
    assert_eq!((token.len(), client.get("/form").await.text()), (32, token.as_str()));
    client.post("/say/hello", "").await;
    assert_eq!(client.get("/said").await.text(), "hello");
    assert_eq!(client.get("/said").await.text(), "");
    let before = client.cookie(NAME).unwrap().to_owned();
    for path in ["/show", "/static"] {
        let answer = client.get(path).await;
        assert_eq!(answer.header("set-cookie"), None, "nothing changed: {path}");
    }
    assert_eq!(client.post("/fail", "").await.status, 500);
    assert_eq!(client.cookie(NAME), Some(before.as_str()));
}

#[tokio::test]
async fn login_renews_the_id_and_logout_deletes_the_cookie() {
    let (mut client, _) = client();
    client.get("/count").await;
    let planted = client.cookie(NAME).unwrap().to_owned();
    client.post("/login/ada", "").await;
    assert_eq!(client.get("/show").await.text(), "ada true 1");
    // The cookie from before the login shows nothing of it.
    let mut other = client.clone();
    other.set_cookie(NAME, &planted);
    assert_eq!(other.get("/show").await.text(), "guest true 1");
    let answer = client.post("/logout", "").await;
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(client.cookie(NAME), None);
    assert_eq!(client.get("/show").await.text(), "guest false 0");
}

/// The cookie is the session, so the refusal that replaces the response deletes it.
#[tokio::test]
async fn logout_without_space_for_its_deletion_is_a_logout() {
    let cookie = sealed(&ring(), 2);
    let sessions = CarriedSessions::new(no_store(&clock())).unwrap();
    let layer = CarriedSessionLayer::new(sessions, cookie).clear_site_data(ClearSiteData::new().cache());
    let mut client = Client::new(routes().layer(layer));
    client.post("/login/ada", "").await;
    let answer = client.post("/logout-full", "").await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.header("clear-site-data"), Some("\"cache\""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(client.cookie(NAME), None);
    assert_eq!(client.get("/show").await.text(), "guest false 0");
}

#[tokio::test]
async fn deadline_is_inside_the_seal() {
    let (mut client, clock) = client();
    client.post("/login/ada", "").await;
    let old = client.cookie(NAME).unwrap().to_owned();
    clock.advance(Duration::from_secs(3_600));
    let answer = client.get("/show").await;
    assert!(answer.header("set-cookie").is_some(), "a use moves the deadline");
    clock.advance(Duration::from_secs(3_601));
    assert_eq!(client.get("/show").await.text(), "ada true 0");
    client.set_cookie(NAME, &old);
    assert_eq!(client.get("/show").await.text(), "guest false 0", "a copy ends at its own deadline");
    assert_eq!(client.get("/count").await.text(), "1", "and a new session begins");
}

/// The next response seals the limits again: idle timeout, absolute lifetime, and the deadline.
#[tokio::test]
async fn limits_of_a_clock_ahead_count_from_now() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let (mut client, clock) = client();
    let right = clock.now();
    for waits in [false, true] {
        clock.set(right.saturating_add(90 * 24 * HOUR));
        client.post("/login/ada", "").await;
        clock.set(right);
        let answer = client.get("/show").await;
        assert_eq!((answer.text(), answer.header("set-cookie").is_some()), ("ada true 0", true));
        for _ in 0..23 {
            clock.advance(if waits { Duration::ZERO } else { HOUR });
            assert_eq!(client.get("/show").await.text(), "ada true 0");
        }
        clock.advance(if waits { 2 * HOUR } else { HOUR });
        assert_eq!(client.get("/show").await.text(), "guest false 0", "waits: {waits}");
    }
}

/// No request shows when the clock was set right. So a copy from before then ends at its own deadline, or with its key.
#[tokio::test]
async fn copy_of_a_clock_ahead_ends_late() {
    const AHEAD: Duration = Duration::from_secs(90 * 86_400);
    const IDLE: Duration = Duration::from_secs(7_200);
    let (mut client, clock) = client();
    let right = clock.now();
    clock.set(right.saturating_add(AHEAD));
    client.post("/login/ada", "").await;
    let copy = client.cookie(NAME).unwrap().to_owned();
    clock.set(right);
    assert_eq!(client.get("/show").await.text(), "ada true 0");
    clock.advance(IDLE);
    assert_eq!(client.get("/show").await.text(), "guest false 0", "what the client keeps was corrected");
    client.set_cookie(NAME, &copy);
    assert_eq!(client.get("/show").await.text(), "ada true 0");
    let mut other_key = Client::new(app(no_store(&clock), sealed(&ring(), 1)));
    other_key.set_cookie(NAME, &copy);
    assert_eq!(other_key.get("/show").await.text(), "guest false 0");
    clock.set(right.saturating_add(AHEAD + IDLE));
    client.set_cookie(NAME, &copy);
    assert_eq!(client.get("/show").await.text(), "guest false 0");
}

#[tokio::test]
async fn size_is_exact_and_one_more_byte_is_a_typed_error() {
    let cookie = sealed(&ring(), 1);
    assert_eq!(cookie.max_data_bytes(), 2_987);
    let clock = clock();
    let kind = |refusal: &Refusal| (refusal.status, format!("{:?}", refusal.kind)).into_response();
    let sessions = CarriedSessions::new(no_store(&clock)).unwrap();
    let mut client =
        Client::new(routes().layer(CarriedSessionLayer::new(sessions, cookie).refuse_with(kind)));
    // The largest text that fits, by bisection: the response for one more is refused, and the session stays.
    let (mut fits, mut fails) = (1, 4_096);
    while fails - fits > 1 {
        let bytes = (fits + fails) / 2;
        let answer = client.post(&format!("/fill/{bytes}"), "").await;
        match answer.status.as_u16() {
            200 => fits = bytes,
            status => {
                assert_eq!((status, answer.header("set-cookie"), answer.text()), (500, None, "TooLarge"));
                fails = bytes;
            }
        }
    }
    client.clear_cookies();
    client.post(&format!("/fill/{fits}"), "").await;
    let len = NAME.len() + client.cookie(NAME).unwrap().len();
    assert!((4_095..=4_096).contains(&len), "{len}");
    assert_eq!(client.get("/show").await.text(), "guest true 1");
    let before = client.cookie(NAME).unwrap().to_owned();
    // Only the commit finds that the user's name is too long.
    let answer = client.post(&format!("/login/{}", "u".repeat(200)), "").await;
    assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (500, None), "before the head");
    assert_eq!(answer.text(), "TooLarge");
    assert_eq!(client.cookie(NAME), Some(before.as_str()));
    client.post("/fill/0", "").await;
    assert_eq!(client.get("/show").await.text(), "guest true 0");
}

#[tokio::test]
async fn calls_that_need_a_store_are_refused() {
    let (mut client, _) = client();
    assert_eq!(client.post("/refused", "").await.text(), "[true, true, true]");
}

/// No store compares two requests: the response that arrives last decides.
#[tokio::test]
async fn last_response_wins() {
    let (mut client, _) = client();
    client.get("/count").await;
    let mut other = client.clone();
    assert_eq!(client.get("/count").await.text(), "2");
    assert_eq!(other.get("/count").await.text(), "2", "it does not know of the other request");
    client.set_cookie(NAME, other.cookie(NAME).unwrap());
    assert_eq!(client.get("/count").await.text(), "3");
}

/// Another host of the site can set a cookie of the same name without a prefix; the browser sends both.
#[tokio::test]
async fn planted_cookie_hides_no_session() {
    let (mut client, _) = client();
    client.post("/login/ada", "").await;
    let genuine = client.cookie(NAME).unwrap().to_owned();
    for planted in ["", "1", "1AAAA", &genuine[..90], &"1".repeat(3_000)] {
        for value in [format!("{planted}; {NAME}={genuine}"), format!("{genuine}; {NAME}={planted}")] {
            client.set_cookie(NAME, &value);
            assert_eq!(client.get("/show").await.text(), "ada true 0", "{planted}");
        }
    }
}

/// Counts how often the seal is opened.
struct Counted(SealedCookie, Arc<AtomicUsize>);

impl Carrier for Counted {
    fn open(&self, request: &HeaderMap) -> Carried {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.open(request)
    }

    fn write(&self, session: Outgoing<'_>, parts: Parts, response: &mut HeaderMap) -> Result<(), StoreError> {
        self.0.write(session, parts, response)
    }

    fn erase(&self, parts: Parts, response: &mut HeaderMap) -> Result<(), StoreError> {
        self.0.erase(parts, response)
    }

    fn erase_others(&self, parts: Parts, response: &mut HeaderMap) -> Result<(), StoreError> {
        self.0.erase_others(parts, response)
    }

    fn max_data_bytes(&self) -> usize {
        self.0.max_data_bytes()
    }

    fn is_sent(&self, request: &HeaderMap) -> bool {
        self.0.is_sent(request)
    }
}

/// Most requests of a page are for its static files.
#[tokio::test]
async fn seal_is_opened_once_and_only_if_the_session_is_asked_for() {
    let opened = Arc::new(AtomicUsize::new(0));
    let cookie = Counted(sealed(&ring(), 4), Arc::clone(&opened));
    let mut client = Client::new(app(no_store(&clock()), cookie));
    client.post("/fill/9000", "").await;
    opened.store(0, Ordering::Relaxed);
    for (path, times) in [("/static", 0), ("/show", 1), ("/count", 1), ("/static", 0)] {
        assert_eq!(client.get(path).await.status, 200);
        assert_eq!(opened.swap(0, Ordering::Relaxed), times, "{path}");
    }
    assert_eq!(client.post("/logout", "").await.status, 200);
    assert_eq!((opened.load(Ordering::Relaxed), client.cookie_names().count()), (1, 0));
}

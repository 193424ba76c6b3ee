//! Response headers.

use std::time::Duration;

use axum::Router;
use axum::http::Method;
use axum::http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use axum::response::{AppendHeaders, Redirect};
use axum::routing::get;
use session_core::Operation;
use session_manager::Sessions;
use session_state_cookie::{CookieConfig, Lifetime};
use session_tower::{Error, LazySession, RoutePolicy, Session, SessionLayer};

use crate::common::{self, Browser, add, layer, probe, read, records, send, timed};

const DEFAULTS: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax";

fn routes() -> Router {
    let own = async |session: Session| {
        session.insert("n", &1)?;
        Ok::<_, Error>(AppendHeaders([
            (SET_COOKIE, "theme=dark; Path=/"),
            (SET_COOKIE, "lang=de"),
            (VARY, "Accept-Language"),
            (CACHE_CONTROL, "public, max-age=600"),
        ]))
    };
    let poll_by_handle = async |handle: LazySession| {
        handle.do_not_extend();
        read(handle.load().await?).await
    };
    common::routes()
        .route("/redirect", get(async |session: Session| add(&session).map(|()| Redirect::to("/read"))))
        .route("/own", get(own))
        .route("/poll", get(read).layer(RoutePolicy::new().do_not_extend()))
        .route("/poll-by-handle", get(poll_by_handle))
}

#[tokio::test]
async fn new_session_sets_one_cookie_with_all_attributes() {
    let mut browser = Browser::new(routes().layer(layer(&probe())));
    let answer = browser.get("/write").await.is(200);
    let cookie = answer.all("set-cookie");
    assert_eq!(cookie, [format!("__Host-session={}{DEFAULTS}", browser.id().reveal().as_str())]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.all("vary"), ["Cookie"]);

    let answer = browser.get("/read").await.is(200).sets_no_cookie();
    assert_eq!(answer.all("vary"), ["Cookie"]);
    assert!(answer.all("cache-control").is_empty());
}

#[tokio::test]
async fn destroy_deletes_cookie_with_same_attributes() {
    let probe = probe();
    let mut browser = Browser::begun(&probe).await;
    let answer = browser.get("/logout").await.is(200);
    let deletion = format!("__Host-session={DEFAULTS}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(answer.all("set-cookie"), [deletion]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!((browser.cookie, records(&probe)), (None, 0));
}

#[tokio::test]
async fn handler_headers_stay_and_no_store_is_set() {
    for (no_store, cache_control) in [(true, "no-store"), (false, "public, max-age=600")] {
        let app = routes().layer(layer(&probe()).cache_control_no_store(no_store));
        let answer = Browser::new(app).get("/own").await.is(200);
        let cookies = answer.all("set-cookie");
        assert_eq!(cookies[..2], ["theme=dark; Path=/", "lang=de"]);
        assert!(cookies.len() == 3 && cookies[2].starts_with("__Host-session="));
        assert_eq!(answer.all("vary"), ["Accept-Language", "Cookie"]);
        assert_eq!(answer.all("cache-control"), [cache_control]);
    }
}

#[tokio::test]
async fn remembered_login_keeps_its_cookie_across_responses() {
    const MONTH: u64 = 30 * 24 * 3_600;
    for configured in [Lifetime::BrowserSession, Lifetime::FollowSession] {
        let (probe, clock) = timed();
        let cookie = CookieConfig::new().lifetime(configured).build().unwrap();
        let login = async |session: Session| {
            session.login("alice")?;
            session.remember(Duration::from_secs(MONTH))
        };
        let idle = async |session: Session| session.set_idle_timeout(Duration::from_secs(MONTH / 2));
        let app = routes()
            .route("/remember", get(login))
            .route("/idle", get(idle))
            .route("/rotate", get(async |session: Session| session.rotate()))
            .route("/forget", get(async |session: Session| session.forget_on_close()))
            .layer(SessionLayer::new(Sessions::new(probe).unwrap(), cookie));
        let mut browser = Browser::new(app);
        let ends = |answer: &common::Answer, end: &str| {
            assert!(answer.all("set-cookie").concat().ends_with(end), "{configured:?} {end} {answer:?}");
        };
        ends(&browser.get("/remember").await.is(200), "; Max-Age=2592000");
        clock.advance(Duration::from_secs(86_400));
        // A change that does not move the deadline, or moves it, and a new id.
        ends(&browser.get("/write").await.is(200), "; Max-Age=2505600");
        ends(&browser.get("/rotate").await.is(200), "; Max-Age=2592000");
        ends(&browser.get("/idle").await.is(200), "; Max-Age=1296000");
        clock.advance(Duration::from_secs(86_400));
        ends(&browser.get("/read").await.is(200), "; Max-Age=1296000");
        ends(&browser.get("/rotate").await.is(200), "; Max-Age=1296000");
        ends(&browser.get("/forget").await.is(200), DEFAULTS);
        browser.get("/write").await.is(200).sets_no_cookie();
    }
}

#[tokio::test]
async fn targeted_cache_fields_allow_no_copy_of_a_cookie() {
    let fields = [("cdn-cache-control", "max-age=600"), ("surrogate-control", "max-age=600")];
    let cached = async move |session: Session| session.insert("n", &1).map(|()| AppendHeaders(fields));
    let without = get(async move || AppendHeaders(fields));
    let app = Router::new().route("/cached", get(cached)).route("/no-cookie", without);
    let mut browser = Browser::new(app.layer(layer(&probe())));
    let answer = browser.get("/cached").await.is(200);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    // A cache that knows these fields ignores Cache-Control (RFC 9213, section 2.2).
    assert!(answer.all("cdn-cache-control").is_empty() && answer.all("surrogate-control").is_empty());
    let answer = browser.get("/no-cookie").await.is(200);
    assert_eq!(answer.all("cdn-cache-control"), ["max-age=600"]);
}

#[tokio::test]
async fn head_request_consumes_no_flash() {
    let show = async |session: Session| {
        let notice = session.flash().get::<String>("notice")?;
        session.flash().set("next", "value")?;
        Ok::<_, Error>(format!("{notice:?}"))
    };
    let set = async |session: Session| session.flash().set("notice", "saved");
    let app = Router::new().route("/set", get(set)).route("/show", get(show));
    let mut browser = Browser::new(app.layer(layer(&probe())));
    browser.get("/set").await.is(200);
    for _ in 0..2 {
        let mut request = browser.request("/show");
        *request.method_mut() = Method::HEAD;
        assert_eq!(send(browser.app.clone(), request).await.is(200).body, "");
    }
    assert_eq!(browser.get("/show").await.is(200).body, "Some(\"saved\")");
    assert_eq!(browser.get("/show").await.is(200).body, "None");
}

#[tokio::test]
async fn redirect_target_sees_earlier_write() {
    let probe = probe();
    probe.yields(true);
    let mut browser = Browser::new(routes().layer(layer(&probe)));
    let answer = browser.get("/redirect").await.is(303);
    assert_eq!(browser.get(answer.all("location")[0]).await.is(200).body, "Some(1)");
}

#[tokio::test]
async fn cookie_is_extended_only_if_it_follows_the_session() {
    for follows in [true, false] {
        let (probe, clock) = timed();
        let lifetime = if follows { Lifetime::FollowSession } else { Lifetime::BrowserSession };
        let cookie = CookieConfig::new().lifetime(lifetime).build().unwrap();
        let sessions = Sessions::builder(probe.clone()).idle_timeout(Duration::from_secs(1_000));
        let layer = SessionLayer::new(sessions.build().unwrap(), cookie);
        let mut browser = Browser::new(routes().layer(layer));
        let first = browser.get("/write").await.is(200);
        assert_eq!(first.all("set-cookie")[0].ends_with("; Max-Age=1000"), follows, "{first:?}");

        // Nothing is due within a twentieth, and never for requests that do not extend.
        clock.advance(Duration::from_secs(49));
        browser.get("/read").await.is(200).sets_no_cookie();
        clock.advance(Duration::from_secs(100));
        browser.get("/poll").await.is(200).sets_no_cookie();
        browser.get("/poll-by-handle").await.is(200).sets_no_cookie();
        assert!(!probe.operations().contains(&Operation::Touch));

        let answer = browser.get("/read").await.is(200);
        assert_eq!(probe.operations(), [Operation::Retrieve, Operation::Touch]);
        let again = format!("{}{DEFAULTS}; Max-Age=1000", browser.cookie.unwrap());
        assert_eq!(answer.all("set-cookie"), if follows { vec![again.as_str()] } else { vec![] });
        assert_eq!(answer.all("cache-control"), if follows { vec!["no-store"] } else { vec![] });
    }
}

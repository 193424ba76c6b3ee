//! Response headers.

use std::time::Duration;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use axum::response::{AppendHeaders, Redirect};
use axum::routing::get;
use session_core::Operation;
use session_manager::Sessions;
use session_state_cookie::{CookieConfig, Lifetime};
use session_tower::{Error, LazySession, RoutePolicy, Session, SessionLayer};

use crate::common::{Browser, Probe, layer};

fn routes() -> Router {
    Router::new()
        .route(
            "/read",
            get(async |session: Session| Ok::<_, Error>(format!("{:?}", session.get::<u32>("n")?))),
        )
        .route("/write", get(async |session: Session| session.insert("n", &1)))
        .route(
            "/out",
            get(async |session: Session| Ok::<_, Error>(session.destroy("out").await?.to_string())),
        )
        .route(
            "/redirect",
            get(async |session: Session| {
                session.insert("n", &7)?;
                Ok::<_, Error>(Redirect::to("/read"))
            }),
        )
        .route(
            "/own",
            get(async |session: Session| {
                session.insert("n", &1)?;
                let own = [
                    (SET_COOKIE, "theme=dark; Path=/"),
                    (SET_COOKIE, "lang=de"),
                    (VARY, "Accept-Language"),
                    (CACHE_CONTROL, "public, max-age=600"),
                ];
                Ok::<_, Error>(AppendHeaders(own))
            }),
        )
        .route(
            "/poll",
            get(async |session: Session| Ok::<_, Error>(format!("{:?}", session.get::<u32>("n")?)))
                .layer(RoutePolicy::new().do_not_extend()),
        )
        .route(
            "/poll-by-handle",
            get(async |handle: LazySession| {
                handle.do_not_extend();
                Ok::<_, Error>(format!("{:?}", handle.load().await?.get::<u32>("n")?))
            }),
        )
}

#[tokio::test]
async fn new_session_sets_one_cookie_with_all_attributes() {
    let probe = Probe::new();
    let mut browser = Browser::new(routes().layer(layer(&probe)));
    let answer = browser.get("/write").await.is(200);
    let cookie = answer.all("set-cookie");
    let id = cookie[0].strip_prefix("__Host-session=").unwrap().split(';').next().unwrap();
    assert_eq!(cookie, [format!("__Host-session={id}; Path=/; Secure; HttpOnly; SameSite=Lax")]);
    assert_eq!(id.len(), 32);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!(answer.all("vary"), ["Cookie"]);

    let answer = browser.get("/read").await.is(200).sets_no_cookie();
    assert_eq!(answer.all("vary"), ["Cookie"]);
    assert!(answer.all("cache-control").is_empty());
}

#[tokio::test]
async fn destroy_deletes_cookie_with_same_attributes() {
    let probe = Probe::new();
    let mut browser = Browser::new(routes().layer(layer(&probe)));
    browser.get("/write").await.is(200);
    let answer = browser.get("/out").await.is(200);
    assert_eq!(
        answer.all("set-cookie"),
        [
            "__Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
        ]
    );
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    assert_eq!((browser.cookie.clone(), probe.records().await), (None, 0));
}

#[tokio::test]
async fn handler_headers_stay_and_no_store_is_set() {
    let probe = Probe::new();
    let answer = Browser::new(routes().layer(layer(&probe))).get("/own").await.is(200);
    let cookies = answer.all("set-cookie");
    assert_eq!(cookies[..2], ["theme=dark; Path=/", "lang=de"]);
    assert!(cookies.len() == 3 && cookies[2].starts_with("__Host-session="));
    assert_eq!(answer.all("vary"), ["Accept-Language", "Cookie"]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
}

#[tokio::test]
async fn no_store_can_be_turned_off() {
    let probe = Probe::new();
    let app = routes().layer(layer(&probe).cache_control_no_store(false));
    assert_eq!(Browser::new(app).get("/own").await.is(200).all("cache-control"), ["public, max-age=600"]);
}

#[tokio::test]
async fn redirect_target_sees_earlier_write() {
    let probe = Probe::new();
    probe.yields(true);
    let mut browser = Browser::new(routes().layer(layer(&probe)));
    let answer = browser.get("/redirect").await.is(303);
    assert_eq!(browser.get(answer.all("location")[0]).await.is(200).body, "Some(7)");
}

#[tokio::test]
async fn cookie_is_extended_only_if_it_follows_the_session() {
    for follows in [true, false] {
        let probe = Probe::new();
        let lifetime = if follows { Lifetime::FollowSession } else { Lifetime::BrowserSession };
        let cookie = CookieConfig::new().lifetime(lifetime).build().unwrap();
        let sessions =
            Sessions::builder(probe.clone()).idle_timeout(Duration::from_secs(1_000)).build().unwrap();
        let mut browser = Browser::new(routes().layer(SessionLayer::new(sessions, cookie)));
        let first = browser.get("/write").await.is(200);
        assert_eq!(first.all("set-cookie")[0].ends_with("; Max-Age=1000"), follows, "{first:?}");

        // Nothing is due within a twentieth, and never for requests that do not extend.
        probe.clock.advance(Duration::from_secs(49));
        browser.get("/read").await.is(200).sets_no_cookie();
        probe.clock.advance(Duration::from_secs(100));
        browser.get("/poll").await.is(200).sets_no_cookie();
        browser.get("/poll-by-handle").await.is(200).sets_no_cookie();
        assert!(!probe.calls().contains(&Operation::Touch));

        let answer = browser.get("/read").await.is(200);
        assert_eq!(probe.calls(), [Operation::Retrieve, Operation::Touch]);
        let cookie = browser.cookie.clone().unwrap();
        let again = format!("{cookie}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=1000");
        assert_eq!(answer.all("set-cookie"), if follows { vec![again.as_str()] } else { vec![] });
        assert_eq!(answer.all("cache-control"), if follows { vec!["no-store"] } else { vec![] });
    }
}

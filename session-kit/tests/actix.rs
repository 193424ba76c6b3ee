//! The parts of the facade for actix-web.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::time::Duration;

use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION, VARY, WWW_AUTHENTICATE};
use actix_web::test::{TestRequest, init_service, read_body};
use actix_web::{App, web};
use session_kit::memory::{MemoryConfig, MemoryStore};
use session_kit::prelude::*;
use session_kit::session_core::{TestClock, Timestamp};
use session_kit::{LoginPage, RequireFresh, RequireUser, SameOriginLayer};

fn sessions() -> (Sessions, TestClock) {
    let clock = TestClock::new(Timestamp::from_millis(1_800_000_000_000));
    let store = MemoryStore::open(MemoryConfig::new().clock(std::sync::Arc::new(clock.clone()))).unwrap();
    (Sessions::new(DynDriver::new(store)).unwrap(), clock)
}

async fn login(session: Session) -> Result<String, session_kit::Error> {
    session.login("ada")?;
    Ok(String::new())
}

async fn account(user: RequireUser) -> String {
    user.name
}

async fn password(user: RequireFresh<300>) -> String {
    user.name
}

/// Starts the application with this middleware around all routes.
macro_rules! app {
    ($sessions:expr) => {
        init_service(
            App::new()
                .app_data(LoginPage::new("/login").unwrap())
                .wrap(SameOriginLayer::new())
                .wrap(SessionMiddleware::new($sessions, CookieState::default()))
                .route("/login", web::to(login))
                .route("/account", web::to(account))
                .route("/password", web::to(password)),
        )
        .await
    };
}

/// The response to `GET`.
macro_rules! get {
    ($app:expr, $path:expr, $cookie:expr, $accept:expr) => {{
        let request = TestRequest::get().uri($path).insert_header(("cookie", $cookie));
        $app.call(request.insert_header((ACCEPT, $accept)).to_request()).await.unwrap()
    }};
}

fn header<B>(response: &ServiceResponse<B>, name: impl AsRef<str>) -> &str {
    response.headers().get(name.as_ref()).map_or("", |value| value.to_str().unwrap())
}

#[actix_web::test]
async fn actix_handler_for_users_redirects_browsers_and_refuses_programs() {
    let (sessions, clock) = sessions();
    let app = app!(sessions);
    let page = get!(app, "/account", "", "text/html");
    assert_eq!((page.status().as_u16(), header(&page, LOCATION)), (303, "/login"));
    let refused = get!(app, "/account", "", "application/json");
    assert_eq!(
        (refused.status().as_u16(), header(&refused, CONTENT_TYPE)),
        (401, "application/problem+json")
    );
    assert_eq!(
        (header(&refused, WWW_AUTHENTICATE), header(&refused, CACHE_CONTROL)),
        ("Session", "no-store")
    );
    let vary: Vec<_> = refused.headers().get_all(VARY).map(|line| line.to_str().unwrap()).collect();
    assert_eq!(vary, ["Accept", "Cookie"]);
    assert!(String::from_utf8(read_body(refused).await.to_vec()).unwrap().contains("Please log in."));

    let logged_in = get!(app, "/login", "", "*/*");
    let cookie = header(&logged_in, "set-cookie").split(';').next().unwrap().to_owned();
    assert_eq!(read_body(get!(app, "/account", &*cookie, "*/*")).await, "ada");
    assert_eq!(read_body(get!(app, "/password", &*cookie, "*/*")).await, "ada");
    clock.advance(Duration::from_secs(301));
    let old = get!(app, "/password", &*cookie, "*/*");
    assert_eq!(old.status().as_u16(), 401);
    assert_eq!(read_body(old).await, "Please log in again.");
    assert_eq!(get!(app, "/account", &*cookie, "*/*").status().as_u16(), 200);
}

#[actix_web::test]
async fn actix_form_of_another_site_is_refused() {
    let app = app!(sessions().0);
    for (site, accept, status, kind) in [
        ("same-origin", "*/*", 200, "text/plain; charset=utf-8"),
        ("cross-site", "*/*", 403, "text/plain; charset=utf-8"),
        ("cross-site", "application/json", 403, "application/problem+json"),
    ] {
        let request = TestRequest::post().uri("/login").insert_header(("sec-fetch-site", site));
        let response = app.call(request.insert_header((ACCEPT, accept)).to_request()).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), header(&response, CONTENT_TYPE)),
            (status, kind),
            "{site} {accept}"
        );
        let sets_cookie = response.headers().contains_key("set-cookie");
        assert_eq!(sets_cookie, status == 200);
    }
}

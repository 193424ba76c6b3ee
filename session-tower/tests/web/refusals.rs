//! The layer's own responses: their status, format and headers.

use axum::Router;
use axum::body::Body;
use axum::http::header::{ACCEPT, HeaderValue};
use axum::http::{Request, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use session_core::{Operation, SessionId, StoreError, StoreErrorKind};
use session_manager::{OnCorrupt, OnTooMany, Sessions};
use session_state_cookie::CookieState;
use session_tower::{
    Error, ErrorKind, LazySession, OnNotStored, Refusal, Refused, Session, SessionLayer, Unrendered,
};

use crate::common::{self, Answer, Browser, Fault, Probe, fail, layer, probe, records, send};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/problem+json";

/// Requests that end in each refusal: the path, the status, and `Retry-After`.
const CASES: [(&str, u16, Option<&str>); 8] = [
    // A handler's or an extractor's error becomes the response.
    ("/read", 503, Some("5")),
    ("/not-a-number", 500, None),
    ("/sealed", 500, None),
    ("/token-too-late", 503, Some("1")),
    // The commit fails.
    ("/write", 503, Some("5")),
    ("/login-too-often", 503, None),
    ("/privilege-lost", 503, Some("1")),
    ("/save", 409, None),
];

fn routes(probe: &Probe, id: Option<SessionId>) -> Router {
    let ends = move |probe: &Probe| {
        let sessions = Sessions::new(probe.clone()).unwrap();
        async move { sessions.load(id).await.unwrap().destroy("elsewhere").await.unwrap() }
    };
    let (one, two, three) = (probe.clone(), probe.clone(), probe.clone());
    common::routes()
        .route("/not-a-number", get(async |session: Session| session.get::<String>("n").map(|_| "read")))
        .route(
            "/sealed",
            get(async |session: Session| {
                session.seal();
                session.insert("n", &2)
            }),
        )
        .route(
            "/token-too-late",
            get(async move |session: Session| {
                ends(&one).await;
                session.update_now("n", |_: Option<u32>| 3).await.map(|n| n.to_string())
            }),
        )
        .route("/login-too-often", get(async |session: Session| session.login("bob").map(|()| "welcome")))
        .route(
            "/privilege-lost",
            get(async move |session: Session| {
                session.rotate()?;
                ends(&two).await;
                Ok::<_, Error>("changed")
            }),
        )
        .route(
            "/save",
            get(async move |handle: LazySession, session: Session| {
                handle.on_not_stored(OnNotStored::Reject);
                session.insert("n", &7)?;
                ends(&three).await;
                Ok::<_, Error>(([("location", "/saved")], "saved"))
            }),
        )
}

fn sessions(probe: &Probe) -> Sessions<Probe> {
    let options = Sessions::builder(probe.clone()).max_user_sessions(1, OnTooMany::Reject);
    options.on_corrupt(OnCorrupt::Fail).build().unwrap()
}

/// A browser with a session, and a probe that is about to fail as the case needs.
async fn begun(probe: &Probe, path: &str) -> Browser {
    let mut browser = Browser::begun(probe).await;
    let app = routes(probe, Some(browser.id()));
    browser.app = app.layer(SessionLayer::new(sessions(probe), CookieState::default()));
    match path {
        "/login-too-often" => {
            let mut other = browser.clone();
            other.cookie = None;
            other.get(path).await.is(200);
        }
        "/read" => fail(probe, Fault::Reads),
        "/write" => {
            browser.cookie = None;
            fail(probe, Fault::Changes);
        }
        _ => {}
    }
    browser
}

fn accepting(browser: &Browser, path: &str, accept: Option<&'static str>) -> Request<Body> {
    let mut request = browser.request(path);
    if let Some(accept) = accept {
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
    }
    request
}

fn check(answer: &Answer, status: u16, retry_after: Option<&str>, what: &str) {
    assert_eq!((answer.status.as_u16(), answer.refused), (status, true), "{what}: {answer:?}");
    assert_eq!(answer.all("retry-after"), retry_after.into_iter().collect::<Vec<_>>(), "{what}");
    assert_eq!(answer.all("cache-control"), ["no-store"], "{what}");
    assert!(!answer.headers.contains_key("location"), "{what}: {answer:?}");
}

#[tokio::test]
async fn refusals_have_the_format_that_the_client_accepts() {
    for (path, status, retry_after) in CASES {
        for (accept, json) in [
            (None, false),
            (Some("*/*"), false),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), false),
            (Some("text/plain, application/json;q=0.5"), false),
            (Some("application/json"), true),
            (Some("application/problem+json"), true),
            (Some("application/json, text/plain, */*"), true),
        ] {
            let probe = probe();
            let browser = begun(&probe, path).await;
            let answer = send(browser.app.clone(), accepting(&browser, path, accept)).await;
            let what = format!("{path} for {accept:?}");
            check(&answer, status, retry_after, &what);
            assert_eq!(answer.all("content-type"), [if json { JSON } else { TEXT }], "{what}");
            let detail = if json {
                let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
                assert_eq!(body["type"], "about:blank", "{what}");
                assert_eq!(body["status"], status, "{what}");
                let title = StatusCode::from_u16(status).unwrap().canonical_reason().unwrap();
                assert_eq!(body["title"], title, "{what}");
                body["detail"].as_str().unwrap().to_owned()
            } else {
                answer.body.clone()
            };
            let expected = match (path, status) {
                (_, 409) => "Your session has ended, so your changes were not saved.",
                (_, 500) => "Something went wrong with the session.",
                ("/login-too-often", _) => "You are logged in too often. Please log out elsewhere.",
                _ => "Sessions are not available at the moment. Please try again.",
            };
            assert_eq!(detail, expected, "{what}");
        }
    }
}

#[tokio::test]
async fn failure_that_does_not_pass_has_no_retry_after() {
    for (kind, passes) in [
        (StoreErrorKind::Unavailable, true),
        (StoreErrorKind::Timeout, true),
        (StoreErrorKind::Misconfigured, false),
        (StoreErrorKind::Full, false),
        (StoreErrorKind::Closed, false),
    ] {
        let failing = move || Err::<(), _>(Error::from(StoreError::new(kind, Operation::Retrieve)));
        let app = Router::new().route("/", get(async move || failing())).layer(layer(&probe()));
        let answer = send(app, common::request("/", [])).await;
        check(&answer, 503, passes.then_some("5"), &format!("{kind:?}"));
    }
}

#[tokio::test]
async fn closure_replaces_every_refusal_as_a_whole() {
    for (path, status, retry_after) in CASES {
        let probe = probe();
        let mut browser = begun(&probe, path).await;
        let own = |refusal: &Refusal| -> Response {
            let text = format!("{:?} {} {:?}", refusal.kind, refusal.wants_json, refusal.retry_after);
            (StatusCode::IM_A_TEAPOT, [("x-status", refusal.status.as_str())], text).into_response()
        };
        let id = browser.cookie.is_some().then(|| browser.id());
        let layer = SessionLayer::new(sessions(&probe), CookieState::default()).refuse_with(own);
        browser.app = routes(&probe, id).layer(layer);
        let answer = send(browser.app.clone(), accepting(&browser, path, Some("application/json"))).await;
        assert_eq!(answer.status, StatusCode::IM_A_TEAPOT, "{path}: {answer:?}");
        assert_eq!(answer.all("x-status"), [status.to_string()], "{path}");
        assert!(answer.refused && answer.all("cache-control").is_empty(), "{path}");
        let seconds = retry_after.map(|seconds| format!("Some({seconds}s)"));
        assert!(
            answer.body.ends_with(&format!("true {}", seconds.unwrap_or("None".to_owned()))),
            "{answer:?}"
        );
    }
}

/// Headers of the page that a refusal replaces: they describe its body, or let a cache keep it.
const REPLACED: [&str; 8] = [
    "content-language",
    "cache-control",
    "cdn-cache-control",
    "cloudflare-cdn-cache-control",
    "surrogate-control",
    "edge-control",
    "x-accel-expires",
    "expires",
];

#[tokio::test]
async fn headers_of_inner_services_stay_with_an_error() {
    let probe = probe();
    let mut browser = Browser::begun(&probe).await;
    let inner = async |mut response: Response| {
        response.headers_mut().insert("access-control-allow-origin", HeaderValue::from_static("*"));
        for name in REPLACED {
            response.headers_mut().append(name, HeaderValue::from_static("max-age=600"));
        }
        response
    };
    browser.app = common::routes().layer(map_response(inner)).layer(layer(&probe));
    fail(&probe, Fault::Reads);
    let answer = send(browser.app.clone(), accepting(&browser, "/read", Some(JSON))).await.is(503);
    assert_eq!(answer.all("access-control-allow-origin"), ["*"]);
    assert!(answer.body.starts_with('{'));
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    for name in REPLACED.into_iter().filter(|name| *name != "cache-control") {
        assert!(answer.all(name).is_empty(), "{name}: {answer:?}");
    }

    // A service inside that renders its own page takes the marker away.
    let own = async |mut response: Response| match response.extensions_mut().remove::<Unrendered>() {
        Some(error) => (error.status, format!("own page for {:?}", error.kind)).into_response(),
        None => response,
    };
    browser.app = common::routes().layer(map_response(own)).layer(layer(&probe));
    let answer = send(browser.app.clone(), accepting(&browser, "/read", Some(JSON))).await.is(503);
    assert_eq!(answer.body, "own page for Store");
}

#[tokio::test]
async fn nested_layers_render_an_error_once() {
    let (outer, inner) = (probe(), probe());
    let mut browser = Browser::begun(&inner).await;
    let named = session_state_cookie::CookieConfig::new().name("__Host-outer").build().unwrap();
    let outer = SessionLayer::new(Sessions::new(outer).unwrap(), named)
        .refuse_with(|_: &Refusal| -> Response { "the outer layer".into_response() });
    browser.app = common::routes().layer(layer(&inner)).layer(outer);
    fail(&inner, Fault::Reads);
    let answer = browser.get("/read").await.is(503);
    assert!(answer.body.starts_with("Sessions are not available"), "{answer:?}");
    assert_eq!(records(&inner), 1);
}

#[tokio::test]
async fn layers_outside_learn_the_kind() {
    let probe = probe();
    let mut browser = Browser::begun(&probe).await;
    let page = async |response: Response| match response.extensions().get::<Refused>() {
        Some(refused) if refused.kind == ErrorKind::Store => "a page of its own".into_response(),
        _ => response,
    };
    browser.app = common::routes().layer(layer(&probe)).layer(map_response(page));
    fail(&probe, Fault::All);
    for path in ["/read", "/write"] {
        assert_eq!(browser.get(path).await.is(200).body, "a page of its own");
    }
}

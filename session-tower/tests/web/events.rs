//! Events.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use session_manager::{AddressCheck, ErrorKind, Sessions};
use session_state_cookie::{CookieConfig, CookieState};
use session_tower::{ClientAddress, Error, LazySession, OnStoreError, RoutePolicy, Session, SessionLayer};
use tower::Layer;
use tracing_subscriber::filter::LevelFilter;

use crate::common::{Browser, Fault, fail, layer, probe, routes, send};

#[tokio::test]
async fn store_failure_is_one_warning_without_an_id() {
    let lines = Lines::listen();
    for policy in [OnStoreError::Reject, OnStoreError::Continue] {
        let probe = probe();
        let mut browser = Browser::new(routes().layer(layer(&probe).on_store_error(policy)));
        browser.get("/add").await.is(200);
        assert_eq!(lines.take("WARN"), [""; 0]);
        for (fault, what) in
            [(Fault::Reads, "session store failed"), (Fault::Changes, "could not be committed")]
        {
            fail(&probe, fault);
            browser.get("/add").await;
            let ours = lines.take("WARN");
            assert!(ours.len() == 1 && ours[0].contains(what), "{policy:?} {fault:?} {ours:?}");
        }
        assert_eq!(lines.all(browser.id().reveal().as_str()), [""; 0]);
    }
}

#[test]
fn missing_address_source_warns_once_per_layer() {
    let lines = Lines::listen();
    let layer = |check| {
        let sessions = Sessions::builder(probe()).check_address(check).build().unwrap();
        SessionLayer::new(sessions, CookieState::default())
    };
    let blind = layer(AddressCheck::Exact);
    let inner = Router::<()>::new();
    for _ in 0..2 {
        // axum does this for every request of a router without its state.
        let _ = blind.layer(inner.clone());
        let _ = blind.clone().layer(inner.clone());
    }
    let warnings = lines.take("client_address");
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("WARN") && warning.contains("session_web"), "{warning}");
    let _ = layer(AddressCheck::Off).layer(inner.clone());
    let seeing = layer(AddressCheck::Exact).client_address(ClientAddress::new(|_, _| None));
    let _ = seeing.layer(inner);
    assert_eq!(lines.take("client_address"), [""; 0]);
}

#[tokio::test]
async fn missing_layer_is_an_error_event_with_a_remedy() {
    let lines = Lines::listen();
    let mut browser = Browser::new(Router::new().route("/", get(async |_: Session| ())));
    browser.get("/").await.is(500);
    let ours = lines.take("session_kit");
    let [error] = &ours[..] else { panic!("{ours:?}") };
    assert!(error.contains("ERROR") && error.contains("SessionLayer::new(sessions, state)"), "{error}");
}

/// Requests that never reach the layer: a router shows no difference between a missing layer and one that does not
/// cover the route, so the error names all of its causes.
#[tokio::test]
async fn uncovered_handlers_are_told_what_a_layer_covers() {
    let lines = Lines::listen();
    let uses = async |_: Session| ();
    let asks = async |_: Session, request: Request, next: Next| next.run(request).await;
    let covered = || Router::new().route("/", get(uses)).layer(layer(&probe()));
    let routers = [
        ("/", Router::new().route("/", get(uses))),
        ("/other", covered().fallback(uses)),
        ("/other", Router::new().route("/", get(uses)).fallback(uses).route_layer(layer(&probe()))),
        ("/late", covered().merge(Router::new().route("/late", get(uses)))),
        ("/late/in", covered().nest("/late", Router::new().route("/in", get(uses)))),
        ("/", covered().layer(from_fn(asks))),
        ("/", covered().route_layer(from_fn(asks))),
    ];
    for (path, router) in routers {
        Browser::new(router).get(path).await.is(500);
        let ours = lines.take("session_kit");
        let [error] = &ours[..] else { panic!("{path}: {ours:?}") };
        assert!(error.contains("ERROR") && error.contains("were added before it"), "{error}");
    }
    // In the right order.
    for (path, router) in [
        ("/", Router::new().route("/", get(uses)).layer(from_fn(asks)).layer(layer(&probe()))),
        ("/other", Router::new().fallback(uses).layer(layer(&probe()))),
        ("/a/in", Router::new().nest("/a", Router::new().route("/in", get(uses))).layer(layer(&probe()))),
        ("/", Router::new().merge(Router::new().route("/", get(uses))).route_layer(layer(&probe()))),
    ] {
        Browser::new(router).get(path).await.is(200);
        assert_eq!((lines.take("WARN"), lines.take("ERROR")), (vec![], vec![]));
    }
}

/// Requests that reach the layer after the middleware: the layer knows that it is inside.
#[tokio::test]
async fn layer_inside_of_a_middleware_that_asks_warns_once() {
    type Optional = Result<LazySession, Error>;
    let lines = Lines::listen();
    let asks = async |session: Optional, request: Request, next: Next| {
        assert!(session.is_err());
        next.run(request).await
    };
    let loads = async |session: Result<Session, Error>, request: Request, next: Next| {
        assert_eq!(session.unwrap_err().kind(), ErrorKind::NoLayer);
        next.run(request).await
    };
    let finds = async |mut request: Request, next: Next| {
        assert!(LazySession::required(request.extensions_mut()).is_err());
        next.run(request).await
    };
    let covered = || routes().layer(layer(&probe()));
    for router in [
        covered().layer(from_fn(asks)),
        covered().layer(from_fn(loads)),
        covered().layer(from_fn(finds)),
        covered().layer(RoutePolicy::new()),
        Router::new().fallback_service(covered()).layer(from_fn(asks)),
        Router::new().merge(covered()).route_layer(from_fn(asks)),
    ] {
        let mut browser = Browser::new(router);
        browser.get("/never").await.is(200);
        browser.get("/never").await.is(200);
        let ours = lines.take("outside of this session layer");
        let [warning] = &ours[..] else { panic!("{ours:?}") };
        assert!(
            warning.contains("WARN session_web") && warning.contains("added last runs first"),
            "{warning}"
        );
    }
    for router in [
        routes().layer(from_fn(finds_session)).layer(layer(&probe())),
        routes().layer(RoutePolicy::new()).layer(layer(&probe())),
        // Inside of one layer and outside of another: the first session is the one to find.
        routes().layer(layer(&probe())).layer(from_fn(finds_session)).layer(layer(&probe())),
    ] {
        Browser::new(router).get("/never").await.is(200);
        assert_eq!(lines.take("WARN"), [""; 0]);
    }
}

async fn finds_session(session: LazySession, request: Request, next: Next) -> Response {
    drop(session);
    next.run(request).await
}

#[tokio::test]
async fn cookie_that_a_client_drops_is_one_warning() {
    let lines = Lines::listen();
    let development = || CookieConfig::development(([127, 0, 0, 1], 3000).into()).build().unwrap();
    let ask = async |cookie, headers: &[(&'static str, &'static str)], uri: &str| {
        let app = routes().layer(SessionLayer::new(Sessions::new(probe()).unwrap(), cookie));
        for path in ["/never", "/read", "/write", "/write"] {
            let mut request = Request::get(format!("{uri}{path}")).body(Body::empty()).unwrap();
            for (name, value) in headers {
                request.headers_mut().append(*name, HeaderValue::from_static(value));
            }
            send(app.clone(), request).await.is(200);
        }
        lines.take("no sign of HTTPS").len()
    };
    for headers in [
        &[("host", "127.0.0.1:3000")][..],
        &[("host", "192.168.1.2")],
        &[("host", "shop.example"), ("user-agent", "curl/8")],
        &[("host", "shop.example"), ("x-forwarded-proto", "http")],
        &[("host", "shop.example"), ("forwarded", "for=192.0.2.1;proto=http;host=https.example")],
    ] {
        assert_eq!(ask(CookieState::default(), headers, "").await, 1, "{headers:?}");
        assert_eq!(ask(development(), headers, "").await, 0, "{headers:?}");
    }
    for (headers, uri) in [
        (&[("host", "127.0.0.1:3000"), ("sec-fetch-site", "none")][..], ""),
        (&[("x-forwarded-proto", "HTTPS")], ""),
        (&[("x-forwarded-proto", "https, http")], ""),
        (&[("forwarded", "for=192.0.2.1, for=\"[::1]\";Proto=https")], ""),
        (&[("forwarded", "proto=\"https\"")], ""),
        (&[], "https://shop.example"),
        // It has returned a cookie of this name before.
        (&[("cookie", "__Host-session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")], ""),
    ] {
        assert_eq!(ask(CookieState::default(), headers, uri).await, 0, "{headers:?}");
    }
}

/// The events of this thread. Each test has its own thread.
#[derive(Clone, Copy)]
struct Lines;

thread_local!(static WRITTEN: RefCell<(Vec<u8>, usize)> = const { RefCell::new((Vec::new(), 0)) });

impl Lines {
    fn listen() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let all = tracing_subscriber::fmt().with_ansi(false).with_max_level(LevelFilter::TRACE);
            all.with_writer(|| Self).init();
        });
        Self
    }

    /// The lines since the last call that contain `part`.
    fn take(self, part: &str) -> Vec<String> {
        WRITTEN.with_borrow_mut(|(bytes, seen)| {
            let new = String::from_utf8(bytes[*seen..].to_vec()).unwrap();
            *seen = bytes.len();
            new.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
        })
    }

    /// All lines that contain `part`.
    fn all(self, part: &str) -> Vec<String> {
        WRITTEN.with_borrow_mut(|(_, seen)| *seen = 0);
        self.take(part)
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|(written, _)| written.extend_from_slice(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

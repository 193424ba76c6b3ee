//! Over real sockets, with a client that is as strict as the standard (RFC 6265bis, section 5.7): it drops a `Secure`
//! cookie over plain HTTP, also on loopback, where browsers and some tools keep it.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::get;
use session_kit::prelude::*;
use session_kit::session_core::SessionId;
use session_kit::test_kit::sessions;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tracing_subscriber::filter::LevelFilter;

async fn count(session: Session) -> Result<String, session_kit::Error> {
    Ok(session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)?.to_string())
}

/// Starts a server, whose cookie may depend on its address.
async fn serve(cookie: impl FnOnce(SocketAddr) -> CookieState) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/", get(count)).layer(SessionLayer::new(sessions().0, cookie(address)));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/")
}

/// A client of one host. Cookies do not depend on ports.
#[derive(Default)]
struct Strict {
    cookies: BTreeMap<String, String>,
}

impl Strict {
    async fn visit(&mut self, url: &str) -> String {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (cookies, url) = (cookies.join("; "), url.to_owned());
        let ask = move || ureq::get(url).header("cookie", cookies).call().unwrap();
        let mut answer = tokio::task::spawn_blocking(ask).await.unwrap();
        for line in answer.headers().get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if !line.contains("; Secure") {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer.body_mut().read_to_string().unwrap()
    }
}

fn development(address: SocketAddr) -> CookieState {
    CookieConfig::development(address).build().unwrap()
}

#[tokio::test]
async fn strict_client_is_counted_or_reported() {
    let lines = Lines::default();
    let writer = lines.clone();
    let events = tracing_subscriber::fmt().with_ansi(false).with_max_level(LevelFilter::WARN);
    events.with_writer(move || writer.clone()).init();
    let mut client = Strict::default();
    let url = serve(development).await;
    for visits in ["1", "2", "3"] {
        assert_eq!(client.visit(&url).await, visits);
    }
    assert_eq!(lines.text(), "");

    let url = serve(|_| CookieState::default()).await;
    for _ in 0..3 {
        assert_eq!(client.visit(&url).await, "1");
    }
    let warning = lines.text();
    assert_eq!(warning.lines().count(), 1, "{warning}");
    assert!(warning.contains("WARN") && warning.contains("CookieConfig::development"), "{warning}");
}

#[tokio::test]
async fn two_development_servers_share_a_browser() {
    let mut browser = Strict::default();
    let (one, two) = (serve(development).await, serve(development).await);
    for visits in ["1", "2", "3"] {
        assert_eq!(browser.visit(&one).await, visits);
        assert_eq!(browser.visit(&two).await, visits);
    }
}

/// The status, the content type, the cookies and the body of an answer.
async fn ask(url: &str, cookies: String, accept: &'static str) -> (u16, String, Vec<String>, String) {
    let url = url.to_owned();
    let ask = move || {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let request = ureq::Agent::new_with_config(config).get(url);
        request.header("cookie", cookies).header("accept", accept).call().unwrap()
    };
    let mut answer = tokio::task::spawn_blocking(ask).await.unwrap();
    let text = |line: &axum::http::HeaderValue| line.to_str().unwrap().to_owned();
    let kind = answer.headers().get("content-type").map(text).unwrap_or_default();
    let set = answer.headers().get_all("set-cookie").iter().map(text).collect();
    (answer.status().as_u16(), kind, set, answer.body_mut().read_to_string().unwrap())
}

#[tokio::test]
async fn logout_with_two_cookies_ends_both_sessions() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cookie = CookieConfig::development(address).path("/shop").build().unwrap();
    let name = cookie.name().to_owned();
    let routes = Router::new()
        .route("/shop", get(count))
        .route("/shop/out", get(async |session: Session| session.destroy("out").await.map(|_| "bye")))
        .route("/shop/wrong", get(async |session: Session| session.get::<String>("visits").map(|_| "read")))
        .layer(SessionLayer::new(sessions().0, cookie));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let url = |path: &str| format!("http://{address}/shop{path}");
    let mut pairs = Vec::new();
    for _ in 0..2 {
        let (status, _, set, body) = ask(&url(""), String::new(), "*/*").await;
        assert_eq!((status, body.as_str(), set.len()), (200, "1", 1));
        pairs.push(set[0].split(';').next().unwrap().to_owned());
    }
    let both = pairs.join("; ");
    let (status, kind, _, body) = ask(&url("/wrong"), both.clone(), "application/json").await;
    assert_eq!((status, kind.as_str()), (500, "application/problem+json"));
    assert!(body.contains(r#""status":500"#), "{body}");
    let (status, kind, _, body) = ask(&url("/wrong"), both.clone(), "text/html,*/*;q=0.8").await;
    assert_eq!((status, kind.as_str()), (500, "text/plain; charset=utf-8"));
    assert!(body.starts_with("Something"), "{body}");

    let (status, _, set, body) = ask(&url("/out"), both.clone(), "*/*").await;
    assert_eq!((status, body.as_str()), (200, "bye"));
    let gone = |path: &str| {
        let scope = format!("{name}=; Path={path}; HttpOnly; SameSite=Lax; Max-Age=0");
        set.iter().filter(|line| line.starts_with(&scope)).count()
    };
    assert_eq!((set.len(), gone("/shop"), gone("/")), (2, 1, 1), "{set:?}");
    for cookies in [pairs[0].clone(), pairs[1].clone(), both] {
        assert_eq!(ask(&url(""), cookies, "*/*").await.3, "1");
    }
}

// The recipe of the README: the next test compares it, the one after it runs it.
async fn run(
    listener: TcpListener,
    store: DynDriver,
    app: impl FnOnce(Sessions) -> Router,
) -> Result<(), Box<dyn std::error::Error>> {
    let sessions = Sessions::new(store.clone())?;
    let sweeper = sessions.sweep(Sweep::default());
    let stop = async {
        tokio::signal::ctrl_c().await.expect("the signal can be received");
    };
    // Waits for the requests that have begun, with their commits.
    axum::serve(listener, app(sessions)).with_graceful_shutdown(stop).await?;
    // Waits for a running batch.
    sweeper.stop().await;
    // Later calls fail.
    store.close().await?;
    Ok(())
}

#[test]
fn readme_shows_this_shutdown() {
    let recipe = |text: &'static str| {
        let from = text.find("async fn run(").unwrap();
        &text[from..from + text[from..].find("\n}\n").unwrap()]
    };
    assert_eq!(recipe(include_str!("../README.md")), recipe(include_str!("http.rs")));
}

#[tokio::test]
async fn shutdown_finishes_requests_and_closes_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/sessions.db", directory.path().display());
    let store = session_kit::open(&url).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let page = format!("http://{}/", listener.local_addr().unwrap());
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (begun, may_end) = (Arc::clone(&begun), Arc::clone(&may_end));
        async move |session: Session| {
            begun.notify_one();
            may_end.notified().await;
            count(session).await
        }
    };
    let cookie = CookieConfig::new().secure(false).name("id").build().unwrap();
    let app = move |sessions| Router::new().route("/", get(slow)).layer(SessionLayer::new(sessions, cookie));
    let server = async {
        // The error is not `Send`.
        run(listener, store.clone(), app).await.unwrap();
    };
    let client = async {
        let mut browser = Strict::default();
        assert_eq!(browser.visit(&page).await, "1");
        browser
    };
    let operator = async {
        begun.notified().await;
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT).unwrap();
        // Not before the server has stopped to listen.
        while tokio::net::TcpStream::connect(page["http://".len()..].trim_end_matches('/')).await.is_ok() {
            tokio::task::yield_now().await;
        }
        may_end.notify_one();
    };
    let ((), browser, ()) = tokio::join!(server, client, operator);
    assert!(store.retrieve(&SessionId::from_bytes([7; 24]).key()).await.is_err(), "the store is closed");

    let id = SessionId::parse(browser.cookies["id"].as_bytes()).unwrap();
    let sessions = Sessions::new(session_kit::open(&url).await.unwrap()).unwrap();
    assert_eq!(sessions.load(id).await.unwrap().get::<u64>("visits").unwrap(), Some(1));
}

/// The events of this process.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

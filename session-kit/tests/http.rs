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
use session_kit::test_kit::sessions;
use tokio::net::TcpListener;
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

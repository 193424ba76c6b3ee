//! Over real sockets.

use std::collections::BTreeMap;

use session_kit::cookie::CookieConfig;
use session_kit::{NoStore, Sessions};
use tokio::net::TcpListener;

use super::app::{app, ring};

/// A browser of one host: it keeps cookies of at most 4,096 bytes, and drops those with a `Max-Age` of zero.
struct Browser {
    site: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    async fn ask(&mut self, method: &'static str, path: &str) -> (u16, String) {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (cookies, url) = (cookies.join("; "), format!("{}{path}", self.site));
        let ask = move || {
            let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
            match method {
                "GET" => agent.get(url).header("cookie", cookies).call().unwrap(),
                _ => agent.post(url).header("cookie", cookies).send("").unwrap(),
            }
        };
        let mut answer = tokio::task::spawn_blocking(ask).await.unwrap();
        for line in answer.headers().get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            assert!(name.len() + value.len() <= 4_096, "browsers drop it");
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }
}

async fn browser() -> Browser {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cookie = CookieConfig::development(address).build_sealed(&ring()).unwrap().max_cookies(3);
    let app = app(Sessions::new(NoStore::new()).unwrap(), cookie);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Browser { site: format!("http://{address}"), cookies: BTreeMap::new() }
}

#[tokio::test]
async fn browser_keeps_its_session_over_http() {
    let mut browser = browser().await;
    for visits in ["1", "2", "3"] {
        assert_eq!(browser.ask("GET", "/count").await, (200, visits.to_owned()));
    }
    assert_eq!(browser.ask("POST", "/login/ada").await.0, 200);
    assert_eq!(browser.ask("GET", "/show").await.1, "ada true 1");
    for (bytes, cookies) in [(4_000, 2), (8_000, 3), (50, 1), (5_000, 2)] {
        assert_eq!(browser.ask("POST", &format!("/fill/{bytes}")).await.0, 200);
        assert_eq!(browser.cookies.len(), cookies, "{bytes} bytes");
        assert_eq!(browser.ask("GET", "/show").await.1, "ada true 2");
    }
    let full = browser.cookies.clone();
    assert_eq!(browser.ask("POST", "/fill/9500").await.0, 500);
    assert_eq!(browser.cookies, full, "a session that is too large changes nothing");
    assert_eq!(browser.ask("POST", "/logout").await.0, 200);
    assert_eq!((browser.cookies.len(), browser.ask("GET", "/show").await.1), (0, "guest false 0".into()));
}

//! Extractors.

use axum::Router;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use session_tower::{Error, LazySession, Refused, Session, SessionValue, Typed};
use tower::ServiceExt;

use crate::common::{Browser, Fault, Probe, layer};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Settings {
    theme: String,
    visits: u32,
}

impl SessionValue for Settings {
    const KEY: &'static str = "settings";
}

fn routes() -> Router {
    Router::new()
        .route(
            "/read",
            get(async |settings: Typed<Settings>| format!("{} {}", settings.theme, settings.visits)),
        )
        .route(
            "/visit",
            get(async |mut settings: Typed<Settings>| {
                Ok::<_, Error>(settings.update(|settings| settings.visits += 1)?.visits.to_string())
            }),
        )
        .route(
            "/dark",
            get(async |mut settings: Typed<Settings>| {
                settings.theme = "dark".into();
                settings.save()
            }),
        )
        .route("/forgotten", get(async |mut settings: Typed<Settings>| settings.theme = "unsaved".into()))
        .route("/remove", get(async |settings: Typed<Settings>| settings.remove()))
        .route("/spoil", get(async |session: Session| session.insert("settings", &[1, 2, 3])))
        .route("/session", get(async |_: Session| ()))
        .route("/handle", get(async |_: LazySession| ()))
}

#[tokio::test]
async fn typed_value_is_read_updated_and_saved() {
    let probe = Probe::new();
    let mut browser = Browser::new(routes().layer(layer(&probe)));
    assert_eq!(browser.get("/read").await.is(200).sets_no_cookie().body, " 0");
    assert_eq!(browser.get("/visit").await.is(200).body, "1");
    assert_eq!(browser.get("/visit").await.is(200).body, "2");
    browser.get("/forgotten").await.is(200);
    browser.get("/dark").await.is(200);
    assert_eq!(browser.get("/read").await.is(200).body, "dark 2");
    browser.get("/remove").await.is(200);
    assert_eq!(browser.get("/read").await.is(200).body, " 0");
}

#[tokio::test]
async fn undecodable_value_is_a_500_and_keeps_the_session() {
    let probe = Probe::new();
    let mut browser = Browser::new(routes().layer(layer(&probe)));
    browser.get("/spoil").await.is(200);
    let answer = browser.get("/read").await.is(500);
    assert_eq!(answer.body, "Something went wrong with the session.");
    browser.get("/session").await.is(200);
}

#[tokio::test]
async fn missing_layer_gives_a_500_without_details() {
    let app = routes();
    for path in ["/session", "/handle", "/read"] {
        let answer = Browser::new(app.clone()).get(path).await.is(500);
        assert_eq!(answer.body, "Something went wrong with the session.");
        let response = app.clone().oneshot(Browser::new(app.clone()).request(path)).await.unwrap();
        assert!(response.extensions().get::<Refused>().is_some());
    }
}

#[tokio::test]
async fn error_names_each_cause_once() {
    let probe = Probe::new();
    let load = get(async |handle: LazySession| {
        let error = handle.load().await.unwrap_err();
        let mut chain = vec![error.to_string()];
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            chain.push(error.to_string());
            cause = error.source();
        }
        chain.join("\n")
    });
    let mut browser = Browser::new(routes().route("/load", load).layer(layer(&probe)));
    browser.get("/visit").await.is(200);
    probe.fail(Fault::All);
    let body = browser.get("/load").await.is(200).body;
    let lines: Vec<_> = body.lines().collect();
    assert!(lines.len() > 1 && lines[0] == "session store failed", "{body}");
    for (n, line) in lines.iter().enumerate() {
        assert!(lines.iter().skip(n + 1).all(|later| !line.contains(later)), "{body}");
    }
}

//! Extractors.

use axum::Router;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use session_tower::{Error, LazySession, Session, SessionValue, Typed, Undecoded};

use crate::common::{Browser, Fault, fail, layer, probe};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Settings {
    theme: String,
    visits: u32,
}

impl SessionValue for Settings {
    const KEY: &'static str = "settings";
}

/// A later release's `Settings`, which migrates the earlier form and starts again for anything else.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Later {
    theme: Option<Theme>,
    visits: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Theme {
    name: String,
}

impl SessionValue for Later {
    const KEY: &'static str = "settings";

    fn recover(stored: Undecoded<'_>) -> Option<Self> {
        let later =
            |old: Settings| Self { theme: Some(Theme { name: old.theme }), visits: old.visits.into() };
        Some(stored.decode().map(later).unwrap_or_default())
    }
}

fn routes() -> Router {
    let visit = async |mut settings: Typed<Settings>| {
        Ok::<_, Error>(settings.update(|settings| settings.visits += 1)?.visits.to_string())
    };
    let dark = async |mut settings: Typed<Settings>| {
        settings.theme = "dark".into();
        settings.save()
    };
    Router::new()
        .route("/typed", get(async |all: Typed<Settings>| format!("{} {}", all.theme, all.visits)))
        .route("/visit", get(visit))
        .route("/dark", get(dark))
        .route("/forgotten", get(async |mut settings: Typed<Settings>| settings.theme = "unsaved".into()))
        .route("/remove", get(async |settings: Typed<Settings>| settings.remove()))
        .route("/spoil", get(async |session: Session| session.insert("settings", &[1, 2, 3])))
        .route(
            "/later",
            get(async |all: Typed<Later>| {
                format!("{:?} {}", all.theme.as_ref().map(|t| &t.name), all.visits)
            }),
        )
        .route("/later/visit", get(async |mut all: Typed<Later>| all.update(|all| all.visits += 1).map(drop)))
        .route("/session", get(async |_: Session| ()))
        .route("/handle", get(async |_: LazySession| ()))
}

#[tokio::test]
async fn typed_value_is_read_updated_and_saved() {
    let mut browser = Browser::new(routes().layer(layer(&probe())));
    browser.get("/typed").await.is(200).sets_no_cookie();
    for (path, body) in [
        ("/typed", " 0"),
        ("/visit", "1"),
        ("/visit", "2"),
        ("/forgotten", ""),
        ("/dark", ""),
        ("/typed", "dark 2"),
        ("/remove", ""),
        ("/typed", " 0"),
    ] {
        assert_eq!(browser.get(path).await.is(200).body, body, "{path}");
    }
}

#[tokio::test]
async fn undecodable_value_is_a_500_and_keeps_the_session() {
    let mut browser = Browser::new(routes().layer(layer(&probe())));
    browser.get("/spoil").await.is(200);
    let answer = browser.get("/typed").await.is(500);
    assert_eq!(answer.body, "Something went wrong with the session.");
    browser.get("/session").await.is(200);
}

#[tokio::test]
async fn changed_type_is_migrated_or_starts_again() {
    let mut browser = Browser::new(routes().layer(layer(&probe())));
    browser.get("/dark").await.is(200);
    browser.get("/visit").await.is(200);
    assert_eq!(browser.get("/later").await.is(200).body, "Some(\"dark\") 1");
    // Reading stores nothing.
    assert_eq!(browser.get("/typed").await.is(200).body, "dark 1");
    browser.get("/later/visit").await.is(200);
    assert_eq!(browser.get("/later").await.is(200).body, "Some(\"dark\") 2");
    browser.get("/typed").await.is(500);
    browser.get("/spoil").await.is(200);
    assert_eq!(browser.get("/later").await.is(200).body, "None 0");
}

#[tokio::test]
async fn missing_layer_gives_a_500_without_details() {
    for path in ["/session", "/handle", "/typed"] {
        let answer = Browser::new(routes()).get(path).await.is(500);
        assert_eq!(answer.body, "Something went wrong with the session.");
        assert!(answer.refused);
    }
}

#[tokio::test]
async fn error_names_each_cause_once() {
    let probe = probe();
    let load = get(async |handle: LazySession| {
        let error = handle.load().await.unwrap_err();
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join("\n")
    });
    let mut browser = Browser::new(routes().route("/load", load).layer(layer(&probe)));
    browser.get("/visit").await.is(200);
    fail(&probe, Fault::All);
    let body = browser.get("/load").await.is(200).body;
    let lines: Vec<_> = body.lines().collect();
    assert!(lines.len() > 1 && lines[0] == "session store failed", "{body}");
    for (n, line) in lines.iter().enumerate() {
        assert!(lines.iter().skip(n + 1).all(|later| !line.contains(later)), "{body}");
    }
}

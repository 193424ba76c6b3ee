//! "Your devices": the sessions of the user, and how to end them.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Form, Router};
use serde::Deserialize;
use session_kit::prelude::*;
use session_kit::{Error, Handle, LoginPage, RequireUser};

use crate::page::{self, Device, NOTICE, Page};

/// The routes, which need a user. Other visitors are sent to the first page, where they can log in.
pub(crate) fn routes() -> Router<Sessions> {
    Router::new()
        .route("/devices", get(list))
        .route("/devices/end", post(end))
        .route("/devices/end-others", post(end_others))
        .layer(Extension(LoginPage::new("/").expect("the path is ASCII")))
}

async fn list(user: RequireUser, State(sessions): State<Sessions>) -> Result<Html<String>, Error> {
    let now = sessions.now();
    let mut devices = Vec::new();
    for found in sessions.of_user(&user.name).await? {
        let here = found.is(&user.session)?;
        devices.push(Device {
            label: found.label().unwrap_or_else(|| UNKNOWN.to_owned()),
            created: now.saturating_since(found.created()),
            used: now.saturating_since(found.last_used()),
            handle: (!here).then(|| found.handle()),
        });
    }
    Ok(page::devices(&Page::read(&user.session)?, &devices))
}

#[derive(Deserialize)]
struct End {
    handle: String,
}

/// Ends a session of this user. The handle comes from a form, so it may be the handle of another user's session.
async fn end(
    user: RequireUser,
    State(sessions): State<Sessions>,
    Form(end): Form<End>,
) -> Result<Response, Error> {
    let Ok(handle) = end.handle.parse::<Handle>() else {
        return Ok((StatusCode::BAD_REQUEST, page::refused(&Page::read(&user.session)?)).into_response());
    };
    let own = sessions.of_user(&user.name).await?.iter().any(|found| found.handle() == handle);
    let ended = own && sessions.end(&handle, "signed out on another device").await?;
    let notice = if ended { "The device is signed out." } else { "This device was signed out already." };
    user.session.flash().set(NOTICE, notice)?;
    Ok(Redirect::to("/devices").into_response())
}

async fn end_others(user: RequireUser, State(sessions): State<Sessions>) -> Result<Redirect, Error> {
    sessions.end_others(&user.session, "signed out on another device").await?;
    user.session.flash().set(NOTICE, "All other devices are signed out.")?;
    Ok(Redirect::to("/devices"))
}

const UNKNOWN: &str = "Unknown device";

/// A label for the list of devices, such as "Firefox on Windows", from the `User-Agent` header. Clients choose this
/// header themselves, so the label is a help for the user and no proof.
pub(crate) fn label(headers: &HeaderMap) -> String {
    // Most browsers also name those that they resemble, so the order matters.
    const BROWSERS: [(&str, &str); 5] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let named = |names: &[(&str, &'static str)]| {
        names.iter().find(|(part, _)| agent.contains(part)).map(|(_, name)| *name)
    };
    match (named(&BROWSERS), named(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => match agent.split(['/', ' ']).next() {
            Some(program) if !program.is_empty() => program.chars().take(40).collect(),
            _ => UNKNOWN.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use session_kit::test_kit::{Answer, Client, sessions};

    use super::*;
    use crate::app::app;

    /// The handles of the forms on the page.
    fn handles(page: &Answer) -> Vec<String> {
        let parts = page.text().split("name=handle value=").skip(1);
        parts.map(|part| part.split('>').next().unwrap_or_default().to_owned()).collect()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn user_ends_own_sessions_only() {
        let (sessions, clock) = sessions();
        let app = app(sessions, CookieState::default());
        let [mut phone, mut laptop, mut tablet, mut thief] =
            std::array::from_fn(|_| Client::new(app.clone()));
        assert_eq!(phone.get("/devices").await.status, StatusCode::UNAUTHORIZED);
        for device in [&mut phone, &mut laptop, &mut tablet] {
            assert_eq!(device.post_form("/login", &[("name", "ada")]).await.status, StatusCode::SEE_OTHER);
            clock.advance(Duration::from_secs(3 * 60));
        }
        thief.post_form("/login", &[("name", "mallory")]).await;

        let list = laptop.get("/devices").await;
        assert_eq!(list.text().matches("This device").count(), 1, "{}", list.text());
        for text in ["9 minutes ago", "6 minutes ago", "3 minutes ago"] {
            assert!(list.text().contains(text), "{text} is missing in {}", list.text());
        }
        let [phones, _] = &handles(&list)[..] else { panic!("{}", list.text()) };

        let form = [("handle", &**phones)];
        thief.post_form("/devices/end", &form).await;
        assert_eq!(phone.get("/devices").await.status, StatusCode::OK, "another user ended the session");
        laptop.post_form("/devices/end", &form).await;
        assert_eq!(phone.get("/devices").await.status, StatusCode::UNAUTHORIZED);
        let list = laptop.get("/devices").await;
        assert!(list.text().contains("The device is signed out."), "{}", list.text());
        assert_eq!(handles(&list).len(), 1);

        laptop.post_form("/devices/end-others", &[]).await;
        assert_eq!(tablet.get("/devices").await.status, StatusCode::UNAUTHORIZED);
        assert!(handles(&laptop.get("/devices").await).is_empty());
        assert_eq!(thief.get("/devices").await.status, StatusCode::OK, "another user's session was ended");
        for wrong in ["", "x", "../../etc/passwd"] {
            let answer = laptop.post_form("/devices/end", &[("handle", wrong)]).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wrong:?}");
        }
    }

    #[test]
    fn label_names_browser_and_system() {
        for (agent, expected) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 \
                 Safari/537.36 Edg/140.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                 Version/18.5 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            ("curl/8.5.0", "curl"),
            ("", UNKNOWN),
        ] {
            let headers = HeaderMap::from_iter([(header::USER_AGENT, agent.parse().expect("ASCII"))]);
            assert_eq!(label(&headers), expected);
        }
        assert_eq!(label(&HeaderMap::new()), UNKNOWN);
    }
}

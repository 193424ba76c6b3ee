//! The shop on axum.

use std::convert::Infallible;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Form, Json, Router, middleware};
use futures_util::StreamExt as _;
use session_kit::prelude::*;
use session_kit::{Error, LoginPage, RequireUser, SameOriginLayer};
use tokio::net::TcpListener;

use crate::app::{self, Add, Answer, Login, Slow};
use crate::devices::{self, End};
use crate::live::{self, Stopping};

/// Serves the shop until `stopping` is true.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    sessions: Sessions,
    cookie: CookieState,
    stopping: Stopping,
) -> std::io::Result<()> {
    let mut stopped = stopping.clone();
    let app = router(sessions, cookie).layer(Extension(stopping));
    listener.set_nonblocking(true)?;
    axum::serve(TcpListener::from_std(listener)?, app)
        .with_graceful_shutdown(async move { drop(stopped.wait_for(|stopped| *stopped).await) })
        .await
}

/// The whole application. The live page needs a [`Stopping`] in an [`Extension`].
pub(crate) fn router(sessions: Sessions, cookie: CookieState) -> Router {
    Router::new()
        .route("/", get(async |session: Session| app::home(&session)))
        .route("/cart", get(async |session: Session| app::cart(&session)).post(add_to_cart))
        .route("/login", post(login))
        .route("/logout", post(app::logout))
        .route(
            "/slow",
            get(async |session: Session, Query(slow): Query<Slow>| app::slow(session, slow).await),
        )
        .route("/api/state", get(async |session: Session| app::state(&session)).layer(app::polling()))
        .route("/live", get(async |session: Session| app::live(&session)))
        .route("/live.js", get(async || ([(header::CONTENT_TYPE, "text/javascript")], live::SCRIPT)))
        .route("/events", get(events).layer(app::polling()))
        .merge(device_routes())
        .layer(SessionLayer::new(sessions.clone(), cookie))
        .layer(SameOriginLayer::new())
        .layer(middleware::map_response(async |response: Response| (app::ONLY_OWN_CONTENT, response)))
        // Outside the session layer: a health check has no session.
        .route("/healthz", get(async || "ok"))
        .with_state(sessions)
}

/// The routes that need a user. Other visitors are sent to the first page, where they can log in.
fn device_routes() -> Router<Sessions> {
    Router::new()
        .route(
            "/devices",
            get(async |user: RequireUser, State(all): State<Sessions>| devices::list(user, &all).await),
        )
        .route(
            "/devices/end",
            post(async |user: RequireUser, State(all): State<Sessions>, Form(end): Form<End>| {
                devices::end(user, &all, end).await
            }),
        )
        .route(
            "/devices/end-others",
            post(async |user: RequireUser, State(all): State<Sessions>| {
                devices::end_others(user, &all).await
            }),
        )
        .layer(Extension(LoginPage::new("/").expect("the path is ASCII")))
}

async fn add_to_cart(session: Session, Form(add): Form<Add>) -> Result<Answer, Error> {
    app::add_to_cart(&session, &add)
}

async fn login(session: Session, headers: HeaderMap, Form(login): Form<Login>) -> Result<Answer, Error> {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    app::login(&session, agent, &login)
}

async fn events(
    session: Session,
    Extension(stopping): Extension<Stopping>,
) -> Result<impl IntoResponse, Error> {
    let events = live::events(&session, stopping)?;
    let events = events.map(|event| Ok::<_, Infallible>(Event::default().event(event.kind).data(event.data)));
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Page(html) => Html(html).into_response(),
            Self::Invalid(html) => (StatusCode::BAD_REQUEST, Html(html)).into_response(),
            Self::Redirect(to) => Redirect::to(to).into_response(),
            Self::Text(text) => text.into_response(),
            Self::Json(value) => Json(value).into_response(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use session_kit::test_kit::{Answer, Client, sessions};

    use super::*;

    /// The handles of the forms on the page.
    fn handles(page: &Answer) -> Vec<String> {
        let parts = page.text().split("name=handle value=").skip(1);
        parts.map(|part| part.split('>').next().unwrap_or_default().to_owned()).collect()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn user_ends_own_sessions_only() {
        let (sessions, clock) = sessions();
        let app = router(sessions, CookieState::default());
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
}

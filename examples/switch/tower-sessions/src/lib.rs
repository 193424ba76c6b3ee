//! A notebook on axum: visitors log in and keep notes. It uses tower-sessions and knows nothing of its store.

use axum::body::{Body, to_bytes};
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use tower_sessions::cookie::time::Duration;
use tower_sessions::session::Error;
use tower_sessions::{Expiry, Session, SessionManagerLayer, SessionStore};

/// Serves the application over a store, on a free port that it prints.
///
/// # Errors
/// The port cannot be opened.
pub async fn serve(store: impl SessionStore + Clone) -> Result<(), Box<dyn std::error::Error>> {
    let expiry = Expiry::OnInactivity(Duration::hours(2));
    let sessions = SessionManagerLayer::new(store).with_secure(false).with_expiry(expiry);
    let app = Router::new()
        .route("/", get(show))
        .route("/login/{user}", post(login))
        .route("/note", post(note))
        .route("/logout", post(logout))
        .layer(sessions);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

#[derive(Serialize)]
struct Notebook {
    user: Option<String>,
    notes: Vec<String>,
}

async fn show(session: Session) -> Result<Json<Notebook>, Failed> {
    let (user, notes) = (session.get("user").await?, session.get("notes").await?);
    Ok(Json(Notebook { user, notes: notes.unwrap_or_default() }))
}

async fn login(session: Session, Path(user): Path<String>) -> Result<(), Failed> {
    session.cycle_id().await?;
    Ok(session.insert("user", user).await?)
}

/// Adds the body to the notes. It may take a while to arrive.
async fn note(session: Session, body: Body) -> Result<Response, Failed> {
    let mut notes: Vec<String> = session.get("notes").await?.unwrap_or_default();
    let Ok(text) = to_bytes(body, 1_000).await else { return Ok(StatusCode::BAD_REQUEST.into_response()) };
    notes.push(String::from_utf8_lossy(&text).into_owned());
    session.insert("notes", notes).await?;
    Ok(().into_response())
}

async fn logout(session: Session) -> Result<(), Failed> {
    Ok(session.flush().await?)
}

/// A failed session is status 500.
struct Failed(Error);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}

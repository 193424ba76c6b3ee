//! Counts the visits of each browser: the program of the README.

use axum::{Router, routing::get};
use session_kit::prelude::*;

async fn count(session: Session) -> Result<String, session_kit::Error> {
    let visits = session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)?;
    Ok(format!("This is visit number {visits}\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or("sqlite:sessions.db".into());
    let address = arguments.next().unwrap_or("127.0.0.1:3000".into());

    // Also removes expired sessions, for as long as the program runs.
    let sessions = session_kit::open_sessions(&url).await?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    // For plain HTTP on this machine. Behind HTTPS: `CookieState::default()`.
    let cookie = CookieConfig::development(listener.local_addr()?).build()?;
    let app = Router::new().route("/", get(count)).layer(SessionLayer::new(sessions, cookie));
    Ok(axum::serve(listener, app).await?)
}

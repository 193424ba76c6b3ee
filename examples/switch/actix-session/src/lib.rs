//! A notebook on actix-web: visitors log in and keep notes. It uses actix-session and knows nothing of its store.

use actix_session::storage::SessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::Key;
use actix_web::{App, HttpResponse, HttpServer, Result, web};
use serde::Serialize;

/// Serves the application over a store that `store` gives to each worker, on a free port that it prints.
///
/// # Errors
/// The port cannot be opened.
pub async fn serve<S: SessionStore + 'static>(
    store: impl Fn() -> S + Clone + Send + 'static,
) -> Result<(), Box<dyn std::error::Error>> {
    // A real application reads its key from a secret place.
    let key = Key::from(&[7; 64]);
    let app = move || {
        let sessions = SessionMiddleware::builder(store(), key.clone()).cookie_secure(false).build();
        App::new()
            .wrap(sessions)
            .route("/", web::get().to(show))
            .route("/login/{user}", web::post().to(login))
            .route("/note", web::post().to(note))
            .route("/logout", web::post().to(logout))
    };
    let server = HttpServer::new(app).workers(2).bind(("127.0.0.1", 0))?;
    for address in server.addrs() {
        println!("{address}");
    }
    Ok(server.run().await?)
}

/// One store for all workers.
pub fn shared<S: Clone>(store: S) -> impl Fn() -> S + Clone {
    move || store.clone()
}

#[derive(Serialize)]
struct Notebook {
    user: Option<String>,
    notes: Vec<String>,
}

async fn show(session: Session) -> Result<HttpResponse> {
    let (user, notes) = (session.get("user")?, session.get("notes")?);
    Ok(HttpResponse::Ok().json(Notebook { user, notes: notes.unwrap_or_default() }))
}

async fn login(session: Session, user: web::Path<String>) -> Result<HttpResponse> {
    session.renew();
    session.insert("user", user.into_inner())?;
    Ok(HttpResponse::Ok().finish())
}

/// Adds the body to the notes. It may take a while to arrive.
async fn note(session: Session, body: web::Bytes) -> Result<HttpResponse> {
    let mut notes: Vec<String> = session.get("notes")?.unwrap_or_default();
    notes.push(String::from_utf8_lossy(&body).into_owned());
    session.insert("notes", notes)?;
    Ok(HttpResponse::Ok().finish())
}

async fn logout(session: Session) -> HttpResponse {
    session.purge();
    HttpResponse::Ok().finish()
}

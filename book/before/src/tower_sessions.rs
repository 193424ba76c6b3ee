use axum::{
    Router,
    response::Redirect,
    routing::{get, post},
};
use tower_sessions::{Session, SessionManagerLayer, SessionStore, session::Error};

type Result<T> = std::result::Result<T, String>;

fn failed(error: Error) -> String {
    error.to_string()
}

async fn visits(session: Session) -> Result<String> {
    let visits = session.get::<u64>("visits").await.map_err(failed)?.unwrap_or(0) + 1;
    session.insert("visits", visits).await.map_err(failed)?;
    let name = session.get::<String>("user").await.map_err(failed)?;
    let name = name.unwrap_or_else(|| "stranger".into());
    Ok(format!("Hello, {name}. This is visit number {visits}."))
}

async fn login(session: Session, name: String) -> Result<Redirect> {
    session.cycle_id().await.map_err(failed)?;
    session.insert("user", name).await.map_err(failed)?; // after the password was checked
    Ok(Redirect::to("/"))
}

async fn logout(session: Session) -> Result<Redirect> {
    session.flush().await.map_err(failed)?;
    Ok(Redirect::to("/"))
}

pub async fn run(store: impl SessionStore + Clone) -> std::io::Result<()> {
    let app = Router::new()
        .route("/", get(visits))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .layer(SessionManagerLayer::new(store));
    axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, app).await
}

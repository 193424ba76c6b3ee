use actix_session::{Session, SessionMiddleware, storage::SessionStore};
use actix_web::{App, HttpServer, Result, cookie::Key, web};

async fn visits(session: Session) -> Result<String> {
    let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", visits)?;
    let name = session.get::<String>("user")?.unwrap_or_else(|| "stranger".into());
    Ok(format!("Hello, {name}. This is visit number {visits}."))
}

async fn login(session: Session, name: String) -> Result<web::Redirect> {
    session.renew();
    session.insert("user", name)?; // after the password was checked
    Ok(web::Redirect::to("/").see_other())
}

async fn logout(session: Session) -> web::Redirect {
    session.purge();
    web::Redirect::to("/").see_other()
}

pub async fn run<S: SessionStore + Clone + Send + 'static>(store: S, key: Key) -> std::io::Result<()> {
    let app = move || {
        App::new()
            .wrap(SessionMiddleware::new(store.clone(), key.clone()))
            .route("/", web::get().to(visits))
            .route("/login", web::post().to(login))
            .route("/logout", web::post().to(logout))
    };
    HttpServer::new(app).bind("127.0.0.1:3000")?.run().await
}

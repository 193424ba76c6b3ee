//! The notebook.

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = switch_actix_session::shared(session_interop::ActixStore::new(
        session_store_sqlite::SqliteStore::open("sessions.db")?,
    ));
    switch_actix_session::serve(store).await
}

//! The notebook.

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = actix_session::storage::CookieSessionStore::default;
    switch_actix_session::serve(store).await
}

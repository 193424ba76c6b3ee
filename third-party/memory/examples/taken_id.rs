//! tower-sessions-sled-store: two sessions are created with one id.

use time::{Duration, OffsetDateTime};
use tower_sessions_core_014::session::{Id, Record};
use tower_sessions_core_014::session_store::{Result, SessionStore};
use tower_sessions_sled_store::SledStore;

#[tokio::main]
async fn main() -> Result<()> {
    let database = sled::Config::new().temporary(true).open().expect("a temporary database");
    let store = SledStore::new(database.open_tree("session").expect("a tree"));
    let (id, expiry_date) = (Id::default(), OffsetDateTime::now_utc() + Duration::days(1));

    for user in ["alice", "bob"] {
        let data = [("user".to_owned(), user.into())].into();
        let mut session = Record { id, data, expiry_date };
        store.create(&mut session).await?;
        println!("create for {user} kept the id: {}", session.id == id);
    }
    println!("the session is {}'s", store.load(&id).await?.expect("it was created").data["user"]);
    Ok(())
}

//! A visitor returns: the session and the name are in one row of the application's table.

use delegate_example::{Visitors, locate};
use session_manager::{IdUpdate, Sessions};
use session_store_delegate::{DelegateConfig, DelegateStore};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the example prints its steps")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("site.db");
    let visitors = Visitors::open(&path, None)?;
    let sessions =
        Sessions::new(DelegateStore::pooled(DelegateConfig::new(visitors.clone()).mapping(locate)))?;

    let session = sessions.load(None).await?;
    session.insert("cart", &["a book"])?;
    let created = sessions.finish(&session).await?;
    println!("{:?}", created.outcome);
    let IdUpdate::Set { id, .. } = session.id_update() else {
        return Err("a new session has an id for the client".into());
    };

    // The hash of the session id is the id of the row.
    let visitor = id.key();
    visitors.rename(visitor.id(), "Ada")?;

    let session = sessions.load(id).await?;
    let cart: Vec<String> = session.get("cart")?.unwrap_or_default();
    println!("{} has {cart:?} in the cart", visitors.name(visitor.id())?.unwrap_or_default());

    // A rotation gives the session another id and so another row. The application moves the name.
    session.rotate()?;
    println!("{:?}", sessions.finish(&session).await?.outcome);
    let IdUpdate::Set { id, .. } = session.id_update() else {
        return Err("a session that was rotated has an id for the client".into());
    };
    let before = visitor;
    let visitor = id.key();
    visitors.move_name(before.id(), visitor.id())?;

    let session = sessions.load(id).await?;
    session.destroy("logout").await?;
    let ended = !sessions.load(id).await?.exists()?;
    let name = visitors.name(visitor.id())?;
    println!("the session has ended: {ended}; the visitor's name is still there: {name:?}");
    Ok(())
}

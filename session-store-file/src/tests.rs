//! What only a kernel or a file system without the newer calls would show.

use session_core::{Condition, Driver as _, Key, Prefix, Record, Revision};

use crate::store::Inner;
use crate::{Config, File};

#[tokio::test]
async fn without_openat2_and_without_exchange_it_works_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let mut inner = Inner::open(Config::new(directory.path())).unwrap();
    inner.root.resolve_by_hand();
    inner.flags = false;
    inner.root.is_unsteady();
    let store = File::with(inner);
    let revision = |n: u8| Revision::from_bytes([n; 8]);
    let record = |n| Record::new(vec![n; 100], None, revision(n));
    let key = Key::parse("user:alice").unwrap();
    assert_eq!(store.retrieve(&key).await.unwrap(), None);
    assert!(store.store(&key, record(1), Condition::Absent).await.unwrap().is_yes());
    assert!(store.store(&key, record(2), Condition::Revision(revision(1))).await.unwrap().is_yes());
    assert!(store.touch(&key, revision(2), revision(3), None).await.unwrap());
    let expected = Record { revision: revision(3), ..record(2) };
    assert_eq!(store.retrieve(&key).await.unwrap(), Some(expected));
    assert_eq!(store.count(&Prefix::new("user").unwrap()).await.unwrap(), 1);

    // A link in any part of the path is refused, not followed.
    let elsewhere = tempfile::tempdir().unwrap();
    let place = crate::place::Place::of(&key);
    let shard = directory.path().join(format!("{:02x}", place.folder.shard()));
    std::fs::rename(&shard, elsewhere.path().join("moved")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("moved"), &shard).unwrap();
    assert!(store.retrieve(&key).await.is_err());
    assert!(store.store(&key, record(9), Condition::Any).await.is_err());
    std::fs::remove_file(&shard).unwrap();
    std::fs::rename(elsewhere.path().join("moved"), &shard).unwrap();
    assert!(store.remove(&key, Condition::Any).await.unwrap().is_yes());
    assert_eq!(store.retrieve(&key).await.unwrap(), None);
}

//! The values of the fields, and other fields of the same object.

use bytes::Bytes;
use session_core::Condition::{Absent, Any, Revision as At};
use session_core::{Applied, Change, Driver, Purged, StoreErrorKind, Touch};
use session_store_delegate::Value;

use super::{NOW, expiring, key, record, rev, store};

fn bytes(length: usize) -> Value {
    Value::Bytes(Bytes::from(vec![1; length]))
}

#[tokio::test]
async fn a_record_is_three_fields() {
    let (store, model, _) = store();
    assert!(store.store(&key("session:one"), expiring(1), Any).await.unwrap().is_applied());
    model.object("one", |object| {
        assert_eq!(object["session"], bytes(1));
        assert_eq!(object["expires"], Value::Number(NOW.as_millis() + 60_000));
        assert_eq!(object["revision"], bytes(8));
    });
    assert!(store.store(&key("session:one"), record(2), Any).await.unwrap().is_applied());
    model.object("one", |object| assert!(!object.contains_key("expires"), "no deadline is an empty field"));
}

#[tokio::test]
async fn a_damaged_field_is_corrupt_until_replaced_or_removed() {
    let one = key("session:one");
    let damages: [(&str, Option<Value>); 12] = [
        ("session", None),
        ("session", Some(Value::Number(7))),
        ("session", Some(Value::Damaged)),
        ("expires", Some(bytes(8))),
        ("expires", Some(bytes(0))),
        ("expires", Some(Value::Damaged)),
        ("revision", None),
        ("revision", Some(bytes(0))),
        ("revision", Some(bytes(7))),
        ("revision", Some(bytes(9))),
        ("revision", Some(Value::Number(1))),
        ("revision", Some(Value::Damaged)),
    ];
    for (field, value) in damages {
        let (store, model, _) = store();
        let damage = || {
            model.object("one", |object| match value.clone() {
                Some(value) => object.insert(field.into(), value),
                None => object.remove(field),
            })
        };
        assert!(store.store(&one, expiring(1), Any).await.unwrap().is_applied());
        damage();
        let before = model.object("one", |object| object.clone());
        let what = format!("{field}: {value:?}");
        let corrupt = |error: session_core::StoreError| {
            assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Corrupt, Applied::No), "{what}");
        };
        corrupt(store.retrieve(&one).await.unwrap_err());
        corrupt(store.store(&one, record(2), Absent).await.unwrap_err());
        if field != "session" {
            corrupt(store.store(&one, record(2), At(rev(1))).await.unwrap_err());
            corrupt(store.remove(&one, At(rev(1))).await.unwrap_err());
            corrupt(store.touch(&one, Touch { from: rev(1), to: rev(2), deadline: None }).await.unwrap_err());
        }
        assert_eq!(model.object("one", |object| object.clone()), before, "{what}");
        // Changes without a condition replace or remove it.
        assert!(store.store(&one, record(2), Any).await.unwrap().is_applied(), "{what}");
        assert_eq!(store.retrieve(&one).await.unwrap(), Some(record(2)), "{what}");
        damage();
        assert!(store.remove(&one, Any).await.unwrap().is_applied(), "{what}");
        assert!(!model.has("one"), "{what}");
        assert_eq!(store.remove(&one, Any).await.unwrap(), Change::Conflict(None), "{what}");
    }
}

/// A missing revision and damaged ones.
fn damaged_revisions() -> [Option<Value>; 4] {
    [None, Some(bytes(3)), Some(Value::Number(1)), Some(Value::Damaged)]
}

#[tokio::test]
async fn an_expired_record_is_absent_even_if_damaged() {
    let one = key("session:one");
    for revision in damaged_revisions() {
        let (store, model, clock) = store();
        let expired = || {
            model.object("one", |object| {
                object.insert("session".into(), bytes(1));
                object.insert("expires".into(), Value::Number(NOW.as_millis()));
                match revision.clone() {
                    Some(value) => object.insert("revision".into(), value),
                    None => object.remove("revision"),
                }
            });
        };
        clock.set(super::later());
        let what = format!("{revision:?}");
        expired();
        assert_eq!(store.retrieve(&one).await.unwrap(), None, "{what}");
        assert!(!store.touch(&one, Touch { from: rev(1), to: rev(2), deadline: None }).await.unwrap());
        assert_eq!(store.store(&one, record(2), At(rev(1))).await.unwrap(), Change::Conflict(None));
        assert_eq!(store.remove(&one, At(rev(1))).await.unwrap(), Change::Conflict(None));
        assert!(store.remove(&one, Absent).await.unwrap().is_applied());
        assert!(model.has("one"), "{what}");
        // The answer is that no record was live, and its fields are emptied.
        assert_eq!(store.remove(&one, Any).await.unwrap(), Change::Conflict(None), "{what}");
        assert!(!model.has("one"), "{what}");

        expired();
        assert_eq!(store.purge(10).await.unwrap(), Purged { removed: 1, more: false }, "{what}");
        assert!(!model.has("one"), "{what}");

        expired();
        let created = store.store(&one, record(2), Absent).await;
        if revision.is_none() {
            assert!(created.unwrap().is_applied());
        } else {
            // Without a comparison, two such stores might both succeed.
            assert_eq!(created.unwrap_err().kind(), StoreErrorKind::Corrupt, "{what}");
        }
        assert!(store.store(&one, record(2), Any).await.unwrap().is_applied());
        assert_eq!(store.retrieve(&one).await.unwrap(), Some(record(2)));
    }
}

#[tokio::test]
async fn a_purge_skips_listed_records_that_are_live() {
    let (store, model, clock) = store();
    for (id, record) in
        [("a", record(1)), ("b", record(1)), ("c", expiring(1)), ("d", expiring(1)), ("e", expiring(1))]
    {
        assert!(store.store(&key(&format!("session:{id}")), record, Any).await.unwrap().is_applied());
    }
    clock.set(super::later());
    // Listed as expired, but live: the driver leaves them alone.
    model.lists("a");
    model.lists("b");
    let mut rounds = Vec::new();
    for (limit, removed, more) in [(0, 0, true), (1, 1, true), (1, 1, true), (3, 1, false), (2, 0, false)] {
        let purged = store.purge(limit).await.unwrap();
        rounds.push((limit, purged.removed, purged.more));
        assert_eq!((purged.removed, purged.more), (removed, more), "{rounds:?}");
    }
    assert!(model.has("a") && model.has("b") && !model.has("c") && !model.has("d") && !model.has("e"));
}

#[tokio::test]
async fn prefixes_share_an_object_and_no_field() {
    let (store, model, _) = store();
    let (session, flash) = (key("session:one"), key("flash:one"));
    model.object("one", |object| object.insert("name".into(), bytes(3)));
    assert!(store.store(&session, record(1), Absent).await.unwrap().is_applied());
    assert!(store.store(&flash, expiring(2), Absent).await.unwrap().is_applied());
    assert!(store.store(&session, record(3), At(rev(1))).await.unwrap().is_applied());
    assert_eq!(store.retrieve(&flash).await.unwrap(), Some(expiring(2)));
    assert!(store.touch(&flash, Touch { from: rev(2), to: rev(4), deadline: None }).await.unwrap());
    assert_eq!(store.retrieve(&session).await.unwrap(), Some(record(3)));

    assert!(store.remove(&session, At(rev(3))).await.unwrap().is_applied());
    assert!(store.retrieve(&flash).await.unwrap().is_some());
    model.object("one", |object| assert_eq!(object.len(), 3, "a name and a flash without a deadline"));
    assert!(store.remove(&flash, Any).await.unwrap().is_applied());
    model.object("one", |object| assert_eq!(object.keys().collect::<Vec<_>>(), ["name"]));
    model.object("one", |object| object.clear());
    assert!(store.store(&flash, record(5), Absent).await.unwrap().is_applied());
    assert!(store.remove(&flash, Any).await.unwrap().is_applied());
    assert!(!model.has("one"), "an empty object is removed");
}

#[tokio::test]
async fn no_debug_shows_data() {
    let secret = Value::Bytes(Bytes::from_static(b"secret"));
    assert_eq!(format!("{secret:?}"), "Bytes(6 of them)");
    let (store, _, _) = store();
    assert_eq!(format!("{store:?}"), "DelegateStore { closed: false, .. }");
}

//! Traversals through a migration.

use session_conformance::testing::{MapDriver, block_on};
use session_core::{Condition, Cursor, Driver, DriverExt as _, Key, Prefix, SystemClock};
use session_migrate::{CopyOptions, Migrating, Originals, copy};

use crate::stores::{fill, key, numbered};

/// All keys, with `between` after each page.
async fn walk(driver: &impl Driver, mut between: impl AsyncFnMut(usize)) -> Vec<Key> {
    let (mut keys, mut next, mut pages) = (Vec::new(), Some(Cursor::start()), 0);
    while let Some(from) = next {
        let page = driver.traverse(&Prefix::SESSION, from, 10).await.unwrap();
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        next = page.next;
        pages += 1;
        between(pages).await;
    }
    keys.sort();
    keys
}

#[test]
fn records_that_move_between_pages_are_reported() {
    block_on(async {
        for moment in 1..=12 {
            let (old, new) = (MapDriver::new(SystemClock), MapDriver::new(SystemClock));
            fill(&old, "session", 100).await;
            let migrating = Migrating::open(old.clone(), new.clone()).await.unwrap();
            let mut keys = walk(&migrating, async |page| {
                if page == moment {
                    let options = CopyOptions::default();
                    copy(&old, &new, Originals::Remove, options, |_| {}).await.unwrap();
                }
            })
            .await;
            keys.dedup();
            assert_eq!(keys, (0..100).map(|number| key("session", number)).collect::<Vec<_>>(), "{moment}");
        }
    });
}

#[test]
fn kept_originals_are_counted_once() {
    block_on(async {
        let (old, new) = (MapDriver::new(SystemClock), MapDriver::new(SystemClock));
        fill(&old, "session", 100).await;
        let migrating = Migrating::open(old.clone(), new.clone()).await.unwrap();
        copy(&old, &new, Originals::Keep, CopyOptions::default(), |_| {}).await.unwrap();
        assert!(
            migrating
                .store(&key("session", 200), numbered(200), Condition::Absent)
                .await
                .unwrap()
                .is_applied()
        );
        assert_eq!(migrating.count(&Prefix::SESSION).await.unwrap(), 101);
        assert_eq!(walk(&migrating, async |_| {}).await.len(), 101);
        assert_eq!(migrating.clear(&Prefix::SESSION).await.unwrap(), 101);
        assert_eq!((old.all().len(), new.all().len()), (0, 0));
    });
}

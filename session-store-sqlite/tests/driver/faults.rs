//! Damage, locks and full disks: a typed error for whom it concerns, and nothing else.

use std::error::Error as _;
use std::fs;
use std::future::Future;
use std::io::{Seek, SeekFrom, Write};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use session_core::{
    Applied, Change, Condition, Cursor, Driver, DriverExt, Prefix, Record, Revision, StoreError,
    StoreErrorKind, Touch,
};
use session_store_sqlite::SqliteStore;

use crate::{Place, at, key, record, run};

/// Nothing of a key or of data in any text of an error.
fn shows_nothing(error: &StoreError) {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!("{next} {next:?}"));
        cause = next.source();
    }
    assert!(!text.contains("s3cr3t") && !text.contains("pr1vate"), "{text}");
}

fn failed<T: std::fmt::Debug>(answer: Result<T, StoreError>, kind: StoreErrorKind, applied: Applied) {
    let error = answer.unwrap_err();
    shows_nothing(&error);
    assert_eq!((error.kind(), error.applied()), (kind, applied), "{error:?}");
}

#[test]
fn a_damaged_row_is_corrupt_stays_as_it_is_and_can_be_replaced_or_removed() {
    let place = Place::new();
    let store = place.open();
    let secret = key("s3cr3t");
    run(async {
        let old = record("pr1vate");
        let damage = |sql: &str| assert_eq!(place.raw().execute(sql, []).unwrap(), 1);
        let corrupt = |answer| failed(answer, StoreErrorKind::Corrupt, Applied::No);
        for change in [0, 1] {
            assert!(store.store(&secret, old.clone(), Condition::Any).await.unwrap().is_applied());
            damage("UPDATE records SET revision = x'0102'");
            corrupt(store.retrieve(&secret).await.map(drop));
            corrupt(store.store(&secret, record("x"), Condition::Absent).await.map(drop));
            corrupt(store.store(&secret, record("x"), Condition::Revision(old.revision)).await.map(drop));
            corrupt(store.remove(&secret, Condition::Revision(old.revision)).await.map(drop));
            corrupt(
                store
                    .touch(
                        &secret,
                        Touch { from: old.revision, to: Revision::random().unwrap(), deadline: None },
                    )
                    .await
                    .map(drop),
            );
            let page = store.traverse(&Prefix::new("test").unwrap(), Cursor::start(), 10).await.unwrap();
            assert_eq!((page.entries.len(), page.entries[0].revision), (1, None));
            if change == 0 {
                assert!(store.store(&secret, old.clone(), Condition::Any).await.unwrap().is_applied());
                assert_eq!(store.retrieve(&secret).await.unwrap().as_ref(), Some(&old));
            } else {
                assert!(store.remove(&secret, Condition::Any).await.unwrap().is_applied());
                assert_eq!(store.retrieve(&secret).await.unwrap(), None);
            }
        }
    });
}

#[test]
fn columns_of_wrong_types_and_keys_that_are_none_harm_nobody() {
    let place = Place::new();
    run(place.open().close()).unwrap();
    // A copy of the table without the types that STRICT would enforce, as a careless restore may make it.
    place
        .raw()
        .execute_batch(
            "DROP TABLE records;
             CREATE TABLE records (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, revision, deadline, due INTEGER, data);
             INSERT INTO records (key, revision, deadline, data) VALUES
               (CAST('test:a' AS BLOB), 7, NULL, x'00'), (CAST('test:b' AS BLOB), x'0102030405060708', 'soon', x'00'),
               (CAST('test:c' AS BLOB), x'0102030405060708', NULL, 1.5), (CAST('test:' AS BLOB), x'01', 1, x'00'),
               (x'746573743aff', x'01', NULL, x'00'), (CAST('test:d' AS BLOB), x'0102030405060708', NULL, x'01');",
        )
        .unwrap();
    let store = place.open();
    run(async {
        for id in ["a", "b", "c"] {
            failed(store.retrieve(&key(id)).await, StoreErrorKind::Corrupt, Applied::No);
        }
        assert_eq!(&*store.retrieve(&key("d")).await.unwrap().unwrap().data, &[1]);
        let prefix = Prefix::new("test").unwrap();
        let page = store.traverse(&prefix, Cursor::start(), 10).await.unwrap();
        let keys: Vec<_> = page.entries.iter().map(|entry| entry.key.id().to_owned()).collect();
        assert_eq!(keys, ["a", "b", "c", "d"]);
        store.clear(&prefix).await.unwrap();
        assert_eq!(store.count(&prefix).await.unwrap(), 0);
    });
}

#[test]
fn a_damaged_page_fails_those_whose_records_it_held_and_no_others() {
    let place = Place::new();
    run(async {
        let store = place.open();
        for n in 0..200 {
            let id = key(&format!("s3cr3t{n:03}"));
            let stored = store.store(&id, record(vec![b'x'; 1500]), Condition::Any);
            assert!(stored.await.unwrap().is_applied());
        }
        store.close().await.unwrap();
        // The page of the table that the 100th record is on.
        let page: u32 = 1
            + (fs::read(place.path()).unwrap().chunks(4096))
                .position(|page| page.windows(14).any(|window| window == b"test:s3cr3t100") && page[0] == 13)
                .unwrap() as u32;
        let mut file = fs::OpenOptions::new().write(true).open(place.path()).unwrap();
        file.seek(SeekFrom::Start(u64::from(page - 1) * 4096)).unwrap();
        file.write_all(&[0xee; 64]).unwrap();
        drop(file);

        let store = place.open();
        let (mut corrupt, mut fine) = (0, 0);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..200 {
            let store = store.clone();
            tasks.spawn(async move {
                let key = key(&format!("s3cr3t{n:03}"));
                (
                    n,
                    store.retrieve(&key).await.map(drop),
                    store.store(&key, record("y"), Condition::Any).await,
                )
            });
        }
        while let Some(answer) = tasks.join_next().await {
            let (n, read, written) = answer.unwrap();
            if read.is_ok() {
                assert!(written.unwrap().is_applied());
                fine += 1;
            } else {
                failed(read, StoreErrorKind::Corrupt, Applied::No);
                failed(written, StoreErrorKind::Corrupt, Applied::No);
                assert!((90..110).contains(&n));
                corrupt += 1;
            }
        }
        assert!((1..=4).contains(&corrupt) && fine >= 196, "{corrupt} corrupt, {fine} fine");
    });
}

#[test]
fn while_another_connection_holds_the_lock_reads_go_on_and_writes_wait_until_the_deadline() {
    let place = Place::new();
    let store = SqliteStore::open(place.config().busy_timeout(Duration::from_millis(100))).unwrap();
    run(async {
        let old = record("pr1vate");
        assert!(store.store(&key("s3cr3t"), old.clone(), Condition::Any).await.unwrap().is_applied());
        let other = place.raw();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(store.retrieve(&key("s3cr3t")).await.unwrap().as_ref(), Some(&old));
        for _ in 0..2 {
            let answer = store.store(&key("s3cr3t"), record("x"), Condition::Any).await;
            failed(answer, StoreErrorKind::Unavailable, Applied::No);
        }
        failed(store.purge(10).await, StoreErrorKind::Unavailable, Applied::No);
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(store.retrieve(&key("s3cr3t")).await.unwrap().as_ref(), Some(&old));
        assert!(
            store
                .store(&key("s3cr3t"), record("x"), Condition::Revision(old.revision))
                .await
                .unwrap()
                .is_applied()
        );
    });
}

#[test]
fn a_write_that_waited_for_a_lock_is_made_when_the_lock_goes() {
    let place = Place::new();
    let store = SqliteStore::open(place.config().busy_timeout(Duration::from_secs(3600))).unwrap();
    run(async {
        let other = place.raw();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let writes: Vec<_> = (0..20)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    store.store(&key(&n.to_string()), record("x"), Condition::Absent).await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(40)).await;
        assert_eq!(store.retrieve(&key("0")).await.unwrap(), None);
        other.execute_batch("COMMIT").unwrap();
        for write in writes {
            assert!(write.await.unwrap().unwrap().is_applied());
        }
    });
}

#[test]
fn a_full_file_refuses_what_does_not_fit_and_keeps_the_rest() {
    let place = Place::new();
    let store = SqliteStore::open(place.config().max_bytes(Some(1 << 20))).unwrap();
    run(async {
        let keep = record("pr1vate");
        assert!(store.store(&key("s3cr3t"), keep.clone(), Condition::Any).await.unwrap().is_applied());
        for round in 0..20 {
            // Small ones that fit, and large ones that do not, in the same transactions.
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..64 {
                let store = store.clone();
                let large = n % 8 == 3;
                tasks.spawn(async move {
                    let data = vec![b'x'; if large { 2 << 20 } else { 100 }];
                    (large, store.store(&key(&format!("{round}-{n}")), record(data), Condition::Absent).await)
                });
            }
            while let Some(answer) = tasks.join_next().await {
                match answer.unwrap() {
                    (true, answer) => failed(answer, StoreErrorKind::Full, Applied::No),
                    (false, answer) => assert!(answer.unwrap().is_applied()),
                }
            }
        }
        assert_eq!(store.count(&Prefix::new("test").unwrap()).await.unwrap(), 1 + 20 * 56);
        failed(
            store.store(&key("s3cr3t"), record(vec![0; 2 << 20]), Condition::Any).await,
            StoreErrorKind::Full,
            Applied::No,
        );
        assert_eq!(store.retrieve(&key("s3cr3t")).await.unwrap(), Some(keep));
        // Full to the brim, then room again.
        let mut n = 0;
        let full = loop {
            n += 1;
            match store.store(&key(&format!("fill{n}")), record(vec![0; 3000]), Condition::Any).await {
                Ok(stored) => assert!(stored.is_applied()),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), StoreErrorKind::Full);
        assert!(store.clear(&Prefix::new("test").unwrap()).await.unwrap() > 1000);
        assert!(
            store.store(&key("again"), record(vec![0; 3000]), Condition::Any).await.unwrap().is_applied()
        );
    });
}

#[test]
fn data_that_is_too_large_is_refused_and_the_old_stays() {
    let place = Place::new();
    let store = SqliteStore::open(place.config().max_record_bytes(1000)).unwrap();
    run(async {
        let old = record(vec![7; 1000]);
        assert!(store.store(&key("s3cr3t"), old.clone(), Condition::Any).await.unwrap().is_applied());
        let answer = store.store(&key("s3cr3t"), record(vec![0; 1001]), Condition::Any).await;
        failed(answer, StoreErrorKind::TooLarge, Applied::No);
        assert_eq!(store.retrieve(&key("s3cr3t")).await.unwrap(), Some(old));
    });
}

#[test]
fn a_full_queue_is_said_and_nothing_of_it_is_lost() {
    let place = Place::new();
    let config = place.config().max_queue(5, 1 << 20).busy_timeout(Duration::from_secs(3600));
    let store = SqliteStore::open(config).unwrap();
    run(async {
        let other = place.raw();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let ids: Vec<_> = (0..50).map(|n| key(&n.to_string())).collect();
        let mut writes = Vec::new();
        let mut refused = 0;
        for id in &ids {
            let mut write = Box::pin(store.store(id, record("x"), Condition::Absent));
            match write.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => writes.push(write),
                Poll::Ready(answer) => {
                    failed(answer, StoreErrorKind::Unavailable, Applied::No);
                    refused += 1;
                }
            }
        }
        // The thread has taken some of them out of the queue to try them, and then others came in.
        assert!(refused > 0 && writes.len() >= 5, "{refused} refused, {} queued", writes.len());
        other.execute_batch("COMMIT").unwrap();
        let made = writes.len() as u64;
        for write in writes {
            assert!(write.await.unwrap().is_applied());
        }
        assert_eq!(store.count(&Prefix::new("test").unwrap()).await.unwrap(), made);
    });
}

#[test]
fn an_expired_row_is_absent_for_every_operation_before_it_is_purged() {
    let place = Place::new();
    let clock = session_core::TestClock::new(session_core::Timestamp::from_millis(1_000));
    let store = SqliteStore::open(place.config().clock(std::sync::Arc::new(clock.clone()))).unwrap();
    run(async {
        let old = Record { expires: at(2_000), ..record("x") };
        assert!(store.store(&key("a"), old.clone(), Condition::Absent).await.unwrap().is_applied());
        clock.advance(Duration::from_millis(999));
        assert_eq!(store.retrieve(&key("a")).await.unwrap().as_ref(), Some(&old));
        clock.advance(Duration::from_millis(1));
        assert_eq!(store.retrieve(&key("a")).await.unwrap(), None);
        let gone = Change::Conflict(None);
        assert_eq!(
            store.store(&key("a"), record("y"), Condition::Revision(old.revision)).await.unwrap(),
            gone
        );
        assert_eq!(store.remove(&key("a"), Condition::Any).await.unwrap(), gone);
        assert!(
            !store
                .touch(&key("a"), Touch { from: old.revision, to: old.revision, deadline: at(9_000) })
                .await
                .unwrap()
        );
        assert!(store.remove(&key("a"), Condition::Absent).await.unwrap().is_applied());
        assert_eq!(store.count(&Prefix::new("test").unwrap()).await.unwrap(), 0);
        assert_eq!(store.clear(&Prefix::new("test").unwrap()).await.unwrap(), 0);
        assert!(store.store(&key("a"), record("z"), Condition::Absent).await.unwrap().is_applied());
    });
}

#[test]
fn a_failure_to_synchronise_is_told_until_everything_is_written_again() {
    let place = Place::new();
    let store = SqliteStore::open(place.config().sync_every(Duration::from_millis(10))).unwrap();
    let log = place.directory.path().join("sessions.db-wal");
    let away = place.directory.path().join("away");
    run(async {
        assert!(store.store(&key("a"), record("x"), Condition::Any).await.unwrap().is_applied());
        // The log cannot be synchronised while it is elsewhere, neither now and then nor by `flush`.
        fs::rename(&log, &away).unwrap();
        for _ in 0..3 {
            assert!(store.store(&key("a"), record("y"), Condition::Any).await.unwrap().is_applied());
            tokio::time::sleep(Duration::from_millis(20)).await;
            let error = store.flush().await.unwrap_err();
            shows_nothing(&error);
            assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Backend, Applied::No), "{error:?}");
        }
        fs::rename(&away, &log).unwrap();
        store.flush().await.unwrap();
        store.close().await.unwrap();
    });
    let file = rusqlite::Connection::open(place.directory.path().join("sessions.db")).unwrap();
    let rows: i64 = file.query_row("SELECT count(*) FROM records", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

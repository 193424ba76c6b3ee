//! Damage, locks and full disks: a typed error for the affected call, and no effect on others.

use std::error::Error as _;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::time::Duration;

use session_conformance::testing::{FreshPath, poll_once};
use session_core::{
    Applied, Condition, Cursor, Driver, DriverExt, Revision, StoreError, StoreErrorKind, Touch,
};
use session_store_sqlite::SqliteStore;

use crate::{Database, key, prefix, record, run};

/// No error text shows the key or the data.
fn shows_nothing(error: &StoreError) {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!("{next} {next:?}"));
        cause = next.source();
    }
    assert!(!text.contains("s3cr3t") && !text.contains("pr1vate"), "{text}");
}

#[track_caller]
fn failed<T: std::fmt::Debug>(answer: Result<T, StoreError>, kind: StoreErrorKind) {
    let error = answer.unwrap_err();
    shows_nothing(&error);
    assert_eq!((error.kind(), error.applied()), (kind, Applied::No), "{error:?}");
}

#[test]
fn a_damaged_row_is_corrupt_until_replaced_or_removed() {
    let file = Database::new();
    let store = file.open();
    let secret = key("s3cr3t");
    run(async {
        let old = record("pr1vate");
        let at_old = Condition::Revision(old.revision);
        let touch = Touch { from: old.revision, to: Revision::random().unwrap(), deadline: None };
        for replaced in [true, false] {
            assert!(store.store(&secret, old.clone(), Condition::Any).await.unwrap().is_applied());
            assert_eq!(file.raw().execute("UPDATE records SET revision = x'0102'", []).unwrap(), 1);
            failed(store.retrieve(&secret).await, StoreErrorKind::Corrupt);
            failed(store.store(&secret, record("x"), Condition::Absent).await, StoreErrorKind::Corrupt);
            failed(store.store(&secret, record("x"), at_old).await, StoreErrorKind::Corrupt);
            failed(store.remove(&secret, at_old).await, StoreErrorKind::Corrupt);
            failed(store.touch(&secret, touch).await, StoreErrorKind::Corrupt);
            let page = store.traverse(&prefix(), Cursor::start(), 10).await.unwrap();
            assert_eq!((page.entries.len(), page.entries[0].revision), (1, None));
            if replaced {
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
fn wrong_types_and_foreign_keys_affect_no_other_row() {
    let file = Database::new();
    run(file.open().close()).unwrap();
    // The table without the types that STRICT enforces, as a careless restore may create it.
    file.raw()
        .execute_batch(
            "DROP TABLE records;
             CREATE TABLE records (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, revision, deadline, due INTEGER, data);
             INSERT INTO records (key, revision, deadline, data) VALUES
               (CAST('test:a' AS BLOB), 7, NULL, x'00'), (CAST('test:b' AS BLOB), x'0102030405060708', 'soon', x'00'),
               (CAST('test:c' AS BLOB), x'0102030405060708', NULL, 1.5), (CAST('test:' AS BLOB), x'01', 1, x'00'),
               (x'746573743aff', x'01', NULL, x'00'), (CAST('test:d' AS BLOB), x'0102030405060708', NULL, x'01');",
        )
        .unwrap();
    let store = file.open();
    run(async {
        for id in ["a", "b", "c"] {
            failed(store.retrieve(&key(id)).await, StoreErrorKind::Corrupt);
        }
        assert_eq!(&*store.retrieve(&key("d")).await.unwrap().unwrap().data, &[1]);
        for limit in [1, 10] {
            let (mut ids, mut next) = (Vec::new(), Some(Cursor::start()));
            while let Some(cursor) = next {
                let page = store.traverse(&prefix(), cursor, limit).await.unwrap();
                ids.extend(page.entries.iter().map(|entry| entry.key.id().to_owned()));
                next = page.next;
            }
            assert_eq!(ids, ["a", "b", "c", "d"], "in pages of {limit}");
        }
        assert_eq!(store.clear(&prefix()).await.unwrap(), 4);
        assert_eq!(store.count(&prefix()).await.unwrap(), 0);
    });
}

#[test]
fn a_damaged_page_fails_only_its_own_records() {
    let file = Database::new();
    run(async {
        let store = file.open();
        for n in 0..200 {
            let key = key(format!("s3cr3t{n:03}"));
            let stored = store.store(&key, record(vec![b'x'; 1500]), Condition::Any).await;
            assert!(stored.unwrap().is_applied());
        }
        store.close().await.unwrap();
        // The table page that holds the 100th record.
        let page: u32 = 1
            + (fs::read(file.path()).unwrap().chunks(4096))
                .position(|page| page.windows(14).any(|window| window == b"test:s3cr3t100") && page[0] == 13)
                .unwrap() as u32;
        let mut disk = fs::OpenOptions::new().write(true).open(file.path()).unwrap();
        disk.seek(SeekFrom::Start(u64::from(page - 1) * 4096)).unwrap();
        disk.write_all(&[0xee; 64]).unwrap();
        drop(disk);

        let store = file.open();
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..200 {
            let store = store.clone();
            tasks.spawn(async move {
                let key = key(format!("s3cr3t{n:03}"));
                let read = store.retrieve(&key).await.map(drop);
                (n, read, store.store(&key, record("y"), Condition::Any).await)
            });
        }
        let mut corrupt = 0;
        for (n, read, written) in tasks.join_all().await {
            if read.is_ok() {
                assert!(written.unwrap().is_applied());
            } else {
                failed(read, StoreErrorKind::Corrupt);
                failed(written, StoreErrorKind::Corrupt);
                assert!((90..110).contains(&n));
                corrupt += 1;
            }
        }
        assert!((1..=4).contains(&corrupt), "{corrupt} corrupt");
    });
}

#[test]
fn a_waiting_write_succeeds_when_the_lock_is_released() {
    let file = Database::new();
    let store = SqliteStore::open(file.config().busy_timeout(Duration::from_secs(3600))).unwrap();
    run(async {
        let other = file.locked();
        let mut writes = tokio::task::JoinSet::new();
        for n in 0..20 {
            let store = store.clone();
            writes.spawn(async move { store.store(&key(n), record("x"), Condition::Absent).await });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(store.retrieve(&key(0)).await.unwrap(), None);
        other.execute_batch("COMMIT").unwrap();
        for write in writes.join_all().await {
            assert!(write.unwrap().is_applied());
        }
    });
}

#[test]
fn a_full_file_refuses_only_the_large_writes() {
    let file = Database::new();
    let store = SqliteStore::open(file.config().max_bytes(1 << 20)).unwrap();
    run(async {
        let keep = record("pr1vate");
        assert!(store.store(&key("s3cr3t"), keep.clone(), Condition::Any).await.unwrap().is_applied());
        for round in 0..20 {
            // Small records that fit and large ones that do not, in the same transactions.
            let mut tasks = tokio::task::JoinSet::new();
            for n in 0..64 {
                let store = store.clone();
                let large = n % 8 == 3;
                tasks.spawn(async move {
                    let data = vec![b'x'; if large { 2 << 20 } else { 100 }];
                    (large, store.store(&key(format!("{round}-{n}")), record(data), Condition::Absent).await)
                });
            }
            for (large, answer) in tasks.join_all().await {
                if large {
                    failed(answer, StoreErrorKind::Full);
                } else {
                    assert!(answer.unwrap().is_applied());
                }
            }
        }
        assert_eq!(store.count(&prefix()).await.unwrap(), 1 + 20 * 56);
        assert_eq!(store.retrieve(&key("s3cr3t")).await.unwrap(), Some(keep));
        // Completely full, then room again.
        let mut n = 0;
        let full = loop {
            n += 1;
            match store.store(&key(format!("fill{n}")), record(vec![0; 3000]), Condition::Any).await {
                Ok(stored) => assert!(stored.is_applied()),
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), StoreErrorKind::Full);
        assert!(store.clear(&prefix()).await.unwrap() > 1000);
        let again = store.store(&key("again"), record(vec![0; 3000]), Condition::Any).await;
        assert!(again.unwrap().is_applied());
    });
}

/// The log has taken the disk, so its checkpoint finds no room in the file.
#[test]
fn checkpoint_on_a_full_disk_is_full_until_there_is_room() {
    let disk = FreshPath::on_small_disk("sessions.db", 4 << 20);
    let file = Database(disk.expect("run this test as root, or under `unshare -r -m`"));
    let store = file.open();
    let mut count = 0;
    run(async {
        let full = loop {
            match store.store(&key(count), record(vec![b'x'; 16 << 10]), Condition::Absent).await {
                Ok(stored) => assert!(stored.is_applied()),
                Err(error) => break error,
            }
            count += 1;
        };
        failed::<()>(Err(full), StoreErrorKind::Full);
        // The checkpoint runs on the driver's own thread.
        let flush = async {
            loop {
                match store.flush().await {
                    Ok(()) => tokio::time::sleep(Duration::from_millis(5)).await,
                    Err(error) => return error,
                }
            }
        };
        let flushed = tokio::time::timeout(Duration::from_secs(60), flush).await;
        failed::<()>(Err(flushed.expect("a flush meets the full disk")), StoreErrorKind::Full);
        for number in 0..count {
            assert!(store.retrieve(&key(number)).await.unwrap().is_some(), "{number} of {count}");
        }
        file.0.resize_disk(64 << 20).unwrap();
        store.flush().await.unwrap();
        store.close().await.unwrap();
    });
    let rows: u32 = file.raw().query_row("SELECT count(*) FROM records", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, count);
}

#[test]
fn a_full_queue_refuses_changes_and_loses_none() {
    let file = Database::new();
    let config = file.config().max_queue(5).busy_timeout(Duration::from_secs(3600));
    let store = SqliteStore::open(config).unwrap();
    run(async {
        let other = file.locked();
        let ids: Vec<_> = (0..50).map(key).collect();
        let mut writes = Vec::new();
        let mut refused = 0;
        for id in &ids {
            let mut write = Box::pin(store.store(id, record("x"), Condition::Absent));
            match poll_once(write.as_mut()) {
                None => writes.push(write),
                Some(answer) => {
                    failed(answer, StoreErrorKind::Unavailable);
                    refused += 1;
                }
            }
        }
        // The thread has taken some of them out of the queue, and others came in.
        assert!(refused > 0 && writes.len() >= 5, "{refused} refused, {} queued", writes.len());
        other.execute_batch("COMMIT").unwrap();
        let made = writes.len() as u64;
        for write in writes {
            assert!(write.await.unwrap().is_applied());
        }
        assert_eq!(store.count(&prefix()).await.unwrap(), made);
    });
}

#[test]
fn a_failed_sync_is_reported_until_all_is_written_again() {
    let file = Database::new();
    let store = SqliteStore::open(file.config().sync_every(Duration::from_millis(10))).unwrap();
    let away = file.0.beside("away");
    run(async {
        assert!(store.store(&key("a"), record("x"), Condition::Any).await.unwrap().is_applied());
        // While the log is moved away, neither the keeper nor `flush` can synchronize it.
        fs::rename(file.log(), &away).unwrap();
        assert!(store.store(&key("a"), record("y"), Condition::Any).await.unwrap().is_applied());
        tokio::time::sleep(Duration::from_millis(20)).await;
        for _ in 0..3 {
            unavailable(store.flush().await);
            unavailable(store.store(&key("a"), record("z"), Condition::Any).await);
            unavailable(store.retrieve(&key("a")).await);
        }
        fs::rename(&away, file.log()).unwrap();
        store.flush().await.unwrap();
        store.close().await.unwrap();
    });
    let rows: i64 = file.raw().query_row("SELECT count(*) FROM records", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

fn unavailable<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (StoreErrorKind::Unavailable, Applied::No), "{error:?}");
    assert!(error.is_retryable() && error.to_string().contains("sessions.db"), "{error}");
}

/// A deploy or a restored backup. The process must not go on with a file that no other process sees.
#[test]
fn file_that_is_taken_away_is_noticed() {
    for (take, helper) in [
        (fs::remove_file as fn(std::path::PathBuf) -> std::io::Result<()>, ""),
        (|path| fs::rename(&path, path.with_extension("old")), ""),
        (
            |path| {
                fs::copy(&path, path.with_extension("new"))
                    .and_then(|_| fs::rename(path.with_extension("new"), path))
            },
            "",
        ),
        (fs::remove_file, "-wal"),
        (fs::remove_file, "-shm"),
    ] {
        let file = Database::new();
        let store = file.open();
        run(async {
            assert!(store.store(&key("a"), record("x"), Condition::Any).await.unwrap().is_applied());
            let path = file.path();
            take(path.with_file_name(format!("sessions.db{helper}"))).unwrap();
            // The keeper looks every second; a read in between may still see the old file.
            let noticed = async {
                loop {
                    match store.retrieve(&key("a")).await {
                        Ok(found) => assert!(found.is_some()),
                        Err(error) => return unavailable::<()>(Err(error)),
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), noticed).await.unwrap();
            unavailable(store.store(&key("b"), record("x"), Condition::Any).await);
            unavailable(store.traverse(&prefix(), Cursor::start(), 1).await);
            unavailable(store.purge(1).await);
            let closed = store.close().await.unwrap_err();
            assert_eq!(closed.kind(), StoreErrorKind::Unavailable, "{closed}");
        });
    }
}

#[test]
fn renamed_file_is_used_again_once_it_is_back() {
    let file = Database::new();
    let store = file.open();
    run(async {
        assert!(store.store(&key("a"), record("x"), Condition::Any).await.unwrap().is_applied());
        let away = file.0.beside("away");
        fs::rename(file.path(), &away).unwrap();
        unavailable(store.flush().await);
        fs::rename(&away, file.path()).unwrap();
        store.flush().await.unwrap();
        assert!(store.retrieve(&key("a")).await.unwrap().is_some());
        store.close().await.unwrap();
    });
}

//! Copies and comparisons without failures.

use session_conformance::testing::{MapDriver, Probe, block_on};
use session_core::{
    Condition, Driver, DriverExt as _, Key, Operation, Prefix, Record, Revision, StoreErrorKind, SystemClock,
    Timestamp,
};
use session_migrate::{
    CopyOptions, CopyReport, Migrating, Originals, Position, Side, VerifyOptions, copy, prefixes, verify,
};

use crate::stores::{fill, key, numbered};

fn map() -> MapDriver {
    MapDriver::new(SystemClock)
}

/// Checks the report of a copy without losses. A report cannot be written out, because it may gain fields.
fn is_report(report: &CopyReport, copied: u64, present: u64) {
    let CopyReport { gone, different, too_large, damaged, .. } = *report;
    assert_eq!(
        (report.copied, report.present, gone, different, too_large, damaged),
        (copied, present, 0, 0, 0, 0)
    );
    assert!(report.is_complete());
}

#[test]
fn copy_moves_the_records_of_every_prefix() {
    block_on(async {
        let (old, new) = (map(), map());
        for prefix in ["session", "index", "user", "handover"] {
            fill(&old, prefix, 100).await;
        }
        let before = old.all();
        old.put(key("other", 1), numbered(1));
        let mut pages = 0;
        let options = CopyOptions::default().page(30);
        let report = copy(&old, &new, Originals::Remove, options, |_| pages += 1).await.unwrap();
        is_report(&report, 400, 0);
        assert_eq!(report.bytes, before.values().map(|record| record.data.len() as u64).sum::<u64>());
        assert_eq!(pages, 16, "four pages for each prefix");
        assert_eq!(old.all().len(), 1, "the record of a prefix that was not asked for");
        assert_eq!(new.all(), before);

        let verified = verify(&old, &new, VerifyOptions::default(), |_| {}).await.unwrap();
        assert!(verified.is_clean() && verified.equal == 0 && verified.in_new == 400, "{verified:?}");
        let other = VerifyOptions::default().prefixes([Prefix::new("other").unwrap()]);
        let verified = verify(&old, &new, other, |_| {}).await.unwrap();
        assert!(!verified.is_clean() && verified.missing == 1, "{verified:?}");
    });
}

#[test]
fn keeping_copy_leaves_equal_originals_and_can_be_repeated() {
    block_on(async {
        let (old, new) = (map(), map());
        fill(&old, "session", 100).await;
        let before = old.all();
        let report = copy(&old, &new, Originals::Keep, CopyOptions::default(), |_| {}).await.unwrap();
        is_report(&report, 100, 0);
        assert_eq!((old.all(), new.all()), (before.clone(), before));
        let report = copy(&old, &new, Originals::Keep, CopyOptions::default(), |_| {}).await.unwrap();
        is_report(&report, 0, 100);
        let verified = verify(&old, &new, VerifyOptions::default(), |_| {}).await.unwrap();
        assert!(verified.is_clean() && verified.equal == 100 && verified.in_new == 100, "{verified:?}");

        // An application ends one session and changes another. Neither comes back.
        let migrating = Migrating::open(old.clone(), new.clone()).await.unwrap();
        assert!(migrating.remove(&key("session", 1), Condition::Any).await.unwrap().is_applied());
        let newer = numbered(1_000);
        let at = Condition::Revision(numbered(2).revision);
        assert!(migrating.store(&key("session", 2), newer.clone(), at).await.unwrap().is_applied());
        let report = copy(&old, &new, Originals::Keep, CopyOptions::default(), |_| {}).await.unwrap();
        is_report(&report, 0, 98);
        assert_eq!(migrating.retrieve(&key("session", 1)).await.unwrap(), None);
        assert_eq!(migrating.retrieve(&key("session", 2)).await.unwrap(), Some(newer));
        assert_eq!((old.all().len(), new.all().len()), (98, 99));
    });
}

#[test]
fn interrupted_copy_continues_at_its_position() {
    block_on(async {
        let (old, new) = (Probe::new(map()), Probe::new(map()));
        fill(old.inner(), "session", 50).await;
        fill(old.inner(), "user", 50).await;
        // The flush of the seventh page fails: the second page of the second prefix.
        new.plan(Operation::Flush, 7, session_conformance::testing::Fault::Refuse);
        let mut positions = Vec::new();
        let options = CopyOptions::default().page(10);
        let failed = copy(&old, &new, Originals::Remove, options.clone(), |progress| {
            positions.push(progress.position.clone());
        })
        .await
        .unwrap_err();
        assert_eq!(failed.side(), Side::New);
        assert!(failed.store_error().is_retryable());
        assert_eq!(
            (failed.report().copied, old.inner().all().len()),
            (60, 40),
            "no more has left the old store"
        );
        let position = failed.position().unwrap().clone();
        assert_eq!(Some(&Some(position.clone())), positions.last());

        // Through its bytes, as another process gets it.
        let position = Position::from_bytes(&position.to_bytes()).unwrap();
        old.calls();
        let report = copy(&old, &new, Originals::Remove, options.from(position), |_| {}).await.unwrap();
        // The page whose flush failed was stored already.
        is_report(&report, 30, 10);
        assert_eq!((old.inner().all().len(), new.inner().all().len()), (0, 100));
        let traversals = old.operations().into_iter().filter(|call| *call == Operation::Traverse).count();
        assert!(traversals <= 7, "the copy began again: {traversals} pages");
    });
}

#[test]
fn position_of_a_prefix_that_is_not_copied_is_invalid() {
    block_on(async {
        let (old, new) = (map(), map());
        let position = Position::from_bytes(b"\x01\x07session").unwrap();
        let options = CopyOptions::default().prefixes([Prefix::new("user").unwrap()]).from(position);
        let failed = copy(&old, &new, Originals::Remove, options, |_| {}).await.unwrap_err();
        assert_eq!(failed.store_error().kind(), StoreErrorKind::InvalidCursor);
    });
}

#[test]
fn copy_overwrites_nothing() {
    block_on(async {
        let (old, new) = (map(), map());
        fill(&old, "session", 3).await;
        new.put(key("session", 1), numbered(7));
        let report = copy(&old, &new, Originals::Remove, CopyOptions::default(), |_| {}).await.unwrap();
        assert_eq!((report.copied, report.different), (2, 1));
        assert!(!report.is_complete());
        assert_eq!(new.stored(&key("session", 1)), Some(numbered(7)));
        assert_eq!(old.stored(&key("session", 1)), Some(numbered(1)), "it stays for the operator to decide");
    });
}

#[test]
fn verify_counts_each_kind_of_difference() {
    block_on(async {
        let (old, new) = (map(), map());
        fill(&old, "session", 5).await;
        let expected = |number| numbered(number);
        new.put(key("session", 0), expected(0));
        new.put(key("session", 1), Record { data: b"other"[..].into(), ..expected(1) });
        new.put(key("session", 2), Record { expires: None, ..expected(2) });
        new.put(key("session", 3), Record { revision: Revision::from_bytes([9; 8]), ..expected(3) });
        new.put(key("session", 9), expected(9));
        let (all_old, all_new) = (old.all(), new.all());
        let mut pages = 0;
        let report = verify(&old, &new, VerifyOptions::default().page(2), |_| pages += 1).await.unwrap();
        assert_eq!((report.equal, report.missing, report.other_data), (1, 1, 1));
        assert_eq!((report.other_deadline, report.other_revision, report.in_new), (1, 1, 5));
        assert_eq!((report.differences(), report.is_clean()), (4, false));
        assert!(pages >= 6, "reported {pages} pages");
        assert_eq!((old.all(), new.all()), (all_old, all_new), "a comparison changes nothing");
    });
}

#[test]
fn expired_records_stay_behind() {
    block_on(async {
        let (old, new) = (map(), map());
        let past = Record { expires: Some(Timestamp::from_millis(1)), ..numbered(1) };
        old.put(key("session", 1), past);
        old.put(key("session", 2), Record { expires: None, ..numbered(2) });
        let report = copy(&old, &new, Originals::Remove, CopyOptions::default(), |_| {}).await.unwrap();
        is_report(&report, 1, 0);
        assert_eq!(new.all().into_keys().collect::<Vec<_>>(), [key("session", 2)]);
    });
}

#[test]
fn texts_show_no_ids_and_no_data() {
    block_on(async {
        let (old, new) = (map(), Probe::new(map()));
        let secret = Key::parse("session:SecretId").unwrap();
        old.put(secret.clone(), Record::new(&b"SecretData"[..], None, Revision::from_bytes([1; 8])));
        let old_probe = Probe::new(old);
        let mut texts = Vec::new();
        // The page after the first one fails, so that the position contains the key.
        old_probe.inner().put(Key::parse("session:SecretIe").unwrap(), numbered(1));
        old_probe.plan(Operation::Traverse, 2, session_conformance::testing::Fault::Refuse);
        let options = CopyOptions::default().page(1);
        let failed = copy(&old_probe, &new, Originals::Keep, options, |progress| {
            texts.push(format!("{progress:?}"));
        })
        .await
        .unwrap_err();
        let position = failed.position().unwrap();
        assert!(position.to_bytes().windows(8).any(|bytes| bytes == b"SecretId"), "it contains the key");
        let verified = verify(&old_probe, &new, VerifyOptions::default(), |_| {}).await.unwrap();
        texts.extend([failed.to_string(), format!("{failed:?}"), format!("{verified:?}")]);
        assert_eq!(failed.to_string(), "the old store: traverse: the store is unavailable");
        assert!(texts.iter().all(|text| !text.contains("Secret")), "{texts:?}");
    });
}

#[test]
fn default_prefixes_are_those_of_the_session_layer() {
    block_on(async {
        let driver = map();
        let sessions = session_manager::Sessions::builder(driver.clone()).index_users(true).build().unwrap();
        let session = sessions.load(None).await.unwrap();
        session.login("alice").unwrap();
        sessions.finish(&session).await.unwrap();
        let theme = |_: Option<String>| "dark".to_owned();
        sessions.update_user_data("alice", "theme", theme).await.unwrap();
        let stored: std::collections::BTreeSet<_> =
            driver.all().into_keys().map(|key| key.prefix().to_owned()).collect();
        assert_eq!(stored.into_iter().collect::<Vec<_>>(), ["index", "session", "user"]);
        for prefix in ["index", "session", "user", "handover"] {
            assert!(prefixes().contains(&Prefix::new(prefix).unwrap()), "{prefix}");
        }
        let (new, total) = (map(), driver.all().len() as u64);
        let report = copy(&driver, &new, Originals::Remove, CopyOptions::default(), |_| {}).await.unwrap();
        is_report(&report, total, 0);
        assert_eq!(driver.count(&Prefix::SESSION).await.unwrap(), 0);
    });
}

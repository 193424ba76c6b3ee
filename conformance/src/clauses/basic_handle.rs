//! Level basic, continued: touch, clones, dropped futures, errors, close.

use std::error::Error as _;

use crate::common::*;
use crate::level::Requirement;

pub(crate) async fn b23_touch_moves_deadline_keeps_data(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    // Read once: some drivers follow the system's clock.
    let later = stage.later();
    let old = Record::new(sized(1, 3_000), Some(stage.soon()), rev(1));
    put(&driver, &key, &old).await?;
    let done = driver.touch(&key, touching(1, 2, Some(later))).await?;
    equal("a touch of the live revision", &done, &true)?;
    let expected = Record { expires: Some(later), revision: rev(2), ..old };
    holds(&driver, &key, &expected, "the touched record").await
}

pub(crate) async fn b24_touch_of_other_revision_is_false(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    put(&driver, &key, &expiring(1, stage.soon())).await?;
    let newer = expiring(2, stage.soon());
    put(&driver, &key, &newer).await?;
    let done = driver.touch(&key, touching(1, 3, Some(stage.later()))).await?;
    equal("a touch of an older revision", &done, &false)?;
    holds(&driver, &key, &newer, "the record that was written last").await
}

pub(crate) async fn b25_touch_never_creates(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let done = driver.touch(&key, touching(1, 2, None)).await?;
    equal("a touch of a record that was never stored", &done, &false)?;
    absent(&driver, &key, "a record that was never stored").await?;
    put(&driver, &key, &record(1)).await?;
    yes(&driver.remove(&key, Condition::Any).await?, "removing it")?;
    let done = driver.touch(&key, touching(1, 2, Some(stage.later()))).await?;
    equal("a touch of a removed record", &done, &false)?;
    absent(&driver, &key, "the removed record").await
}

pub(crate) async fn b26_repeated_touch_is_true(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    let later = stage.later();
    put(&driver, &key, &record(1)).await?;
    for what in ["a touch", "the same touch", "the same touch again"] {
        equal(what, &driver.touch(&key, touching(1, 2, Some(later))).await?, &true)?;
    }
    holds(&driver, &key, &Record { revision: rev(2), ..expiring(1, later) }, "the record").await
}

pub(crate) async fn b27_touch_sets_any_deadline(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    put(&driver, &key, &expiring(1, stage.later())).await?;
    let deadlines = [Some(stage.soon()), None, Some(stage.later())];
    for (index, deadline) in deadlines.into_iter().enumerate() {
        let number = index as u64 + 1;
        let done = driver.touch(&key, touching(number, number + 1, deadline)).await?;
        equal("a touch of the live revision", &done, &true)?;
        let expected = Record { revision: rev(number + 1), expires: deadline, ..record(1) };
        holds(&driver, &key, &expected, &format!("touched to {deadline:?}")).await?;
    }
    Ok(())
}

pub(crate) async fn b28_clone_shares_the_store(stage: &Stage) -> Check {
    let (driver, clone) = stage.open_with_clone().await?;
    let key = stage.key("one");
    put(&driver, &key, &record(1)).await?;
    holds(&clone, &key, &record(1), "read through a clone").await?;
    put(&clone, &key, &record(2)).await?;
    holds(&driver, &key, &record(2), "written through a clone").await?;
    drop(clone);
    holds(&driver, &key, &record(2), "after the clone was dropped").await
}

pub(crate) async fn b29_dropped_future_leaves_old_or_new(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    for times in 0..8 {
        let key = stage.key(&format!("dropped-{times}"));
        let (old, new) = (record(1), Record::new(sized(2, 9_000), Some(stage.later()), rev(2)));
        put(&driver, &key, &old).await?;
        poll_then_drop(driver.store(&key, new.clone(), Condition::Any), times).await.transpose()?;
        let when = format!("after a store whose future was dropped after {times} polls");
        match driver.retrieve(&key).await? {
            Some(found) if found.revision == new.revision => same(&found, &new, &when)?,
            Some(found) => same(&found, &old, &when)?,
            None => return Err(unmet(format!("{when}: the old record or the new one"), "no record")),
        }
        let gone = stage.key(&format!("removed-{times}"));
        put(&driver, &gone, &old).await?;
        poll_then_drop(driver.remove(&gone, Condition::Any), times).await.transpose()?;
        if driver.retrieve(&gone).await?.is_some() {
            holds(&driver, &gone, &old, &when).await?;
        }
        let other = stage.key(&format!("other-{times}"));
        put(&driver, &other, &new).await?;
        holds(&driver, &other, &new, "the next call").await?;
    }
    Ok(())
}

pub(crate) async fn b30_failed_call_leaves_handle_usable(stage: &Stage) -> Check {
    let (driver, key) = stage.open_one().await?;
    put(&driver, &key, &record(1)).await?;
    let far_too_large = Record::new(vec![7; 24 << 20], None, rev(9));
    for round in 0..3 {
        // Other clauses check whether these fail.
        let _ = driver.traverse(&Prefix::SESSION, Cursor::from_bytes(vec![0xff; 9]), 10).await;
        let _ = driver.store(&stage.key("large"), far_too_large.clone(), Condition::Any).await;
        let _ = driver.store(&key, record(8), Condition::Absent).await;
        let _ = driver.store(&stage.key("none"), record(8), Condition::Revision(rev(77))).await;
        let next = record(round + 2);
        put(&driver, &key, &next).await?;
        holds(&driver, &key, &next, "a store after failed calls").await?;
    }
    Ok(())
}

pub(crate) async fn b31_errors_show_no_secrets(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    let key = stage.key("SecretIdOfAlice");
    let secret = Record::new(&b"SecretDataOfAlice"[..], None, rev(1));
    let mut errors = Vec::new();
    let garbage = Cursor::from_bytes(&b"SecretIdOfAlice"[..]);
    errors.extend(driver.traverse(&Prefix::SESSION, garbage, 1).await.err());
    let bound = driver.capabilities().max_record_bytes.unwrap_or(u64::MAX);
    if bound <= 64 << 20 {
        let large = Record::new(b"SecretDataOfAlice".repeat(bound as usize / 17 + 1), None, rev(1));
        errors.extend(driver.store(&key, large, Condition::Any).await.err());
    }
    driver.close().await?;
    errors.extend(driver.retrieve(&key).await.err());
    errors.extend(driver.store(&key, secret, Condition::Any).await.err());
    errors.extend(driver.remove(&key, Condition::Any).await.err());
    errors.extend(driver.touch(&key, touching(1, 2, None)).await.err());
    ensure(
        !errors.is_empty(),
        "a closed driver answers with errors, whose texts this clause reads",
        "no error",
    )?;
    for error in errors {
        let mut text = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!(" {cause} {cause:?}"));
            source = cause.source();
        }
        for secret in ["SecretIdOfAlice", "SecretDataOfAlice"] {
            ensure(!text.contains(secret), "an error text without ids and data", &text)?;
        }
    }
    Ok(())
}

pub(crate) async fn b32_calls_after_close_are_closed(stage: &Stage) -> Check {
    let (driver, clone) = stage.open_with_clone().await?;
    let key = stage.key("one");
    put(&driver, &key, &record(1)).await?;
    driver.close().await?;
    for handle in [&driver, &clone] {
        let closed = StoreErrorKind::Closed;
        fails(handle.retrieve(&key).await, closed, "retrieve after close")?;
        fails(handle.store(&key, record(2), Condition::Any).await, closed, "store after close")?;
        fails(handle.remove(&key, Condition::Any).await, closed, "remove after close")?;
        fails(handle.touch(&key, touching(1, 2, None)).await, closed, "touch after close")?;
        fails(handle.flush().await, closed, "flush after close")?;
        for (call, need, answer) in [
            (
                "traverse",
                Requirement::Traverse,
                handle.traverse(&Prefix::SESSION, Cursor::start(), 1).await.err(),
            ),
            ("count", Requirement::Traverse, handle.count(&Prefix::SESSION).await.err()),
            ("clear", Requirement::Traverse, handle.clear(&Prefix::SESSION).await.err()),
            ("purge", Requirement::Purge, handle.purge(1).await.err()),
        ] {
            // An operation that the driver lacks may still answer Unsupported.
            let kind = answer.map(|error| error.kind());
            let lacked = kind == Some(StoreErrorKind::Unsupported)
                && stage.context.lacks.iter().any(|(lacked, _)| *lacked == need);
            if !lacked {
                equal(&format!("the error of {call} after close"), &kind, &Some(closed))?;
            }
        }
        handle.close().await?;
    }
    Ok(())
}

pub(crate) async fn b33_flush_always_succeeds(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    driver.flush().await?;
    let key = stage.key("one");
    let stored = expiring(1, stage.later());
    put(&driver, &key, &stored).await?;
    driver.flush().await?;
    driver.flush().await?;
    holds(&driver, &key, &stored, "a record after flush").await
}

pub(crate) async fn b34_deadline_is_exact_to_the_millisecond(stage: &Stage) -> Check {
    let driver = stage.open().await?;
    // The last second of the year 9999, and moments that fit no 32-bit second and no float.
    for millis in [253_402_300_799_999, 4_294_967_296_001, 4_294_967_295_999] {
        let key = stage.key(&format!("deadline-{millis}"));
        let stored = expiring(1, Timestamp::from_millis(millis));
        put(&driver, &key, &stored).await?;
        holds(&driver, &key, &stored, "a far deadline").await?;
    }
    // A driver may change a later deadline, but the record must be live.
    for millis in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX - 1, u64::MAX] {
        let key = stage.key(&format!("end-of-time-{millis}"));
        put(&driver, &key, &expiring(1, Timestamp::from_millis(millis))).await?;
        let found = driver.retrieve(&key).await?;
        ensure(found.is_some(), format!("a record that expires at {millis} is live"), "no record")?;
    }
    Ok(())
}

//! Clause E01 in real time. The suite moves the clock for it, which these stores do not follow.

use std::time::Duration;

use serde_json::{Value, json};
use session_core::{Clock as _, Key, Prefix, Record, Revision, SystemClock, Timestamp};

use crate::foreign::Foreign;
use crate::store::Store;

/// Both halves as cells: `E01a`, a session is live until its deadline; `E01b`, it is absent 0.3 s after it.
pub(crate) fn probe<S: Store>() -> [Value; 2] {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = |early: bool| match &runtime {
        Ok(runtime) => runtime.block_on(async {
            let text = |error: &dyn std::fmt::Display| error.to_string();
            let home = S::create().await.map_err(|error| text(&error))?;
            let store = S::open(&home).await.map_err(|error| text(&error))?;
            let found = if early { before(&store).await } else { after(&store).await };
            found.map_err(|error| text(&error))
        }),
        Err(error) => Err(error.to_string()),
    };
    let cell = |id: &str, expected: bool, found: Result<Option<bool>, String>| {
        let (verdict, reason) = match found {
            Ok(Some(found)) if found == expected => ("pass", String::new()),
            Ok(Some(true)) => ("fail", "load returned the session".to_owned()),
            Ok(Some(false)) => ("fail", "load returned no session".to_owned()),
            Ok(None) => ("not run", "the machine was too busy".to_owned()),
            Err(error) => ("fail", format!("the store failed: {error}")),
        };
        json!({ "id": id, "level": "expiry", "must": true, "verdict": verdict, "reason": reason })
    };
    [cell("E01a", true, result(true)), cell("E01b", false, result(false))]
}

/// Whether a session is found right after it was stored, 0.9 s before its deadline, at the beginning of a second.
async fn before<F: Foreign>(store: &F) -> Result<Option<bool>, crate::Refused> {
    let second = next_second().saturating_add(Duration::from_secs(1));
    let deadline = second.saturating_add(Duration::from_millis(900));
    until(second).await;
    store.create(&key(), &record(deadline)).await?;
    let found = store.load(&key()).await?.is_some();
    Ok((SystemClock.now() < deadline).then_some(found))
}

/// Whether a session is found 0.3 s after its deadline, which is a whole second.
async fn after<F: Foreign>(store: &F) -> Result<Option<bool>, crate::Refused> {
    let deadline = next_second().saturating_add(Duration::from_secs(1));
    store.create(&key(), &record(deadline)).await?;
    until(deadline.saturating_add(Duration::from_millis(300))).await;
    store.load(&key()).await.map(|found| Some(found.is_some()))
}

fn next_second() -> Timestamp {
    Timestamp::from_millis((SystemClock.now().as_millis() / 1_000 + 1) * 1_000)
}

async fn until(time: Timestamp) {
    tokio::time::sleep(time.saturating_since(SystemClock.now())).await;
}

fn key() -> Key {
    Key::new(&Prefix::SESSION, "probe").expect("the id is valid")
}

fn record(deadline: Timestamp) -> Record {
    Record::new(&b"data"[..], Some(deadline), Revision::from_bytes([1; 8]))
}

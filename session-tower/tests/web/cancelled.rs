//! The client disconnects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::routing::get;
use session_tower::Session;
use tokio::task::yield_now;

use crate::common::{Browser, Probe, add, layer, login, probe, records, routes};

/// Each request is dropped after one more poll than the one before, until one completes.
#[tokio::test]
async fn dropped_request_commits_all_or_nothing() {
    let (mut before, mut nothing, mut all) = (0, 0, 0);
    for (create, change) in
        [(true, "/slow-add"), (true, "/slow-login"), (false, "/slow-add"), (false, "/slow-login")]
    {
        for polls in 0.. {
            let (probe, returned) = (probe(), Arc::new(AtomicBool::new(false)));
            let mut browser = Browser::new(app(&probe, &returned));
            if !create {
                browser.get("/write").await.is(200);
            }
            probe.yields(true);
            let done = browser.drop_after(polls, change);
            probe.yields(false);
            if done {
                break;
            }
            // The store holds one of the documented states, and a returning browser finds it.
            let (after, returned) = (records(&probe), returned.load(Ordering::SeqCst));
            if create {
                assert!(after <= 1);
            } else {
                // A dropped rotation leaves its unreachable successor, or the tombstone beside it.
                assert!((1..=2).contains(&after), "{change} {polls}: {after}");
                let seen = browser.get("/read").await.is(200).sets_no_cookie().body;
                match (change, seen.as_str()) {
                    (_, "Some(1)") => nothing += 1,
                    ("/slow-add", "Some(2)") if returned => all += 1,
                    // The tombstone is placed: the old id is anonymous.
                    ("/slow-login", "None Replaced") if after == 2 && returned => all += 1,
                    other => panic!("{other:?} after {polls} polls"),
                }
            }
            if !returned {
                assert_eq!(after, usize::from(!create), "{change} {polls}");
                before += 1;
            }
        }
    }
    assert!(before >= 8 && nothing >= 8 && all >= 2, "{before} {nothing} {all}");
}

fn app(probe: &Probe, returned: &Arc<AtomicBool>) -> Router {
    let (at_add, at_login) = (Arc::clone(returned), Arc::clone(returned));
    let slow_add = async move |session: Session| {
        yield_now().await;
        let answer = add(&session);
        yield_now().await;
        at_add.store(true, Ordering::SeqCst);
        answer
    };
    let slow_login = async move |session: Session| {
        let answer = login(session).await;
        yield_now().await;
        at_login.store(true, Ordering::SeqCst);
        answer
    };
    routes().route("/slow-add", get(slow_add)).route("/slow-login", get(slow_login)).layer(layer(probe))
}

//! Events. In a process of its own, because a subscriber is per process.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code, reason = "tests")]

#[path = "web/common.rs"]
mod common;

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use axum::Router;
use axum::routing::get;
use session_manager::{AddressCheck, Sessions};
use session_state_cookie::CookieConfig;
use session_tower::{ClientAddress, Error, OnStoreError, Session, SessionLayer};
use tower::Layer;
use tracing_subscriber::filter::LevelFilter;

use crate::common::{Browser, Fault, Probe, layer};

#[tokio::test]
async fn store_failure_is_one_warning_without_an_id() {
    let lines = Lines::listen();
    for policy in [OnStoreError::Reject, OnStoreError::Continue] {
        let probe = Probe::new();
        let write = get(async |session: Session| {
            Ok::<_, Error>(session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1)?.to_string())
        });
        let app = Router::new().route("/write", write).layer(layer(&probe).on_store_error(policy));
        let mut browser = Browser::new(app);
        browser.get("/write").await.is(200);
        assert!(lines.take().iter().all(|line| !line.contains("WARN")));
        for (fault, what) in
            [(Fault::Reads, "session store failed"), (Fault::Changes, "could not be committed")]
        {
            probe.fail(fault);
            browser.get("/write").await;
            let ours: Vec<_> = lines.take().into_iter().filter(|line| line.contains("WARN")).collect();
            let [warning] = &ours[..] else { panic!("{policy:?} {fault:?} {ours:?}") };
            assert!(warning.contains("WARN") && warning.contains(what), "{warning}");
        }
        let id = browser.cookie.unwrap();
        let id = id.strip_prefix("__Host-session=").unwrap();
        assert!(lines.all().iter().all(|line| !line.contains(id)));
    }
}

#[test]
fn missing_address_source_warns_once_per_layer() {
    let lines = Lines::listen();
    let warnings =
        || lines.take().into_iter().filter(|line| line.contains("client_address")).collect::<Vec<_>>();
    let layer = |check| {
        let sessions = Sessions::builder(Probe::new()).check_address(check).build().unwrap();
        SessionLayer::new(sessions, CookieConfig::new().build().unwrap())
    };
    let blind = layer(AddressCheck::Exact);
    let inner = Router::<()>::new();
    for _ in 0..2 {
        // axum does this for every request of a router without its state.
        let _ = blind.layer(inner.clone());
        let _ = blind.clone().layer(inner.clone());
    }
    let warnings_now = warnings();
    let [warning] = &warnings_now[..] else { panic!("{warnings_now:?}") };
    assert!(warning.contains("WARN") && warning.contains("session_tower"), "{warning}");
    let _ = layer(AddressCheck::Off).layer(inner.clone());
    let seeing = layer(AddressCheck::Exact).client_address(ClientAddress::new(|_, _| None));
    let _ = seeing.layer(inner);
    assert_eq!(warnings(), [""; 0]);
}

#[tokio::test]
async fn missing_layer_is_an_error_event_with_a_remedy() {
    let lines = Lines::listen();
    let mut browser = Browser::new(Router::new().route("/", get(async |_: Session| ())));
    browser.get("/").await.is(500);
    let said = lines.take();
    let ours: Vec<_> = said.iter().filter(|line| line.contains("session_kit")).collect();
    let [error] = &ours[..] else { panic!("{ours:?}") };
    assert!(error.contains("ERROR") && error.contains("SessionLayer::new(sessions, state)"), "{error}");
}

/// The events of this thread. Each test has its own thread.
#[derive(Clone, Copy)]
struct Lines;

thread_local!(static WRITTEN: RefCell<(Vec<u8>, usize)> = const { RefCell::new((Vec::new(), 0)) });

impl Lines {
    fn listen() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let all = tracing_subscriber::fmt().with_ansi(false).with_max_level(LevelFilter::TRACE);
            all.with_writer(|| Self).init();
        });
        Self
    }

    /// The lines since the last call.
    fn take(self) -> Vec<String> {
        WRITTEN.with_borrow_mut(|(bytes, seen)| {
            let new = String::from_utf8(bytes[*seen..].to_vec()).unwrap();
            *seen = bytes.len();
            new.lines().map(str::to_owned).collect()
        })
    }

    fn all(self) -> Vec<String> {
        WRITTEN.with_borrow_mut(|(_, seen)| *seen = 0);
        self.take()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.with_borrow_mut(|(written, _)| written.extend_from_slice(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

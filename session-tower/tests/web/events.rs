//! Events.

use std::cell::RefCell;
use std::io;
use std::sync::Once;

use axum::Router;
use axum::routing::get;
use session_manager::{AddressCheck, Sessions};
use session_state_cookie::CookieState;
use session_tower::{ClientAddress, OnStoreError, Session, SessionLayer};
use tower::Layer;
use tracing_subscriber::filter::LevelFilter;

use crate::common::{Browser, Fault, fail, layer, probe, routes};

#[tokio::test]
async fn store_failure_is_one_warning_without_an_id() {
    let lines = Lines::listen();
    for policy in [OnStoreError::Reject, OnStoreError::Continue] {
        let probe = probe();
        let mut browser = Browser::new(routes().layer(layer(&probe).on_store_error(policy)));
        browser.get("/add").await.is(200);
        assert_eq!(lines.take("WARN"), [""; 0]);
        for (fault, what) in
            [(Fault::Reads, "session store failed"), (Fault::Changes, "could not be committed")]
        {
            fail(&probe, fault);
            browser.get("/add").await;
            let ours = lines.take("WARN");
            assert!(ours.len() == 1 && ours[0].contains(what), "{policy:?} {fault:?} {ours:?}");
        }
        assert_eq!(lines.all(browser.id().reveal().as_str()), [""; 0]);
    }
}

#[test]
fn missing_address_source_warns_once_per_layer() {
    let lines = Lines::listen();
    let layer = |check| {
        let sessions = Sessions::builder(probe()).check_address(check).build().unwrap();
        SessionLayer::new(sessions, CookieState::default())
    };
    let blind = layer(AddressCheck::Exact);
    let inner = Router::<()>::new();
    for _ in 0..2 {
        // axum does this for every request of a router without its state.
        let _ = blind.layer(inner.clone());
        let _ = blind.clone().layer(inner.clone());
    }
    let warnings = lines.take("client_address");
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.contains("WARN") && warning.contains("session_tower"), "{warning}");
    let _ = layer(AddressCheck::Off).layer(inner.clone());
    let seeing = layer(AddressCheck::Exact).client_address(ClientAddress::new(|_, _| None));
    let _ = seeing.layer(inner);
    assert_eq!(lines.take("client_address"), [""; 0]);
}

#[tokio::test]
async fn missing_layer_is_an_error_event_with_a_remedy() {
    let lines = Lines::listen();
    let mut browser = Browser::new(Router::new().route("/", get(async |_: Session| ())));
    browser.get("/").await.is(500);
    let ours = lines.take("session_kit");
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

    /// The lines since the last call that contain `part`.
    fn take(self, part: &str) -> Vec<String> {
        WRITTEN.with_borrow_mut(|(bytes, seen)| {
            let new = String::from_utf8(bytes[*seen..].to_vec()).unwrap();
            *seen = bytes.len();
            new.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
        })
    }

    /// All lines that contain `part`.
    fn all(self, part: &str) -> Vec<String> {
        WRITTEN.with_borrow_mut(|(_, seen)| *seen = 0);
        self.take(part)
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

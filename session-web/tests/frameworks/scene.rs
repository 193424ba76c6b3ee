//! A server on one of the frameworks, its store, and its browsers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use session_conformance::testing::{self, MapDriver};
use session_core::{Operation, TestClock, Timestamp};
use session_manager::{CarriedSessions, NoStore, Sessions, SessionsBuilder};
use session_state_cookie::{CookieConfig, CookieState, KeyRing, SealedCookie, SecretKey};
use session_web::{ClearSiteData, OnHandlerError, OnStoreError, Session};
use tokio::net::TcpListener;

use crate::app::Shared;
use crate::browser::Browser;
use crate::{on_actix, on_axum};

pub type Probe = testing::Probe<MapDriver>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framework {
    Axum,
    Actix,
}

/// The parts of the layer. Each framework's server sets the options at its own layer.
#[derive(Clone)]
pub struct Setup {
    pub sessions: Sessions<Probe>,
    pub cookie: CookieState,
    /// Cookie-only sessions.
    pub carried: (CarriedSessions<NoStore>, SealedCookie),
    /// Whether they take the place of the others.
    pub is_carried: bool,
    pub on_store_error: OnStoreError,
    pub on_handler_error: OnHandlerError,
    pub no_store: bool,
    pub clear: ClearSiteData,
    pub own_refusals: bool,
    /// Sessions of a second layer, outside.
    pub outer: Option<Sessions<Probe>>,
    pub checks_address: bool,
    pub shared: Shared,
}

pub struct Scene {
    pub probe: Probe,
    pub clock: TestClock,
    pub shared: Shared,
    pub address: SocketAddr,
}

impl Scene {
    pub async fn new(framework: Framework) -> Self {
        Self::with(framework, |setup| setup).await
    }

    pub async fn with(framework: Framework, change: impl FnOnce(Setup) -> Setup) -> Self {
        Self::of(framework, |options| options, change).await
    }

    pub async fn of(
        framework: Framework,
        options: impl FnOnce(SessionsBuilder<Probe>) -> SessionsBuilder<Probe>,
        change: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        let clock = TestClock::new(Timestamp::from_millis(1_700_000_000_000));
        let probe = Probe::new(MapDriver::new(clock.clone()));
        let sessions = options(Sessions::builder(probe.clone())).build().unwrap();
        let shared = Shared::default();
        *shared.sessions.lock().unwrap() = Some(sessions.clone());
        let no_store = Sessions::new(NoStore::with_clock(Arc::new(clock.clone()))).unwrap();
        let carried = CarriedSessions::new(no_store).unwrap();
        let ring = KeyRing::new(SecretKey::generate().unwrap());
        let sealed = CookieConfig::new().build_sealed(&ring).unwrap();
        let setup = change(Setup {
            sessions,
            cookie: CookieConfig::new().build().unwrap(),
            carried: (carried, sealed),
            is_carried: false,
            on_store_error: OnStoreError::Reject,
            on_handler_error: OnHandlerError::Discard,
            no_store: true,
            clear: ClearSiteData::new(),
            own_refusals: false,
            outer: None,
            checks_address: false,
            shared: shared.clone(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        match framework {
            Framework::Axum => on_axum::serve(listener, setup),
            Framework::Actix => on_actix::serve(listener.into_std().unwrap(), setup),
        }
        Self { probe, clock, shared, address }
    }

    pub fn browser(&self) -> Browser {
        Browser::new(self.address)
    }

    /// A browser with a stored session, in which `n` is 1.
    pub async fn begun(&self) -> Browser {
        let mut browser = self.browser();
        browser.get("/write").await.is(200);
        self.probe.calls();
        browser
    }

    pub fn records(&self) -> usize {
        self.probe.inner().all().keys().filter(|key| key.prefix() == "session").count()
    }

    /// Lets reads or changes fail until `probe.recover()`.
    pub fn fail(&self, reads: bool, changes: bool) {
        self.probe.fail_when(move |operation| match operation {
            Operation::Retrieve => reads,
            _ => changes,
        });
    }

    pub fn kept(&self) -> Session {
        self.shared.kept.lock().unwrap().take().unwrap()
    }
}

/// Waits at most 20 s.
pub async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), wait).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not happen"),
    }
}

//! A driver that counts, fails and yields when told, and a browser that keeps its cookie.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, DriverExt, Key, Operation, Page, Prefix, Record,
    Result, StoreError, StoreErrorKind, TestClock, Timestamp, Touch,
};
use session_manager::Sessions;
use session_state_cookie::{CookieConfig, CookieState};
use session_store_memory::{MemoryConfig, MemoryStore};
use session_tower::SessionLayer;
use tower::ServiceExt;

/// Which operations fail, before they do anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    Reads,
    Changes,
    All,
    /// The next change happens, its answer is lost, and then everything fails.
    Lost,
}

#[derive(Clone)]
pub struct Probe {
    store: MemoryStore,
    calls: Arc<Mutex<Vec<Operation>>>,
    fault: Arc<Mutex<Option<Fault>>>,
    yields: Arc<AtomicBool>,
    pub clock: TestClock,
}

impl Probe {
    pub fn new() -> Self {
        let clock = TestClock::new(Timestamp::from_millis(1_700_000_000_000));
        let store = MemoryStore::open(MemoryConfig::new().clock(Arc::new(clock.clone()))).unwrap();
        Self { store, calls: Arc::default(), fault: Arc::default(), yields: Arc::default(), clock }
    }

    /// The store calls since the last call of this method.
    pub fn calls(&self) -> Vec<Operation> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    pub fn fail(&self, fault: impl Into<Option<Fault>>) {
        *self.fault.lock().unwrap() = fault.into();
    }

    /// Every operation is pending once before it does anything and once after.
    pub fn yields(&self, yes: bool) {
        self.yields.store(yes, Ordering::SeqCst);
    }

    pub async fn records(&self) -> u64 {
        self.store.count(&Prefix::SESSION).await.unwrap()
    }

    async fn around<T>(&self, operation: Operation, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.calls.lock().unwrap().push(operation);
        let fault = *self.fault.lock().unwrap();
        let fails = match fault {
            None | Some(Fault::Lost) => false,
            Some(Fault::All) => true,
            Some(Fault::Reads) => operation == Operation::Retrieve,
            Some(Fault::Changes) => operation != Operation::Retrieve,
        };
        if fails {
            return Err(StoreError::new(StoreErrorKind::Unavailable, operation));
        }
        self.pending_once().await;
        let answer = call.await;
        if fault == Some(Fault::Lost) && operation != Operation::Retrieve {
            self.fail(Fault::All);
            return Err(StoreError::new(StoreErrorKind::Timeout, operation).applied_unknown());
        }
        self.pending_once().await;
        answer
    }

    async fn pending_once(&self) {
        let mut done = !self.yields.load(Ordering::SeqCst);
        poll_fn(|cx| {
            if std::mem::replace(&mut done, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

impl Driver for Probe {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.around(Operation::Retrieve, self.store.retrieve(key)).await
    }
    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        self.around(Operation::Store, self.store.store(key, record, when)).await
    }
    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        self.around(Operation::Remove, self.store.remove(key, when)).await
    }
    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.around(Operation::Traverse, self.store.traverse(prefix, from, limit)).await
    }
    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        self.around(Operation::Touch, self.store.touch(key, touch)).await
    }
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }
}

pub fn layer(probe: &Probe) -> SessionLayer<Probe, CookieState> {
    SessionLayer::new(Sessions::new(probe.clone()).unwrap(), CookieConfig::new().build().unwrap())
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    #[track_caller]
    pub fn sets_no_cookie(self) -> Self {
        assert!(!self.headers.contains_key(SET_COOKIE), "{self:?}");
        self
    }
}

/// Keeps the session's cookie as a browser does. A clone is another tab that starts with the same cookie.
#[derive(Clone)]
pub struct Browser {
    app: Router,
    pub cookie: Option<String>,
}

impl Browser {
    pub fn new(app: Router) -> Self {
        Self { app, cookie: None }
    }

    pub fn request(&self, path: &str) -> Request<Body> {
        let mut request = Request::get(path);
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        request.body(Body::empty()).unwrap()
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        let answer = send(self.app.clone(), self.request(path)).await;
        for set in answer.headers.get_all(SET_COOKIE) {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            if pair.starts_with("__Host-session=") {
                self.cookie = Some(pair.to_owned()).filter(|pair| !pair.ends_with('='));
            }
        }
        answer
    }
}

pub async fn send(app: Router, request: Request<Body>) -> Answer {
    let response = app.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status: parts.status, headers: parts.headers, body }
}

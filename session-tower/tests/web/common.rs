//! A store that fails on request, the handlers that most tests use, and a browser that keeps its cookie.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::header::{COOKIE, HeaderValue, SET_COOKIE};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Redirect;
use axum::routing::get;
use http_body_util::BodyExt;
use session_conformance::testing::{self, MapDriver, poll_once};
use session_core::{Operation, SessionId, TestClock, Timestamp};
use session_manager::Sessions;
use session_state_cookie::CookieState;
use session_tower::{Error, NotStored, Refused, Session, SessionLayer};
use tower::ServiceExt;

pub type Probe = testing::Probe<MapDriver>;

pub fn probe() -> Probe {
    timed().0
}

pub fn timed() -> (Probe, TestClock) {
    let clock = TestClock::new(Timestamp::from_millis(1_700_000_000_000));
    (Probe::new(MapDriver::new(clock.clone())), clock)
}

pub fn records(probe: &Probe) -> usize {
    probe.inner().all().keys().filter(|key| key.prefix() == "session").count()
}

/// Which operations fail, before they do anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    Reads,
    Changes,
    All,
    /// The next change happens, its answer is lost, and then everything fails.
    Lost,
}

/// Lets operations fail until `Probe::recover`.
pub fn fail(probe: &Probe, fault: Fault) {
    let lost = AtomicBool::new(false);
    if fault == Fault::Lost {
        probe.plan(Operation::Store, 1, testing::Fault::LoseAnswer);
    }
    probe.fail_when(move |operation| {
        let changes = operation != Operation::Retrieve;
        match fault {
            Fault::Reads => !changes,
            Fault::Changes => changes,
            Fault::All => true,
            Fault::Lost => lost.fetch_or(changes, Ordering::SeqCst),
        }
    });
}

pub fn layer(probe: &Probe) -> SessionLayer<Probe, CookieState> {
    SessionLayer::new(Sessions::new(probe.clone()).unwrap(), CookieState::default())
}

pub fn routes() -> Router {
    Router::new()
        .route("/never", get(async || "hello"))
        .route("/read", get(read))
        .route("/write", get(async |session: Session| session.insert("n", &1)))
        .route("/add", get(async |session: Session| add(&session)))
        .route("/login", get(login))
        .route(
            "/logout",
            get(async |session: Session| session.destroy("out").await.map(|ended| ended.to_string())),
        )
}

pub fn add(session: &Session) -> Result<(), Error> {
    session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1).map(drop)
}

/// The number of the session, its user, why it ended, and whether it is detached.
pub async fn read(session: Session) -> Result<String, Error> {
    let mut text = format!("{:?}", session.get::<u32>("n")?);
    text.extend(session.user()?.map(|user| format!(" of {user}")));
    text.extend(session.end_reason()?.map(|reason| format!(" {reason:?}")));
    text.extend(session.is_detached().then_some(" detached"));
    Ok(text)
}

pub async fn login(session: Session) -> Result<Redirect, Error> {
    session.rotate()?;
    session.bind_user("alice")?;
    Ok(Redirect::to("/read"))
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
    /// Whether the layer refused the handler's response.
    pub refused: bool,
    /// Whether a layer outside learns that recorded changes were not stored.
    pub not_stored: bool,
}

impl Answer {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// The cookies that it sets, as a browser sends them.
    pub fn cookies(&self) -> Vec<&str> {
        self.all("set-cookie").iter().map(|set| set.split(';').next().unwrap()).collect()
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
    pub app: Router,
    pub cookie: Option<String>,
}

impl Browser {
    pub fn new(app: Router) -> Self {
        Self { app, cookie: None }
    }

    /// A browser of [`routes`] with a stored session.
    pub async fn begun(probe: &Probe) -> Self {
        let mut browser = Self::new(routes().layer(layer(probe)));
        browser.get("/write").await.is(200);
        browser
    }

    pub fn id(&self) -> SessionId {
        let cookie = self.cookie.as_ref().unwrap();
        SessionId::parse(cookie.strip_prefix("__Host-session=").unwrap().as_bytes()).unwrap()
    }

    pub fn request(&self, path: &str) -> Request<Body> {
        request(path, self.cookie.iter().map(String::as_bytes))
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        let answer = send(self.app.clone(), self.request(path)).await;
        for pair in answer.cookies() {
            if pair.starts_with("__Host-session=") {
                self.cookie = Some(pair.to_owned()).filter(|pair| !pair.ends_with('='));
            }
        }
        answer
    }

    /// Drops a request after this many polls. Returns whether it was answered before.
    pub fn drop_after(&self, polls: usize, path: &str) -> bool {
        let mut response = pin!(self.app.clone().oneshot(self.request(path)));
        (0..polls).any(|_| poll_once(response.as_mut()).is_some())
    }
}

pub fn request<'a>(path: &str, cookies: impl IntoIterator<Item = &'a [u8]>) -> Request<Body> {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    // A browser sends this over HTTPS.
    request.headers_mut().insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
    for cookie in cookies {
        request.headers_mut().append(COOKIE, HeaderValue::from_bytes(cookie).unwrap());
    }
    request
}

pub async fn send(app: Router, request: Request<Body>) -> Answer {
    let (parts, body) = app.oneshot(request).await.unwrap().into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let refused = parts.extensions.get::<Refused>().is_some();
    let not_stored = parts.extensions.get::<NotStored>().is_some();
    Answer { status: parts.status, headers: parts.headers, body, refused, not_stored }
}

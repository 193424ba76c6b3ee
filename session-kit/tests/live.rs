//! WebSockets and event streams over a real server: they end with their session, their client or the server.
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::convert::Infallible;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::ws::{self, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, http};
use futures_util::{SinkExt, StreamExt, stream};
use session_kit::prelude::*;
use session_kit::{EndReason, Error, ErrorKind};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Longer than a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct App {
    stopping: watch::Receiver<bool>,
    /// How many streams and sockets are open.
    open: Arc<AtomicUsize>,
}

/// A stream or socket.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(app: &App) -> Self {
        app.open.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&app.open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Server {
    address: String,
    sessions: Sessions,
    stop: watch::Sender<bool>,
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

async fn sessions(file: &FilePath, poll_interval: Duration) -> Sessions {
    let store = session_kit::open(&format!("sqlite://{}", file.display())).await.unwrap();
    Sessions::builder(store).poll_interval(poll_interval).build().unwrap()
}

impl Server {
    async fn start(file: &FilePath, poll_interval: Duration) -> Self {
        let sessions = sessions(file, poll_interval).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cookie = CookieConfig::development(address).build().unwrap();
        let (stop, stopping) = watch::channel(false);
        let open = Arc::default();
        let app = Router::new()
            .route("/login/{name}", post(login))
            .route("/login-and-watch/{name}", post(login_and_watch))
            .route("/logout", post(async |session: Session| session.destroy("logged out").await.map(drop)))
            .route(
                "/visits",
                get(async |session: Session| session.get::<u32>("visits").map(|n| format!("{n:?}"))),
            )
            .route("/events", get(events))
            .route("/socket", get(socket))
            .layer(SessionLayer::new(sessions.clone(), cookie))
            .with_state(App { stopping: stopping.clone(), open: Arc::clone(&open) });
        let mut stopped = stopping;
        let task = tokio::spawn(async move {
            let stopped = async move { drop(stopped.wait_for(|stop| *stop).await) };
            axum::serve(listener, app).with_graceful_shutdown(stopped).await.unwrap();
        });
        Self { address: address.to_string(), sessions, stop, open, task }
    }

    /// Waits until the server has let go of every stream and socket.
    async fn until_nothing_is_open(&self) {
        let closed = async {
            while self.open.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, closed).await.expect("the server lets go of its connections");
    }

    async fn request(&self, method: &str, path: &str, cookie: &str) -> Stream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\nContent-Length: 0\r\n\r\n",
            self.address
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut stream = Stream { lines: BufReader::new(stream), cookie: cookie.to_owned() };
        let status = stream.line().await;
        assert!(status.starts_with("HTTP/1.1 200"), "{method} {path}: {status}");
        loop {
            let line = stream.line().await;
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("set-cookie")
            {
                stream.cookie = value.split(';').next().unwrap().to_owned();
            }
            if line.is_empty() {
                return stream;
            }
        }
    }

    async fn login(&self) -> String {
        self.request("POST", "/login/ada", "").await.cookie
    }

    async fn socket(&self, cookie: &str) -> Socket {
        let mut request = format!("ws://{}/socket", self.address).into_client_request().unwrap();
        request.headers_mut().insert(http::header::COOKIE, cookie.parse().unwrap());
        let stream = TcpStream::connect(&self.address).await.unwrap();
        Socket(tokio_tungstenite::client_async(request, stream).await.unwrap().0)
    }
}

/// A response, whose body may have no end.
struct Stream {
    lines: BufReader<TcpStream>,
    cookie: String,
}

impl Stream {
    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(PATIENCE, self.lines.read_line(&mut line)).await.expect("the server answers").unwrap();
        line.trim_end().to_owned()
    }

    /// The next event of a stream: its name and its data.
    async fn event(&mut self) -> (String, String) {
        let mut name = String::new();
        loop {
            let line = self.line().await;
            if let Some(event) = line.strip_prefix("event: ") {
                event.clone_into(&mut name);
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return (name, data.to_owned());
            }
        }
    }

    /// The rest of a body that ends.
    async fn rest(mut self) -> String {
        let mut rest = String::new();
        let body = async {
            // The last chunk has no bytes.
            while !rest.ends_with("0\r\n\r\n") {
                if self.lines.read_line(&mut rest).await.unwrap() == 0 {
                    break;
                }
            }
        };
        timeout(PATIENCE, body).await.expect("the body ends");
        rest
    }

    async fn text(mut self) -> String {
        let mut text = [0; 64];
        let len = timeout(PATIENCE, self.lines.read(&mut text)).await.unwrap().unwrap();
        String::from_utf8(text[..len].to_vec()).unwrap()
    }
}

struct Socket(tokio_tungstenite::WebSocketStream<TcpStream>);

impl Socket {
    async fn ask(&mut self, text: &str) -> Message {
        self.0.send(Message::text(text)).await.unwrap();
        self.answer().await
    }

    async fn answer(&mut self) -> Message {
        timeout(PATIENCE, self.0.next()).await.expect("the server answers").unwrap().unwrap()
    }

    /// Fails unless the server sends this and closes.
    async fn ends(mut self, last: &str) {
        assert_eq!(self.answer().await, Message::text(last));
        assert!(self.answer().await.is_close());
    }
}

async fn login(session: Session, Path(name): Path<String>) -> Result<(), Error> {
    session.login(&name)
}

async fn events(session: Session, State(app): State<App>) -> Result<Response, Error> {
    Ok(watched(session.reference()?, app))
}

async fn login_and_watch(
    session: Session,
    Path(name): Path<String>,
    State(app): State<App>,
) -> Result<Response, Error> {
    let reference = session.reference()?;
    session.login(&name)?;
    Ok(watched(reference, app))
}

/// One event at the beginning, one at the end of the session, and none if the server stops.
fn watched(session: SessionRef, app: App) -> Response {
    let open = Open::new(&app);
    let begin = stream::once(async { Event::default().event("begin").data("-") });
    let end = stream::once(async move {
        let (_open, mut stopping) = (open, app.stopping);
        tokio::select! {
            reason = session.ended() => Some(Event::default().event("end").data(reason.to_string())),
            true = async { stopping.wait_for(|stop| *stop).await.is_ok() } => None,
        }
    });
    let events = begin.chain(end.filter_map(std::future::ready));
    Sse::new(events.map(Ok::<_, Infallible>)).into_response()
}

async fn socket(
    session: Session,
    State(app): State<App>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Error> {
    let session = session.reference()?;
    Ok(upgrade.on_upgrade(async move |socket| drop(talk(session, app, socket).await)))
}

async fn talk(session: SessionRef, app: App, mut socket: WebSocket) -> Result<(), axum::Error> {
    let _open = Open::new(&app);
    let mut stopping = app.stopping;
    loop {
        let message = tokio::select! {
            reason = session.ended() => {
                socket.send(ws::Message::text(reason.to_string())).await?;
                break socket.send(ws::Message::Close(None)).await;
            }
            message = socket.recv() => message,
            true = async { stopping.wait_for(|stop| *stop).await.is_ok() } => break socket.send(ws::Message::Close(None)).await,
        };
        let Some(message) = message else { break Ok(()) };
        let answer = match answer(&session, message?.to_text()?).await {
            Ok(Some(text)) => text,
            // The wait for the end has its turn.
            Ok(None) => continue,
            Err(error) => error.to_string(),
        };
        socket.send(ws::Message::text(answer)).await?;
    }
}

async fn answer(session: &SessionRef, asked: &str) -> Result<Option<String>, Error> {
    let Some(session) = session.open().await? else { return Ok(None) };
    if asked == "login" {
        session.login("mallory")?;
    }
    let visits = session.update("visits", |visits: Option<u32>| visits.unwrap_or(0) + 1)?;
    let committed = session.commit().await?;
    Ok(Some(format!("{:?} {visits} {:?}", session.user()?, committed.outcome)))
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_in_another_connection_ends_streams_at_once() {
    let directory = tempfile::tempdir().unwrap();
    // No poll helps.
    let server = Server::start(&directory.path().join("s.db"), Duration::from_secs(3_600)).await;
    let cookie = server.login().await;
    let mut events = server.request("GET", "/events", &cookie).await;
    assert_eq!(events.event().await.0, "begin");
    let mut socket = server.socket(&cookie).await;
    for visits in 1..=2 {
        let answer = socket.ask("visit").await;
        assert_eq!(answer, Message::text(format!("Some(\"ada\") {visits} Updated")));
    }
    assert_eq!(server.request("GET", "/visits", &cookie).await.text().await, "Some(2)");
    assert_eq!(socket.ask("login").await, Message::text(ErrorKind::NoResponse.to_string()));
    server.request("POST", "/logout", &cookie).await;
    assert_eq!(events.event().await, ("end".to_owned(), "logged out".to_owned()));
    events.rest().await;
    socket.ends("logged out").await;
    server.until_nothing_is_open().await;
    // A stream that begins afterwards ends at once.
    let mut events = server.request("GET", "/events", &cookie).await;
    assert_eq!(events.event().await.0, "begin");
    assert_eq!(events.event().await.0, "end");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_login_ends_streams_and_its_own_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s.db"), Duration::from_secs(3_600)).await;
    let cookie = server.login().await;
    let socket = server.socket(&cookie).await;
    let mut events = server.request("POST", "/login-and-watch/ada", &cookie).await;
    assert_eq!(events.event().await.0, "begin");
    assert_ne!(events.cookie, cookie);
    socket.ends(&EndReason::Replaced.to_string()).await;
    let new = events.cookie.clone();
    let mut socket = server.socket(&new).await;
    assert_eq!(socket.ask("visit").await, Message::text("Some(\"ada\") 1 Updated"));
    assert_eq!(server.sessions.end_user("ada", "signed out everywhere").await.unwrap(), 1);
    assert_eq!(events.event().await, ("end".to_owned(), "signed out everywhere".to_owned()));
    socket.ends("signed out everywhere").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn end_by_another_process_is_noticed_by_a_poll() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("s.db");
    let server = Server::start(&file, Duration::from_millis(100)).await;
    let elsewhere = sessions(&file, Duration::from_secs(3_600)).await;
    let cookie = server.login().await;
    let mut events = server.request("GET", "/events", &cookie).await;
    assert_eq!(events.event().await.0, "begin");
    let mut socket = server.socket(&cookie).await;
    assert_eq!(socket.ask("visit").await, Message::text("Some(\"ada\") 1 Updated"));
    assert_eq!(elsewhere.end_user("ada", "signed out everywhere").await.unwrap(), 1);
    assert_eq!(events.event().await, ("end".to_owned(), "revoked".to_owned()));
    socket.ends("revoked").await;
    server.until_nothing_is_open().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_leaves_frees_its_stream() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s.db"), Duration::from_secs(3_600)).await;
    let cookie = server.login().await;
    let mut events = server.request("GET", "/events", &cookie).await;
    assert_eq!(events.event().await.0, "begin");
    let mut socket = server.socket(&cookie).await;
    assert_eq!(socket.ask("visit").await, Message::text("Some(\"ada\") 1 Updated"));
    assert_eq!(server.open.load(Ordering::SeqCst), 2);
    drop((events, socket));
    server.until_nothing_is_open().await;
    // The session lives on.
    assert_eq!(server.request("GET", "/visits", &cookie).await.text().await, "Some(1)");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_stops_with_open_streams() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(&directory.path().join("s.db"), Duration::from_secs(3_600)).await;
    let cookie = server.login().await;
    let mut events = server.request("GET", "/events", &cookie).await;
    assert_eq!(events.event().await.0, "begin");
    let mut socket = server.socket(&cookie).await;
    assert_eq!(socket.ask("visit").await, Message::text("Some(\"ada\") 1 Updated"));
    server.stop.send_replace(true);
    assert!(!events.rest().await.contains("event: end"));
    assert!(socket.answer().await.is_close());
    drop(socket);
    timeout(PATIENCE, server.task).await.expect("the server stops").unwrap();
    server.sessions.driver().close().await.unwrap();
}

//! Changes while the body of a response is sent, over TCP.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use axum::routing::get;
use futures_util::stream::unfold;
use session_tower::{CommitBody, Error, LateSession, LazySession, OnNotStored, OnStoreError, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::common::{Browser, Fault, Probe, add, fail, layer, probe, routes};

const CHUNK: usize = 1 << 16;
/// More than sockets buffer.
const CHUNKS: u32 = 512;

/// Counts each chunk in the session while it is sent.
fn chunks(late: LateSession, count: u32) -> Body {
    Body::from_stream(unfold((late, 0_u32), move |(late, sent): (LateSession, u32)| async move {
        if sent == count {
            return None;
        }
        let counted = match late.load().await {
            Ok(Some(session)) => add(&session).map(|()| vec![b'x'; CHUNK]),
            Ok(None) => Ok(b"ended".to_vec()),
            Err(error) => Err(error),
        };
        Some((counted, (late, sent + 1)))
    }))
}

async fn export(session: Session) -> Result<Response<CommitBody<Body>>, Error> {
    let late = session.during_body()?;
    Ok(CommitBody::of(late.clone(), Response::new(chunks(late, CHUNKS))))
}

async fn lenient(session: LazySession) -> Result<Response<CommitBody<Body>>, Error> {
    session.on_store_error(OnStoreError::Continue);
    export(session.load().await?).await
}

async fn strict(session: LazySession) -> Result<Response<CommitBody<Body>>, Error> {
    session.on_not_stored(OnNotStored::Reject);
    export(session.load().await?).await
}

/// A body that says its length, and whose session changes while it is sent.
async fn whole(session: Session) -> Result<Response<CommitBody<Body>>, Error> {
    let late = session.during_body()?;
    let session = late.clone();
    let body = unfold(Some(session), async |session| {
        let session = session?.load().await.ok()??;
        add(&session).ok()?;
        Some((Ok::<_, Error>(Bytes::from_static(b"whole")), None))
    });
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert("content-length", 5.into());
    Ok(CommitBody::of(late, response))
}

/// A body that knows its length.
async fn fixed(session: Session) -> Result<Response<CommitBody<Body>>, Error> {
    let late = session.during_body()?;
    if let Some(session) = late.load().await? {
        add(&session)?;
    }
    Ok(CommitBody::of(late, Response::new(Body::from("fixed"))))
}

/// What the head forbids, as text.
async fn forbidden(session: Session) -> Result<Response<CommitBody<Body>>, Error> {
    let late = session.during_body()?;
    let session = late.clone();
    let body = unfold(Some(session), async |session| {
        let text = match session?.load().await {
            Ok(Some(session)) => format!("{:?}", session.rotate().map_err(|error| error.kind())),
            Ok(None) => "ended".into(),
            Err(error) => format!("{:?}", error.kind()),
        };
        Some((Ok::<_, Error>(text), None))
    });
    Ok(CommitBody::of(late, Response::new(Body::from_stream(body))))
}

async fn served(probe: &Probe) -> (Browser, String) {
    let app = routes()
        .route("/export", get(export))
        .route("/lenient", get(lenient))
        .route("/strict", get(strict))
        .route("/whole", get(whole))
        .route("/fixed", get(fixed))
        .route("/forbidden", get(forbidden))
        .layer(layer(probe));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(serve(listener, app.clone()));
    (Browser::new(app), address)
}

async fn serve(listener: TcpListener, app: Router) {
    axum::serve(listener, app).await.unwrap();
}

/// Sends a request as this browser does.
async fn ask(address: &str, browser: &Browser, path: &str) -> TcpStream {
    let cookie = browser.cookie.as_ref().map(|cookie| format!("cookie: {cookie}\r\n")).unwrap_or_default();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{cookie}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// The whole answer of the server until it closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A server that aborts a body may reset the connection.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

fn is_complete(answer: &str) -> bool {
    answer.ends_with("0\r\n\r\n")
}

async fn number(browser: &mut Browser) -> String {
    browser.get("/read").await.is(200).body
}

#[tokio::test]
async fn changes_of_a_body_are_committed_before_its_end() {
    let probe = probe();
    let (mut browser, address) = served(&probe).await;
    browser.get("/write").await.is(200);
    // A client that reads slowly, and a request that writes meanwhile.
    let mut stream = ask(&address, &browser, "/export").await;
    let mut part = vec![0; CHUNK * 4];
    stream.read_exact(&mut part).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    browser.get("/add").await.is(200);
    assert_eq!(number(&mut browser).await, "Some(2)");
    let answer = rest(stream).await;
    assert!(is_complete(&answer));
    assert_eq!(number(&mut browser).await, "Some(514)");
    // A server stops at a length that a handler has set.
    assert!(is_complete(&rest(ask(&address, &browser, "/whole").await).await));
    assert_eq!(number(&mut browser).await, "Some(515)");
    // Of a body that knows its length, the client has the last byte after the commit.
    let answer = rest(ask(&address, &browser, "/fixed").await).await;
    assert!(answer.ends_with("\r\n\r\nfixed"), "{answer}");
    assert_eq!(number(&mut browser).await, "Some(516)");
}

#[tokio::test]
async fn dropped_body_commits_nothing() {
    let probe = probe();
    let (mut browser, address) = served(&probe).await;
    browser.get("/write").await.is(200);
    let mut stream = ask(&address, &browser, "/export").await;
    let mut part = vec![0; CHUNK];
    stream.read_exact(&mut part).await.unwrap();
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    browser.get("/add").await.is(200);
    assert_eq!(number(&mut browser).await, "Some(2)");
}

#[tokio::test]
async fn body_can_create_no_session_and_no_id() {
    let probe = probe();
    let (mut browser, address) = served(&probe).await;
    let answer = rest(ask(&address, &browser, "/forbidden").await).await;
    assert!(answer.contains("NoResponse") && is_complete(&answer), "{answer}");
    assert!(!answer.contains("set-cookie") && probe.inner().all().is_empty());
    browser.get("/write").await.is(200);
    let answer = rest(ask(&address, &browser, "/forbidden").await).await;
    assert!(answer.contains("Err(NoResponse)") && is_complete(&answer), "{answer}");
    assert_eq!(number(&mut browser).await, "Some(1)");
}

#[tokio::test]
async fn failed_commit_leaves_the_body_incomplete() {
    for (path, fault, complete) in [("/export", Fault::Changes, false), ("/lenient", Fault::Changes, true)] {
        let probe = probe();
        let (mut browser, address) = served(&probe).await;
        browser.get("/write").await.is(200);
        let mut stream = ask(&address, &browser, path).await;
        stream.read_exact(&mut [0; CHUNK]).await.unwrap();
        fail(&probe, fault);
        assert_eq!(is_complete(&rest(stream).await), complete, "{path}");
        probe.recover();
        assert_eq!(number(&mut browser).await, "Some(1)");
    }
}

#[tokio::test]
async fn body_after_a_logout_stores_nothing() {
    for (path, complete) in [("/export", true), ("/strict", false)] {
        let probe = probe();
        let (mut browser, address) = served(&probe).await;
        browser.get("/write").await.is(200);
        let mut stream = ask(&address, &browser, path).await;
        stream.read_exact(&mut [0; CHUNK]).await.unwrap();
        let mut other = browser.clone();
        assert_eq!(other.get("/logout").await.is(200).body, "true");
        assert_eq!(is_complete(&rest(stream).await), complete, "{path}");
        assert!(probe.inner().all().is_empty());
        assert_eq!(number(&mut browser).await, "None Expired");
    }
}

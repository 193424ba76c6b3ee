//! The handlers, without a framework.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use serde::{Deserialize, Serialize};
use session_kit::csrf;
use session_manager::{ErrorKind, Sessions, Undecoded};
use session_web::{Error, LateSession, LazySession, OnNotStored, Session, SessionValue, Typed};
use tokio::sync::{Barrier, Notify};

use crate::scene::Probe;

/// The size of a piece of a streamed body.
pub const PIECE: usize = 1 << 16;

/// The pieces of a body that no socket takes as a whole.
pub const LONG: u32 = 400;

/// Headers that let a CDN keep a page.
pub const FOR_A_CDN: [(&str, &str); 2] =
    [("cdn-cache-control", "max-age=600"), ("surrogate-control", "max-age=600")];

/// The answer of a handler.
pub struct Page {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub content: Content,
}

pub enum Content {
    Text(String),
    /// A body whose session is committed at its end.
    Late(LateSession, Pieces),
}

pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

impl Page {
    fn redirect(to: &str) -> Self {
        Self {
            status: 303,
            headers: vec![("location", to.to_owned())],
            content: Content::Text(String::new()),
        }
    }

    fn status(status: u16) -> Self {
        Self { status, ..Self::from(String::new()) }
    }
}

impl From<String> for Page {
    fn from(text: String) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "text/plain".into())],
            content: Content::Text(text),
        }
    }
}

/// The state that handlers and tests share.
#[derive(Clone, Default)]
pub struct Shared {
    /// A handler has begun to wait.
    pub begun: Arc<Notify>,
    /// It may continue.
    pub go: Arc<Notify>,
    /// A waiting handler was dropped.
    pub dropped: Arc<Notify>,
    /// Where two handlers meet.
    pub both: Arc<Mutex<Option<Arc<Barrier>>>>,
    /// The session of a handler that is over.
    pub kept: Arc<Mutex<Option<Session>>>,
    /// The error of a body.
    pub failed: Arc<Mutex<Option<ErrorKind>>>,
    pub sessions: Arc<Mutex<Option<Sessions<Probe>>>>,
}

/// Tells the test that the handler was dropped before it was done.
struct Waiting(Option<Arc<Notify>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(dropped) = self.0.take() {
            dropped.notify_one();
        }
    }
}

impl Shared {
    async fn wait(&self) {
        let mut waiting = Waiting(Some(Arc::clone(&self.dropped)));
        self.begun.notify_one();
        self.go.notified().await;
        waiting.0 = None;
    }

    async fn meet(&self) {
        let both = self.both.lock().unwrap().clone();
        if let Some(both) = both {
            both.wait().await;
        }
    }
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Settings {
    visits: u32,
}

impl SessionValue for Settings {
    const KEY: &'static str = "settings";

    /// Earlier, the value was the number alone.
    fn recover(stored: Undecoded<'_>) -> Option<Self> {
        stored.decode().ok().map(|visits| Self { visits })
    }
}

pub fn visit(mut settings: Typed<Settings>) -> Result<Page, Error> {
    Ok(settings.update(|settings| settings.visits += 1)?.visits.to_string().into())
}

pub fn start_again(mut settings: Typed<Settings>) -> Result<Page, Error> {
    settings.visits = 0;
    settings.save()?;
    Ok(String::new().into())
}

/// The handlers that may load their session.
pub async fn lazy(path: &str, lazy: LazySession, shared: Shared) -> Result<Page, Error> {
    match path {
        "untouched" => Ok("hello".to_owned().into()),
        "save" => {
            lazy.on_not_stored(OnNotStored::Reject);
            let session = lazy.load().await?;
            session.insert("n", &7)?;
            shared.wait().await;
            Ok(Page::redirect("/saved"))
        }
        "outer" => {
            let outer = lazy.outer().expect("there are two layers").load().await?;
            outer.insert("n", &2)?;
            lazy.load().await?.insert("n", &1)?;
            Ok(String::new().into())
        }
        "read-outer" => {
            let outer = lazy.outer().expect("there are two layers").load().await?;
            let inner = lazy.load().await?;
            Ok(format!("{} {}", number(&inner)?, number(&outer)?).into())
        }
        _ => answer(path, lazy.load().await?, shared).await,
    }
}

/// The handlers of loaded sessions.
pub async fn answer(path: &str, session: Session, shared: Shared) -> Result<Page, Error> {
    let text = match path {
        "read" => read(&session)?,
        "write" => {
            session.insert("n", &1)?;
            String::new()
        }
        "add" => {
            shared.meet().await;
            session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1)?.to_string()
        }
        "insert-a" | "insert-b" => {
            shared.meet().await;
            session.insert(path, &1)?;
            String::new()
        }
        "keys" => {
            let mut keys = session.keys()?;
            keys.sort_unstable();
            keys.join(" ")
        }
        "slow-add" | "slow-panic" => {
            session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1)?;
            *shared.kept.lock().unwrap() = Some(session);
            shared.wait().await;
            assert_eq!(path, "slow-add", "a handler panics because the test asks for it");
            String::new()
        }
        "login" | "slow-login" => {
            if path == "slow-login" {
                shared.wait().await;
            }
            shared.meet().await;
            session.login("ada")?;
            return Ok(Page::redirect("/read"));
        }
        "login-remembered" => {
            session.login("ada")?;
            session.remember(std::time::Duration::from_secs(86_400))?;
            String::new()
        }
        "logout" => session.destroy("out").await?.to_string(),
        "rotate" => {
            session.rotate()?;
            String::new()
        }
        "slow-rotate" => {
            session.rotate()?;
            shared.wait().await;
            String::new()
        }
        "spend" => {
            shared.meet().await;
            format!("{:?}", session.take::<u32>("n")?)
        }
        "say" => {
            session.flash().set("said", "hello")?;
            return Ok(Page::redirect("/said"));
        }
        "said-and-committed" => {
            let said = session.flash().get::<String>("said")?.unwrap_or_default();
            session.update_now("n", |n: Option<u32>| n.unwrap_or(0) + 1).await?;
            let _ = session.commit().await?;
            said
        }
        "said-and-cleared" => {
            let said = session.flash().get::<String>("said")?.unwrap_or_default();
            session.flash().clear()?;
            said
        }
        "said" => session.flash().get::<String>("said")?.unwrap_or_default(),
        "not-a-number" => session.get::<String>("n")?.unwrap_or_default(),
        "fail" => {
            session.insert("n", &9)?;
            return Ok(Page::status(502));
        }
        "not-found" => {
            session.insert("n", &9)?;
            return Ok(Page::status(404));
        }
        "commit-then-fail" => {
            session.insert("n", &9)?;
            let _ = session.commit().await?;
            return Ok(Page::status(500));
        }
        "cached" => {
            session.insert("n", &1)?;
            let mut page = Page::from(String::new());
            for (name, value) in [
                ("cache-control", "public, max-age=600"),
                ("cdn-cache-control", "max-age=600"),
                ("set-cookie", "theme=dark"),
                ("vary", "accept-encoding"),
            ] {
                page.headers.push((name, value.into()));
            }
            return Ok(page);
        }
        "large" => {
            session.insert("large", &"x".repeat(200_000))?;
            String::new()
        }
        "old-settings" => {
            session.insert("settings", &7_u32)?;
            String::new()
        }
        "unknown-settings" => {
            session.insert("settings", "text")?;
            String::new()
        }
        "token" => csrf::token(&session).await?,
        "stream" | "stream-long" | "stream-forever" => {
            let late = session.during_body()?;
            let count = match path {
                "stream" => 3,
                "stream-long" => LONG,
                _ => u32::MAX,
            };
            let content = Content::Late(late.clone(), pieces(late, count, shared));
            return Ok(Page { content, ..Page::from(String::new()) });
        }
        _ => match path.strip_prefix("valid-") {
            Some(token) => csrf::is_valid(&session, token)?.to_string(),
            None => return Ok(Page::status(404)),
        },
    };
    Ok(text.into())
}

/// Counts each piece in the session while it is sent.
fn pieces(late: LateSession, count: u32, shared: Shared) -> Pieces {
    Box::pin(unfold((late, shared, 0), move |(late, shared, sent)| async move {
        if sent == count {
            return None;
        }
        let piece = async {
            let session = late.load().await?;
            if let Some(session) = session {
                session.update("n", |n: Option<u32>| n.unwrap_or(0) + 1)?;
            }
            Ok::<_, Error>(Bytes::from(vec![b'x'; PIECE]))
        };
        let piece = piece.await;
        if let Err(error) = &piece {
            *shared.failed.lock().unwrap() = Some(error.kind());
        }
        Some((piece, (late, shared, sent + 1)))
    }))
}

fn number(session: &Session) -> Result<String, Error> {
    Ok(format!("{:?}", session.get::<u32>("n")?))
}

/// The number of the session, its user, why it ended, and whether it is detached.
fn read(session: &Session) -> Result<String, Error> {
    let mut text = number(session)?;
    text.extend(session.user()?.map(|user| format!(" of {user}")));
    text.extend(session.end_reason()?.map(|reason| format!(" {reason:?}")));
    text.extend(session.is_detached().then_some(" detached"));
    Ok(text)
}

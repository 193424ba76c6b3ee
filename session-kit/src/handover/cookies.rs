//! Sessions that are in a cookie as a whole.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use session_handover::{Bounds, Error, Value};
use session_manager::{HandoverSource, OldId};

use super::system::{cookie_value, decoding, now, read};

type Find = dyn Fn(&HeaderMap) -> Option<String> + Send + Sync;
type Read = dyn Fn(&str, f64, &Bounds) -> Result<Value, Error> + Send + Sync;

/// Cookies of more bytes are opened on a thread for blocking calls: what they hold may be compressed.
const LONG: usize = 1 << 10;
/// The longest cookie that is opened, in bytes. Browsers keep 4 KiB of each.
const LONGEST: usize = 16 << 10;

/// The live sessions of an application that keeps each one in a cookie, for
/// [`SessionsBuilder::handover`](crate::SessionsBuilder::handover).
///
/// No server can end such a session: the old system accepts each copy of the cookie until its own lifetime is over. A takeover or a
/// logout remembers the cookie for [`handover_memory`](crate::SessionsBuilder::handover_memory), so **each cookie is taken over
/// once**, also if it is sent again. Each response of the old system may set another cookie of the same session, which is another
/// one here: as long as the old system serves requests, or for a thief with several copies, a logout here is not
/// final. Add [`removal`](Self::removal) to the response of the logout, and set the memory to at least the lifetime of the cookie.
///
/// ```no_run
/// # #[cfg(feature = "handover-flask")]
/// # fn built<D: session_kit::Driver>(builder: session_kit::SessionsBuilder<D>) -> session_kit::SessionsBuilder<D> {
/// use session_kit::Session;
/// use session_kit::handover::python::flask;
/// use session_kit::handover::{Cookies, Value};
///
/// let cookies = Cookies::flask(flask::Cookie::new(["the application's SECRET_KEY"]), "session");
/// builder.handover(cookies, |old: Value, session: &Session| {
///     let Some(user) = old.get("user_id").and_then(Value::as_text) else { return Ok(false) };
///     session.login(user)?;
///     Ok(true)
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct Cookies {
    name: String,
    path: String,
    find: Arc<Find>,
    read: Arc<Read>,
    bounds: Bounds,
}

impl Cookies {
    /// The session is the value of the first cookie `name`. `read` gets it with the seconds since 1970, and returns
    /// [`ErrorKind::Expired`](session_handover::ErrorKind::Expired) for a session that has ended.
    pub fn new(
        name: impl Into<String>,
        read: impl Fn(&str, f64, &Bounds) -> Result<Value, Error> + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        let of = name.clone();
        Self {
            name,
            path: "/".to_owned(),
            find: Arc::new(move |headers| cookie_value(headers, &of)),
            read: Arc::new(read),
            bounds: Bounds::default(),
        }
    }

    /// Replaces what is read of a request: the text that `find` returns is what `read` gets.
    #[must_use]
    pub fn found_by(mut self, find: impl Fn(&HeaderMap) -> Option<String> + Send + Sync + 'static) -> Self {
        self.find = Arc::new(find);
        self
    }

    /// The path of the cookie, for [`removal`](Self::removal); `/` by default.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The value of a `Set-Cookie` header that makes the browser forget the cookie. `None` if the name or path cannot stand in
    /// a header.
    #[must_use]
    pub fn removal(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(format!("{}=; Path={}; Max-Age=0", self.name, self.path)).ok()
    }
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookies").field("name", &self.name).finish_non_exhaustive()
    }
}

impl HandoverSource for Cookies {
    type Old = Value;

    fn find(&self, headers: &HeaderMap) -> Option<OldId> {
        (self.find)(headers).filter(|text| (1..=LONGEST).contains(&text.len())).map(OldId::new)
    }

    async fn read(&self, id: &OldId) -> session_core::Result<Option<Value>> {
        let Some(text) = id.as_str().map(str::to_owned) else { return Ok(None) };
        let (open, bounds) = (Arc::clone(&self.read), self.bounds);
        decoding(text.len() > LONG, move || read(open(&text, now(), &bounds).map(Some))).await
    }

    /// Does nothing: see [`Cookies`].
    async fn end(&self, _: &OldId) -> session_core::Result<()> {
        Ok(())
    }
}

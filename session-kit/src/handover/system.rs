//! How a system names and reads its sessions, whatever store they are in.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use session_core::{Clock as _, Operation, StoreError, StoreErrorKind, SystemClock};
use session_handover::{Bounds, Error, ErrorKind, Value};
use session_manager::{HandoverSource, OldId};
use tokio::task::{JoinError, spawn_blocking};

/// The name of a session, or the text of a cookie that nothing has signed.
pub(super) type Found = Result<String, String>;
type Find = dyn Fn(&HeaderMap) -> Option<Found> + Send + Sync;
type Read = dyn Fn(&Stored<'_>) -> Result<Option<Value>, Error> + Send + Sync;

/// Stored sessions of more bytes are decoded on a thread for blocking calls. The densest formats take 0.1 ms for as many.
pub(super) const LONG: usize = 8 << 10;
/// The longest id that is looked up, in bytes.
const LONGEST_ID: usize = 512;
/// Stands before the text of a cookie that nothing has signed. No name of a session has a control.
const FORGED: char = '\0';

/// How a system names its sessions and how it encodes them, for [`Rows`](super::Rows), [`Entries`](super::Entries) and
/// [`Files`](super::Files).
///
/// The name of a session is what the store has it under, without a common prefix. In most systems it is the value of the cookie.
#[derive(Clone)]
pub struct System {
    find: Arc<Find>,
    read: Arc<Read>,
    pub(super) bounds: Bounds,
}

/// A session as the store has it.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Stored<'s> {
    /// The name of the session in the store.
    pub name: &'s str,
    /// Its bytes.
    pub data: &'s [u8],
    /// When its file was last changed, in seconds since 1970. `None` in other stores.
    pub changed: Option<f64>,
    /// Now, in seconds since 1970.
    pub now: f64,
    /// The bounds of decoding.
    pub bounds: &'s Bounds,
}

impl System {
    /// The session's name is the value of the first cookie `cookie`; `read` decodes the stored bytes. It returns `None` or
    /// [`ErrorKind::Expired`] for a session that has ended.
    pub fn new(
        cookie: impl Into<String>,
        read: impl Fn(&Stored<'_>) -> Result<Option<Value>, Error> + Send + Sync + 'static,
    ) -> Self {
        let cookie = cookie.into();
        Self {
            find: Arc::new(move |headers| cookie_value(headers, &cookie).map(Ok)),
            read: Arc::new(read),
            bounds: Bounds::default(),
        }
    }

    /// Replaces how a request presents the session: `find` returns the session's name in the store. It runs for each request,
    /// so it does no I/O. Where the system signs its cookie, use [`verified`](Self::verified).
    #[must_use]
    pub fn found_by(self, find: impl Fn(&HeaderMap) -> Option<String> + Send + Sync + 'static) -> Self {
        self.checked_by(move |headers| find(headers).map(Ok))
    }

    /// As [`found_by`](Self::found_by). `Err` is the text of a cookie that nothing has signed.
    pub(super) fn checked_by(
        mut self,
        find: impl Fn(&HeaderMap) -> Option<Found> + Send + Sync + 'static,
    ) -> Self {
        self.find = Arc::new(find);
        self
    }

    /// The session is the value of the cookie `cookie`, which `name` turns into its name in the store.
    #[must_use]
    pub fn named(
        self,
        cookie: impl Into<String>,
        name: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let cookie = cookie.into();
        self.found_by(move |headers| cookie_value(headers, &cookie).and_then(|value| name(&value)))
    }

    /// The session is the value of the cookie `cookie`, which `name` checks and turns into its name in the store. A cookie that
    /// it refuses opens nothing, and the event `OldUnreadable` reports it.
    #[must_use]
    pub fn verified(
        self,
        cookie: impl Into<String>,
        name: impl Fn(&str) -> Result<String, Error> + Send + Sync + 'static,
    ) -> Self {
        let cookie = cookie.into();
        self.checked_by(move |headers| {
            cookie_value(headers, &cookie).map(|value| name(&value).map_err(|_| value))
        })
    }

    /// Replaces how the stored bytes are decoded, as in [`new`](Self::new).
    #[must_use]
    pub fn reading(
        mut self,
        read: impl Fn(&Stored<'_>) -> Result<Option<Value>, Error> + Send + Sync + 'static,
    ) -> Self {
        self.read = Arc::new(read);
        self
    }

    /// The bounds of decoding. A stored session of more bytes than `size` is not read.
    #[must_use]
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    pub(super) fn presented(&self, headers: &HeaderMap) -> Option<OldId> {
        match (self.find)(headers)? {
            Ok(name) => Some(name).filter(|name| is_name(name)).map(OldId::new),
            Err(text) => Some(OldId::new(format!("{FORGED}{text}"))),
        }
    }

    /// The session of these bytes, unless it has ended.
    pub(super) async fn decode(
        &self,
        name: &str,
        data: Vec<u8>,
        changed: Option<f64>,
    ) -> session_core::Result<Option<Value>> {
        if data.len() > self.bounds.size {
            return Err(too_long());
        }
        let (system, name, len) = (self.clone(), name.to_owned(), data.len());
        decoding(len > LONG, move || {
            let bounds = &system.bounds;
            read((system.read)(&Stored { name: &name, data: &data, changed, now: now(), bounds }))
        })
        .await
    }
}

/// After an [`Import`](super::Import): finds the old id in a request, and reads nothing.
impl HandoverSource for System {
    type Old = Value;

    fn find(&self, headers: &HeaderMap) -> Option<OldId> {
        self.presented(headers)
    }

    async fn read(&self, id: &OldId) -> session_core::Result<Option<Value>> {
        readable(id).map(|_| None)
    }

    async fn end(&self, _: &OldId) -> session_core::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System").field("bounds", &self.bounds).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Stored<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("bytes", &self.data.len()).finish_non_exhaustive()
    }
}

/// The value of the first cookie of a name, without quotation marks.
pub fn cookie_value(headers: &HeaderMap, name: &str) -> Option<String> {
    let (_, value) = cookies(headers).find(|(found, _)| *found == name)?;
    Some(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value).to_owned())
}

/// The cookies of these names as one `Cookie` header, as readers take it that choose one of several.
#[cfg_attr(
    not(any(feature = "handover-express", feature = "handover-perl", feature = "handover-rust")),
    allow(dead_code, reason = "some systems use it")
)]
pub(super) fn header_of(headers: &HeaderMap, names: &[&str]) -> Option<String> {
    let found = cookies(headers).filter(|(name, _)| names.contains(name));
    let text = found.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    Some(text).filter(|text| !text.is_empty())
}

/// The value of the last cookie of a name.
#[cfg_attr(
    not(any(feature = "handover-django", feature = "handover-flask")),
    allow(dead_code, reason = "systems of Python use it")
)]
pub(super) fn last_cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let (_, value) = cookies(headers).rfind(|(found, _)| *found == name)?;
    Some(value.to_owned())
}

/// The cookies of a request in their order. One that is not UTF-8 hides no other.
fn cookies(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='))
}

/// Whether the text can be the name of a session: it has no controls and a reasonable length.
fn is_name(name: &str) -> bool {
    (1..=LONGEST_ID).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// The name of a session to read. A cookie that nothing has signed is `Corrupt`, so that an event reports it.
pub(super) fn readable(id: &OldId) -> session_core::Result<Option<&str>> {
    if id.as_str().is_some_and(|text| text.starts_with(FORGED)) {
        return Err(corrupt().with_detail("the signature of the cookie does not hold"));
    }
    Ok(name_of(id))
}

/// The name of a session that one of our sources found.
pub(super) fn name_of(id: &OldId) -> Option<&str> {
    id.as_str().filter(|name| is_name(name))
}

/// Runs a decoding. One that may take `long` runs on a thread for blocking calls, so that it delays no other task.
pub(super) async fn decoding<T: Send + 'static>(
    long: bool,
    decode: impl FnOnce() -> session_core::Result<T> + Send + 'static,
) -> session_core::Result<T> {
    if !long {
        return decode();
    }
    match spawn_blocking(decode).await.map_err(JoinError::try_into_panic) {
        Ok(decoded) => decoded,
        // A reader of the application may panic, as it does on this thread.
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(stopped)) => {
            let error = StoreError::new(StoreErrorKind::Unavailable, Operation::Retrieve);
            Err(error.with_source(stopped))
        }
    }
}

/// A session that has ended is absent, and all other failures are damage.
pub(super) fn read(result: Result<Option<Value>, Error>) -> session_core::Result<Option<Value>> {
    match result {
        Ok(value) => Ok(value),
        Err(error) if error.kind() == ErrorKind::Expired => Ok(None),
        Err(error) => Err(corrupt().with_source(error)),
    }
}

pub(super) fn corrupt() -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, Operation::Retrieve)
}

pub(super) fn too_long() -> StoreError {
    corrupt().with_detail("the stored session is longer than its bounds")
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    seconds(Duration::from_millis(SystemClock.now().as_millis()))
}

pub(super) fn seconds(since_1970: Duration) -> f64 {
    since_1970.as_secs_f64()
}

pub(super) fn changed(metadata: &std::fs::Metadata) -> std::io::Result<f64> {
    Ok(seconds(metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default()))
}

/// The methods of every source with a [`System`].
macro_rules! with_system {
    () => {
        /// Only how a request presents the session: the source after an [`Import`](super::Import).
        #[must_use]
        pub fn into_system(self) -> System {
            self.system
        }

        /// Replaces how a request presents the session, and how it is read.
        #[must_use]
        pub fn system(mut self, change: impl FnOnce(System) -> System) -> Self {
            self.system = change(self.system);
            self
        }
    };
}
pub(super) use with_system;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_in_other_bytes_hides_no_other() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_bytes(b"a=\xff; sid=\"one\"; name=caf\xc3\xa9").unwrap());
        headers.append(COOKIE, HeaderValue::from_static("sid=two"));
        assert_eq!(cookie_value(&headers, "sid").as_deref(), Some("one"));
        assert_eq!(cookie_value(&headers, "name").as_deref(), Some("caf\u{e9}"));
        assert_eq!(cookie_value(&headers, "a"), None);
    }
}

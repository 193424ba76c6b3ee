//! Django's sessions.

use std::path::PathBuf;
use std::time::Duration;

use session_handover::Value;
use session_handover::python::django::{self, Expiry, Sessions};
use session_handover::python::django_cache;

use crate::handover::system::last_cookie;
use crate::handover::{Cookies, Entries, Files, Moment, Rows, Stored, System};

/// Sessions whose cookie is their key. Of several cookies Django takes the last.
fn system(
    cookie: String,
    read: impl Fn(&Stored<'_>) -> Result<Option<Value>, session_handover::Error> + Send + Sync + 'static,
) -> System {
    System::new("", read).found_by(move |headers| last_cookie(headers, &cookie).filter(|key| is_key(key)))
}

fn is_key(text: &str) -> bool {
    text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl Rows {
    /// The table `django_session` (the backends `db` and `cached_db`). `cookie` is `SESSION_COOKIE_NAME`, by default `sessionid`.
    pub fn django(sessions: Sessions, cookie: impl Into<String>) -> Self {
        let read = move |stored: &Stored<'_>| {
            sessions.read_row(stored.data, stored.bounds).map(|opened| Some(opened.value))
        };
        Self::new("django_session", "session_key", "session_data", system(cookie.into(), read))
            .ends_at("expire_date", Moment::Utc)
    }

    /// `DatabaseCache` (the backend `cache`) in the table `table`, which is the cache's `LOCATION`, with its `KEY_PREFIX` and `VERSION`,
    /// by default nothing and 1. With `USE_TZ` off the moments in SQLite are those of `TIME_ZONE`, which is to be UTC.
    pub fn django_cache(
        table: impl Into<String>,
        cookie: impl Into<String>,
        key_prefix: &str,
        version: u32,
    ) -> Self {
        let before = django_cache::key(key_prefix, version, "cache", "");
        let of = before.clone();
        // Other entries of the cache are no sessions.
        let read = move |stored: &Stored<'_>| match stored.name.starts_with(&of) {
            true => django_cache::read_row(stored.data, stored.bounds).map(Some),
            false => Ok(None),
        };
        let system = cached(cookie, read, move |id| format!("{before}{id}"));
        Self::new(table, "cache_key", "value", system).ends_at("expires", Moment::Utc)
    }
}

/// Sessions in a cache, which `name` gives their names.
fn cached(
    cookie: impl Into<String>,
    read: impl Fn(&Stored<'_>) -> Result<Option<Value>, session_handover::Error> + Send + Sync + 'static,
    name: impl Fn(&str) -> String + Send + Sync + 'static,
) -> System {
    let cookie = cookie.into();
    System::new("", read).found_by(move |headers| {
        last_cookie(headers, &cookie).filter(|key| is_key(key)).map(|key| name(&key))
    })
}

impl Entries {
    /// A cache in Redis (the backend `cache`), with the cache's `KEY_PREFIX` and `VERSION`, by default nothing and 1.
    pub fn django(cookie: impl Into<String>, key_prefix: &str, version: u32) -> Self {
        let read = |stored: &Stored<'_>| django_cache::read(stored.data, stored.bounds).map(Some);
        Self::new(django_cache::key(key_prefix, version, "cache", ""), system(cookie.into(), read))
    }
}

impl Files {
    /// The files of `SESSION_FILE_PATH` (the backend `file`). Sessions without an expiry of their own end `age` after their last
    /// change (`SESSION_COOKIE_AGE`, by default two weeks).
    pub fn django(
        directory: impl Into<PathBuf>,
        sessions: Sessions,
        cookie: impl Into<String>,
        age: Duration,
    ) -> Self {
        let cookie = cookie.into();
        let read = move |stored: &Stored<'_>| {
            let session = sessions.read_row(stored.data, stored.bounds)?.value;
            let changed = stored.changed.unwrap_or(stored.now);
            #[expect(clippy::cast_precision_loss, reason = "times in seconds are far below 2^53")]
            let end = match django::expiry(&session)? {
                Expiry::At(end) => end,
                Expiry::Idle(seconds) => changed + seconds as f64,
                // `Default` and `Browser`.
                _ => changed + age.as_secs_f64(),
            };
            Ok(Some(session).filter(|_| stored.now < end))
        };
        Self::new(directory, cookie.clone(), "", system(cookie, read))
    }

    /// `FileBasedCache` (the backend `cache`) in the directory that is the cache's `LOCATION`, with its `KEY_PREFIX` and `VERSION`,
    /// by default nothing and 1.
    pub fn django_cache(
        directory: impl Into<PathBuf>,
        cookie: impl Into<String>,
        key_prefix: &str,
        version: u32,
    ) -> Self {
        let read = |stored: &Stored<'_>| {
            let entry = django_cache::read_file(stored.data, stored.now, stored.bounds)?;
            Ok(Some(entry.value))
        };
        let before = django_cache::key(key_prefix, version, "cache", "");
        let system = cached(cookie, read, move |id| django_cache::file_name(&format!("{before}{id}")));
        Self::new(directory, "", ".djcache", system)
    }
}

impl Cookies {
    /// The backend `signed_cookies`.
    pub fn django(sessions: Sessions, cookie: impl Into<String>) -> Self {
        let name = cookie.into();
        let of = name.clone();
        Self::new(name, move |text, now, bounds| {
            sessions.read_cookie(text.as_bytes(), now, bounds).map(|opened| opened.value)
        })
        .found_by(move |headers| last_cookie(headers, &of))
    }
}

//! Laravel's sessions.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use session_handover::Bounds;
use session_handover::php::laravel::{self, Encrypter, Serialization};

use crate::handover::{Cookies, Entries, Files, Moment, Rows, System, cookie_value};

/// The id in the encrypted cookie.
fn id(encrypter: &Encrypter, headers: &HeaderMap, cookie: &str) -> Option<String> {
    let value = cookie_value(headers, cookie)?;
    let id = encrypter.session_id(cookie, value.as_bytes(), &Bounds::default()).ok()?;
    // Laravel accepts no other ids.
    Some(id).filter(|id| id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

impl Rows {
    /// The table `sessions` (`SESSION_DRIVER=database`) with the lifetime `session.lifetime`. `cookie` is `SESSION_COOKIE`. Rows
    /// that `session.encrypt` sealed are not read.
    pub fn laravel(
        encrypter: Encrypter,
        serialization: Serialization,
        cookie: impl Into<String>,
        lifetime: Duration,
    ) -> Self {
        let cookie = cookie.into();
        let system = System::new("", move |stored| {
            laravel::read_row(serialization, stored.data, stored.bounds).map(Some)
        });
        Self::new(
            "sessions",
            "id",
            "payload",
            system.found_by(move |headers| id(&encrypter, headers, &cookie)),
        )
        .idle("last_activity", Moment::Seconds, lifetime)
    }
}

impl Entries {
    /// A cache store in Redis (`SESSION_DRIVER=redis`). `prefix` is the prefix of the connection and of the cache, such as
    /// `laravel_database_laravel_cache_`.
    pub fn laravel(
        encrypter: Encrypter,
        serialization: Serialization,
        cookie: impl Into<String>,
        prefix: impl Into<String>,
    ) -> Self {
        let cookie = cookie.into();
        let system = System::new("", move |stored| {
            laravel::read_cached(serialization, stored.data, stored.bounds).map(Some)
        });
        Self::new(prefix, system.found_by(move |headers| id(&encrypter, headers, &cookie)))
    }
}

impl Files {
    /// The files of `storage/framework/sessions` (`SESSION_DRIVER=file`) with the lifetime `session.lifetime`; also those that
    /// `session.encrypt` sealed.
    pub fn laravel(
        directory: impl Into<PathBuf>,
        encrypter: Encrypter,
        serialization: Serialization,
        cookie: impl Into<String>,
        lifetime: Duration,
    ) -> Self {
        let cookie = cookie.into();
        let encrypter = Arc::new(encrypter);
        let opens = Arc::clone(&encrypter);
        let system = System::new("", move |stored| {
            // The base64 of a sealed text: JSON of an object.
            let read = if stored.data.starts_with(b"eyJ") {
                opens.read(serialization, stored.data, stored.bounds)
            } else {
                laravel::read(serialization, stored.data, stored.bounds)
            };
            read.map(Some)
        });
        let system = system.found_by(move |headers| id(&encrypter, headers, &cookie));
        Self::new(directory, "", "", system).lifetime(lifetime)
    }
}

impl Cookies {
    /// The second cookie of `SESSION_DRIVER=cookie`, which the id in `cookie` names.
    pub fn laravel(encrypter: Encrypter, serialization: Serialization, cookie: impl Into<String>) -> Self {
        let name = cookie.into();
        let of = name.clone();
        let encrypter = Arc::new(encrypter);
        let opens = Arc::clone(&encrypter);
        Self::new(name, move |text, now, bounds| {
            let (id, value) = text.split_once('=').unwrap_or((text, ""));
            opens.read_cookie(serialization, id, value.as_bytes(), now, bounds)
        })
        .found_by(move |headers| {
            let id = id(&encrypter, headers, &of)?;
            let value = cookie_value(headers, &id)?;
            Some(format!("{id}={value}"))
        })
    }
}

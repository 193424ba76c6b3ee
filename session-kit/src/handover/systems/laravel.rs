//! Laravel's sessions.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use session_handover::php::laravel::{Encrypter, Serialization};
use session_handover::{Bounds, Error, Value};

use crate::handover::system::Found;
use crate::handover::{Cookies, Entries, Files, Moment, Rows, Stored, System, cookie_value};

/// The id in the encrypted cookie.
fn id(encrypter: &Encrypter, headers: &HeaderMap, cookie: &str) -> Option<Found> {
    let value = cookie_value(headers, cookie)?;
    let Ok(id) = encrypter.session_id(cookie, value.as_bytes(), &Bounds::default()) else {
        return Some(Err(value));
    };
    // Laravel accepts no other ids.
    Some(id).filter(|id| id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_alphanumeric())).map(Ok)
}

/// Sessions whose id is in the encrypted cookie. `read` decodes a payload, which may be sealed.
fn system(
    encrypter: Encrypter,
    cookie: impl Into<String>,
    read: impl Fn(&Encrypter, &Stored<'_>) -> Result<Value, Error> + Send + Sync + 'static,
) -> System {
    let (encrypter, cookie) = (Arc::new(encrypter), cookie.into());
    let opens = Arc::clone(&encrypter);
    System::new("", move |stored| read(&opens, stored).map(Some))
        .checked_by(move |headers| id(&encrypter, headers, &cookie))
}

impl Rows {
    /// The table `sessions` (`SESSION_DRIVER=database`) with the lifetime `session.lifetime`. `cookie` is `SESSION_COOKIE`. All
    /// sources of Laravel also read what `session.encrypt` sealed.
    pub fn laravel(
        encrypter: Encrypter,
        serialization: Serialization,
        cookie: impl Into<String>,
        lifetime: Duration,
    ) -> Self {
        let system = system(encrypter, cookie, move |encrypter, stored| {
            encrypter.read_row(serialization, stored.data, stored.bounds)
        });
        Self::new("sessions", "id", "payload", system).idle("last_activity", Moment::Seconds, lifetime)
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
        let system = system(encrypter, cookie, move |encrypter, stored| {
            encrypter.read_cached(serialization, stored.data, stored.bounds)
        });
        Self::new(prefix, system)
    }
}

impl Files {
    /// The files of `storage/framework/sessions` (`SESSION_DRIVER=file`) with the lifetime `session.lifetime`.
    pub fn laravel(
        directory: impl Into<PathBuf>,
        encrypter: Encrypter,
        serialization: Serialization,
        cookie: impl Into<String>,
        lifetime: Duration,
    ) -> Self {
        let system = system(encrypter, cookie, move |encrypter, stored| {
            encrypter.read_payload(serialization, stored.data, stored.bounds)
        });
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
            Some(match id(&encrypter, headers, &of)? {
                Ok(id) => format!("{id}={}", cookie_value(headers, &id)?),
                // Reading it fails, so that an event reports it.
                Err(forged) => format!("={forged}"),
            })
        })
    }
}

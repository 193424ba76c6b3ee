//! The stores of express-session, and the cookies of cookie-session and iron-session.

use std::path::PathBuf;
use std::time::Duration;

use session_handover::Bounds;
use session_handover::node::express::{self, Cookie};
use session_handover::node::{cookie_session, iron_session};

use crate::handover::system::header_of;
use crate::handover::{Cookies, Entries, Files, Moment, Rows, System, cookie_value};

/// Sessions whose id is in the signed cookie `name`.
fn system(cookie: Cookie, name: impl Into<String>) -> System {
    let name = name.into();
    let cookie = cookie.name(&name);
    System::new("", |stored| express::read(stored.data, stored.bounds).map(Some)).checked_by(move |headers| {
        let header = header_of(headers, &[&name])?;
        Some(cookie.session_id(header.as_bytes(), &Bounds::default()).map_err(|_| header))
    })
}

impl Entries {
    /// connect-redis. `name` is the cookie of express-session, by default `connect.sid`.
    pub fn express(cookie: Cookie, name: impl Into<String>) -> Self {
        Self::new("sess:", system(cookie, name))
    }
}

impl Rows {
    /// connect-sqlite3: the table `sessions`.
    pub fn connect_sqlite3(cookie: Cookie, name: impl Into<String>) -> Self {
        Self::new("sessions", "sid", "sess", system(cookie, name)).ends_at("expired", Moment::Milliseconds)
    }

    /// better-sqlite3-session-store: the table `sessions`.
    pub fn better_sqlite3(cookie: Cookie, name: impl Into<String>) -> Self {
        Self::new("sessions", "sid", "sess", system(cookie, name)).ends_at("expire", Moment::Utc)
    }

    /// connect-pg-simple: the table `session`. Its moments are in the zone of the connections, so ours need the same.
    pub fn connect_pg_simple(cookie: Cookie, name: impl Into<String>) -> Self {
        Self::new("session", "sid", "sess", system(cookie, name)).ends_at("expire", Moment::Local)
    }
}

impl Files {
    /// session-file-store without `secret`: the files of its `path`, with its `ttl`, by default an hour.
    pub fn session_file_store(
        directory: impl Into<PathBuf>,
        cookie: Cookie,
        name: impl Into<String>,
        ttl: Duration,
    ) -> Self {
        let mut system = system(cookie, name);
        system = system.reading(move |stored| {
            let session = express::read(stored.data, stored.bounds)?;
            let end = express::file_end(&session, ttl.as_secs_f64());
            Ok(Some(session).filter(|_| end.is_none_or(|end| stored.now < end)))
        });
        Self::new(directory, "", ".json", system)
    }
}

impl Cookies {
    /// cookie-session: the cookie `name`, by default `session`, and its signature beside it. Add a removal of the cookie
    /// `NAME.sig` too.
    pub fn cookie_session(settings: cookie_session::Cookie, name: impl Into<String>) -> Self {
        let name = name.into();
        let (of, settings) = (name.clone(), settings.name(&name));
        let signature = format!("{name}.sig");
        Self::new(name, move |text, _, bounds| settings.read(text.as_bytes(), bounds))
            .found_by(move |headers| header_of(headers, &[&of, &signature]))
    }

    /// iron-session: the cookie `name`.
    pub fn iron_session(settings: iron_session::Cookie, name: impl Into<String>) -> Self {
        let name = name.into();
        let of = name.clone();
        Self::new(name, move |text, now, bounds| {
            settings.read(text.as_bytes(), now, bounds).map(|opened| opened.value)
        })
        .found_by(move |headers| Some(format!("{of}={}", cookie_value(headers, &of)?)))
    }
}

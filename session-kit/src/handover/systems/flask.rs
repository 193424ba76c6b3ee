//! Flask's cookie, Flask-Session, and the cookie of Starlette and FastAPI.

use std::path::PathBuf;

use session_handover::python::{flask, flask_session, starlette};

use crate::handover::system::last_cookie;
use crate::handover::{Cookies, Entries, Files, Moment, Rows, System};

impl Cookies {
    /// Flask's own sessions. `cookie` is `SESSION_COOKIE_NAME`, by default `session`.
    pub fn flask(settings: flask::Cookie, cookie: impl Into<String>) -> Self {
        Self::new(cookie, move |text, now, bounds| {
            settings.read(text.as_bytes(), now, bounds).map(|opened| opened.value)
        })
    }

    /// `SessionMiddleware` of Starlette and FastAPI. `cookie` is `session_cookie`, by default `session`.
    pub fn starlette(settings: starlette::Cookie, cookie: impl Into<String>) -> Self {
        let name = cookie.into();
        let of = name.clone();
        Self::new(name, move |text, now, bounds| {
            settings.read(text.as_bytes(), now, bounds).map(|opened| opened.value)
        })
        .found_by(move |headers| last_cookie(headers, &of))
    }
}

fn flask_session(cookie: impl Into<String>) -> System {
    System::new(cookie, |stored| flask_session::read(stored.data, stored.bounds).map(Some))
}

impl Entries {
    /// Flask-Session in Redis. With `SESSION_USE_SIGNER`, add [`System::verified`] with
    /// [`unsign_id`](session_handover::python::flask_session::unsign_id).
    pub fn flask_session(cookie: impl Into<String>) -> Self {
        Self::new("session:", flask_session(cookie))
    }
}

impl Rows {
    /// Flask-Session with SQLAlchemy: the table `sessions`, with the key prefix `session:`.
    pub fn flask_session(cookie: impl Into<String>) -> Self {
        let cookie = cookie.into();
        let system = flask_session(cookie.clone()).named(cookie, |id| Some(format!("session:{id}")));
        Self::new("sessions", "session_id", "data", system).binary().ends_at("expiry", Moment::Utc)
    }
}

impl Files {
    /// Flask-Session with files of cachelib, with the key prefix `session:`.
    pub fn flask_session(directory: impl Into<PathBuf>, cookie: impl Into<String>) -> Self {
        let system = System::new("", |stored| {
            flask_session::read_file(stored.data, stored.now, stored.bounds).map(|entry| Some(entry.value))
        });
        let name = |id: &str| Some(flask_session::file_name(&format!("session:{id}")));
        Self::new(directory, "", "", system.named(cookie, name))
    }
}

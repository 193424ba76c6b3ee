//! CGI::Session, and the cookies of Mojolicious and Plack.

use std::path::PathBuf;

use session_handover::perl::cgi_session::{self, Life, Serializer};
use session_handover::perl::{mojolicious, plack};

use crate::handover::{Cookies, Files, Rows, System};

fn cgi_session(cookie: impl Into<String>, serializer: Serializer) -> System {
    System::new(cookie, move |stored| {
        let session = cgi_session::read(stored.data, serializer, stored.bounds)?;
        #[expect(clippy::cast_possible_truncation, reason = "moments in seconds are far below 2^53")]
        let ended = Life::of(&session).ended(stored.now as i64);
        Ok(Some(session).filter(|_| !ended))
    })
}

impl Rows {
    /// CGI::Session's drivers for databases: the table `sessions`. `cookie` is `CGI::Session->name`, by default `CGISESSID`.
    pub fn cgi_session(cookie: impl Into<String>, serializer: Serializer) -> Self {
        Self::new("sessions", "id", "a_session", cgi_session(cookie, serializer))
    }
}

impl Files {
    /// CGI::Session's driver `file`.
    pub fn cgi_session(
        directory: impl Into<PathBuf>,
        cookie: impl Into<String>,
        serializer: Serializer,
    ) -> Self {
        Self::new(directory, "cgisess_", "", cgi_session(cookie, serializer))
    }
}

impl Cookies {
    /// Mojolicious' sessions. `cookie` is the name that `settings` has, by default `mojolicious`.
    pub fn mojolicious(settings: mojolicious::Cookie, cookie: impl Into<String>) -> Self {
        Self::new(cookie, move |text, now, bounds| {
            settings.read(text.as_bytes(), now, bounds).map(|opened| opened.value)
        })
    }

    /// Plack::Session::State::Cookie with the cookie store. `cookie` is the name that `settings` has, by default `plack_session`.
    pub fn plack(settings: plack::Cookie, cookie: impl Into<String>) -> Self {
        Self::new(cookie, move |text, now, bounds| {
            settings.read(text.as_bytes(), now, bounds).map(|opened| opened.value)
        })
    }
}

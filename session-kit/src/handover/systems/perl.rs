//! CGI::Session, Catalyst, Plack, Apache::Session, Dancer and Mojolicious.

use std::path::PathBuf;

use session_handover::perl::cgi_session::{self, Serializer};
use session_handover::perl::{apache, catalyst, dancer, mojolicious, plack, storable};

use crate::handover::files::{EndFile, LockFile};
use crate::handover::system::header_of;
use crate::handover::{Cookies, Entries, Files, Folders, Moment, Rows, Stored, System};

fn cgi_session(cookie: impl Into<String>, serializer: Serializer) -> System {
    System::new(cookie, move |stored| {
        let session = cgi_session::read(stored.data, serializer, stored.bounds)?;
        #[expect(clippy::cast_possible_truncation, reason = "moments in seconds are far below 2^53")]
        Ok(cgi_session::live(session, stored.now as i64))
    })
}

/// Catalyst's sessions, whose stores have them under `session:` and the id.
fn catalyst(cookie: impl Into<String>, prefix: &'static str) -> System {
    System::new("", |stored| {
        let session = catalyst::read_text(stored.data, stored.bounds)?;
        Ok(Some(catalyst::live(session, stored.now)))
    })
    .named(cookie, move |id| catalyst_id(id).map(|id| format!("{prefix}{id}")))
}

/// Catalyst's sessions in a store that keeps the session itself, in Storable, and is asked for the id.
#[cfg(unix)]
pub(in crate::handover) fn catalyst_values(cookie: impl Into<String>) -> System {
    System::new("", |stored| {
        let session = storable::read(stored.data, stored.bounds)?;
        Ok(Some(catalyst::live(session, stored.now)))
    })
    .named(cookie, |id| catalyst_id(id).map(str::to_owned))
}

/// Catalyst accepts no other ids.
fn catalyst_id(id: &str) -> Option<&str> {
    (!id.is_empty() && id.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(id)
}

impl Rows {
    /// CGI::Session's drivers for databases: the table `sessions`. `cookie` is `CGI::Session->name`, by default `CGISESSID`.
    pub fn cgi_session(cookie: impl Into<String>, serializer: Serializer) -> Self {
        Self::new("sessions", "id", "a_session", cgi_session(cookie, serializer))
    }

    /// Catalyst::Plugin::Session::Store::DBI: the table `sessions`. `cookie` is `cookie_name`, by default the application's name in
    /// lower case and `_session`.
    pub fn catalyst(cookie: impl Into<String>) -> Self {
        Self::new("sessions", "id", "session_data", catalyst(cookie, "session:"))
            .ends_at("expires", Moment::Seconds)
    }

    /// Apache::Session's stores for databases, with Base64 as their serializer: the table `sessions`. `cookie` is the cookie in which the
    /// application keeps the id. The rows have no end. A request of the old system locks its row where the database can; a read does
    /// not wait for it, and an end does.
    pub fn apache_session(cookie: impl Into<String>) -> Self {
        let system = System::new(cookie, |stored| apache::read(stored.data, stored.bounds).map(Some));
        Self::new("sessions", "id", "a_session", system)
    }
}

impl Entries {
    /// Catalyst::Plugin::Session::Store::Redis. `cookie` is as in [`Rows::catalyst`].
    pub fn catalyst(cookie: impl Into<String>) -> Self {
        Self::new("session:", catalyst(cookie, ""))
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

    /// Catalyst::Plugin::Session::Store::File. `directory` is its `storage` with the namespace, by default `Default`, and `cookie`
    /// is as in [`Rows::catalyst`]. A session ends as its file `expires:ID` says.
    pub fn catalyst(directory: impl Into<PathBuf>, cookie: impl Into<String>) -> Self {
        let read = |stored: &Stored<'_>| {
            let file = catalyst::stored(catalyst::read_file(stored.data, stored.bounds)?)?;
            let is_session = file.key.starts_with("session:");
            Ok(Some(catalyst::live(file.value, stored.now)).filter(|_| is_session))
        };
        let end_file = EndFile {
            name: |session, bounds| {
                let file = catalyst::stored(catalyst::read_file(session, bounds)?)?;
                let id = file.key.split_once(':').map_or(file.key.as_str(), |(_, id)| id);
                Ok(catalyst::file_name(&format!("expires:{id}")))
            },
            end: |end, bounds| catalyst::end(&catalyst::stored(catalyst::read_file(end, bounds)?)?),
        };
        let system = System::new("", read)
            .named(cookie, |id| catalyst_id(id).map(|id| catalyst::file_name(&format!("session:{id}"))));
        Self::new(directory, "", "", system).folders(Folders::Letters(3)).ends_in(end_file)
    }

    /// Apache::Session::File. `directory` is its `Directory`, `locks` its `LockDirectory`, whose files are respected, and `cookie` is the
    /// cookie in which the application keeps the id. The files have no end, as in [`plack`](Files::plack).
    pub fn apache_session(
        directory: impl Into<PathBuf>,
        locks: impl Into<PathBuf>,
        cookie: impl Into<String>,
    ) -> Self {
        let system = System::new(cookie, |stored| {
            // The locks may be in the same directory.
            let is_session = stored.name.bytes().all(|digit| digit.is_ascii_alphanumeric());
            if is_session { apache::read(stored.data, stored.bounds).map(Some) } else { Ok(None) }
        });
        let lock = LockFile { directory: locks.into(), prefix: "Apache-Session-", suffix: ".lock" };
        Self::new(directory, "", "", system).locked_by(lock)
    }

    /// Plack::Session::Store::File with its default serializer. `cookie` is `session_key`, by default `plack_session`. The files
    /// have no end: add [`lifetime`](Files::lifetime), if the application removes old ones.
    pub fn plack(directory: impl Into<PathBuf>, cookie: impl Into<String>) -> Self {
        let system = System::new(cookie, |stored| storable::read(stored.data, stored.bounds).map(Some));
        Self::new(directory, "", "", system)
    }

    /// The files of Dancer and Dancer2 in YAML or JSON, in `session_dir`. `cookie` is by default `dancer.session`. The files have
    /// no end, as in [`plack`](Files::plack).
    pub fn dancer(
        directory: impl Into<PathBuf>,
        cookie: impl Into<String>,
        serializer: dancer::Serializer,
    ) -> Self {
        let system =
            System::new(cookie, move |stored| dancer::read(stored.data, serializer, stored.bounds).map(Some));
        let suffix = if serializer == dancer::Serializer::Json { ".json" } else { ".yml" };
        Self::new(directory, "", suffix, system)
    }
}

impl Cookies {
    /// Mojolicious' sessions. `cookie` is `cookie_name`, by default `mojolicious`. Of several cookies of the name the last with a
    /// valid signature counts.
    pub fn mojolicious(settings: mojolicious::Cookie, cookie: impl Into<String>) -> Self {
        let name = cookie.into();
        let (of, settings) = (name.clone(), settings.name(&name));
        Self::new(name, move |text, now, bounds| {
            settings.read(text.as_bytes(), now, bounds).map(|opened| opened.value)
        })
        .found_by(move |headers| header_of(headers, &[&of]))
    }

    /// Plack::Session::State::Cookie with the cookie store. `cookie` is the name that `settings` has, by default `plack_session`.
    pub fn plack(settings: plack::Cookie, cookie: impl Into<String>) -> Self {
        Self::new(cookie, move |text, now, bounds| {
            settings.read(text.as_bytes(), now, bounds).map(|opened| opened.value)
        })
    }
}

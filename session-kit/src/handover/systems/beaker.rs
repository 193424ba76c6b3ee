//! Beaker's sessions, as Pylons, Pyramid and Bottle use them.

use std::path::PathBuf;

use session_handover::Value;
use session_handover::python::beaker::{Sessions, unsign};

use crate::handover::{Cookies, Entries, Files, Folders, Rows, Stored, System};

/// Sessions whose cookie has their id, which is signed if there is a `secret`. `name` is their name in the store.
fn system(
    cookie: impl Into<String>,
    secret: Option<&str>,
    name: impl Fn(&str) -> String + Send + Sync + 'static,
    read: impl Fn(&Stored<'_>) -> Result<Option<Value>, session_handover::Error> + Send + Sync + 'static,
) -> System {
    let secret = secret.map(str::to_owned);
    System::new("", read).verified(cookie, move |value| {
        let id = match &secret {
            Some(secret) => unsign(secret.as_bytes(), value.as_bytes())?,
            None => value.as_bytes(),
        };
        // Beaker makes ids of digits and letters. Another one has no session.
        let is_id = !id.is_empty() && id.iter().all(u8::is_ascii_alphanumeric);
        Ok(std::str::from_utf8(id).ok().filter(|_| is_id).map_or_else(String::new, &name))
    })
}

impl Files {
    /// The backend `file`. `directory` is `container_file` in `data_dir`. `cookie` is `session.key`, by default
    /// `beaker.session.id`, and `secret` is `session.secret`. Beaker replaces its files by renames; a request of it that began before
    /// the end of a session may store the session again.
    pub fn beaker(
        directory: impl Into<PathBuf>,
        sessions: Sessions,
        cookie: impl Into<String>,
        secret: Option<&str>,
    ) -> Self {
        let read =
            move |stored: &Stored<'_>| sessions.read_file(stored.data, stored.now, stored.bounds).map(Some);
        Self::new(directory, "", ".cache", system(cookie, secret, str::to_owned, read))
            .folders(Folders::Beginnings(2))
    }
}

impl Entries {
    /// The backend `ext:redis`. The other arguments are as in [`Files::beaker`].
    pub fn beaker(sessions: Sessions, cookie: impl Into<String>, secret: Option<&str>) -> Self {
        let read = move |stored: &Stored<'_>| match stored.name.ends_with(":session") {
            true => sessions.read_value(stored.data, stored.now, stored.bounds).map(Some),
            // Other entries of the cache are no sessions.
            false => Ok(None),
        };
        Self::new("beaker_cache:", system(cookie, secret, |id| format!("{id}:session"), read))
    }
}

impl Rows {
    /// The backends `ext:database` and `ext:sqla`: the table `beaker_cache`. The other arguments are as in [`Files::beaker`].
    pub fn beaker(sessions: Sessions, cookie: impl Into<String>, secret: Option<&str>) -> Self {
        let read =
            move |stored: &Stored<'_>| sessions.read_file(stored.data, stored.now, stored.bounds).map(Some);
        Self::new("beaker_cache", "namespace", "data", system(cookie, secret, str::to_owned, read)).binary()
    }
}

impl Cookies {
    /// The type `cookie`. `cookie` is the name that `sessions` has, by default `beaker.session.id`.
    pub fn beaker(sessions: Sessions, cookie: impl Into<String>) -> Self {
        Self::new(cookie, move |text, now, bounds| sessions.read_cookie(text.as_bytes(), now, bounds))
    }
}

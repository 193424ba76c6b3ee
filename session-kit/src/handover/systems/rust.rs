//! tower-sessions, actix-session, axum_session and async-session.

use http::HeaderMap;
use session_handover::Bounds;
use session_handover::rust::cookie::{Cookie, Key};
use session_handover::rust::{actix_session, async_session, axum_session, tower_sessions};

use crate::handover::system::{Found, header_of};
use crate::handover::{Cookies, Entries, Moment, Rows, Stored, System};

/// The text of the cookie `name`, which may be signed or sealed.
fn text(cookie: Cookie, name: String) -> impl Fn(&HeaderMap) -> Option<Found> {
    let cookie = cookie.name(&name);
    move |headers| {
        let header = header_of(headers, &[&name])?;
        Some(cookie.open(header.as_bytes(), &Bounds::default()).map_err(|_| header))
    }
}

fn tower_sessions(cookie: Cookie, name: impl Into<String>) -> System {
    let read = |stored: &Stored<'_>| {
        let record = tower_sessions::read_of(stored.name, stored.data, stored.bounds)?;
        Ok(Some(record.value).filter(|_| stored.now < record.expires))
    };
    System::new("", read).checked_by(text(cookie, name.into()))
}

fn async_session(cookie: Cookie, name: impl Into<String>) -> System {
    let read = |stored: &Stored<'_>| {
        let session = async_session::read(stored.data, stored.bounds)?;
        Ok(Some(session.value).filter(|_| session.expires.is_none_or(|end| stored.now < end)))
    };
    let text = text(cookie, name.into());
    System::new("", read).checked_by(move |headers| {
        Some(match text(headers)? {
            Ok(text) => async_session::id(&text).map_err(|_| text),
            forged => forged,
        })
    })
}

impl Rows {
    /// tower-sessions-sqlx-store: the table `tower_sessions`; in PostgreSQL set [`table`](Rows::table) to
    /// `tower_sessions.session`. `cookie` is [`tower_sessions::cookie`], and `name` by default `id`.
    pub fn tower_sessions(cookie: Cookie, name: impl Into<String>) -> Self {
        Self::new("tower_sessions", "id", "data", tower_sessions(cookie, name))
            .binary()
            .ends_at("expiry_date", Moment::Utc)
    }

    /// async-sqlx-session: the table `async_sessions`. `cookie` is [`async_session::cookie`], and `name` is `tide.sid` in tide and
    /// `sid` in axum-sessions.
    pub fn async_session(cookie: Cookie, name: impl Into<String>) -> Self {
        Self::new("async_sessions", "id", "session", async_session(cookie, name))
    }
}

impl Rows {
    /// axum_session_sqlx: the table `sessions`. `cookie` is the name that `settings` has, by default `session`, and `database_key`
    /// is that of the configuration.
    ///
    /// A signed cookie is accepted if the application set `with_ip_and_user_agent` to `false`. Otherwise its signature covers the address
    /// of the connection, which a request does not hold: those users log in again.
    pub fn axum_session(
        settings: axum_session::SessionCookie,
        cookie: impl Into<String>,
        database_key: Option<Key>,
    ) -> Self {
        let name = cookie.into();
        let settings = settings.name(&name);
        let read = move |stored: &Stored<'_>| {
            let row = match &database_key {
                Some(key) => axum_session::read_sealed(key, stored.name, stored.data, stored.bounds)?,
                None => axum_session::read(stored.data, stored.bounds)?,
            };
            Ok(Some(row.value))
        };
        let system = System::new("", read).checked_by(move |headers| {
            let header = header_of(headers, &[&name])?;
            let id = settings.session_id(header.as_bytes(), None, &Bounds::default());
            Some(id.map_err(|_| header))
        });
        Self::new("sessions", "id", "session", system).ends_at("expires", Moment::Seconds)
    }
}

impl Entries {
    /// tower-sessions-redis-store. The arguments are as in [`Rows::tower_sessions`].
    pub fn tower_sessions(cookie: Cookie, name: impl Into<String>) -> Self {
        Self::new("", tower_sessions(cookie, name))
    }

    /// actix-session's `RedisSessionStore` without a `cache_keygen`. `cookie` is [`actix_session::cookie`], and `name` by default `id`.
    pub fn actix_session(cookie: Cookie, name: impl Into<String>) -> Self {
        let system = System::new("", |stored| actix_session::read(stored.data, stored.bounds).map(Some));
        Self::new("", system.checked_by(text(cookie, name.into())))
    }

    /// async-redis-session. The arguments are as in [`Rows::async_session`].
    pub fn async_session(cookie: Cookie, name: impl Into<String>) -> Self {
        Self::new("", async_session(cookie, name))
    }
}

impl Cookies {
    /// actix-session's `CookieSessionStore`. The arguments are as in [`Entries::actix_session`].
    pub fn actix_session(cookie: Cookie, name: impl Into<String>) -> Self {
        let name = name.into();
        let (of, cookie) = (name.clone(), cookie.name(&name));
        Self::new(name, move |header, _, bounds| {
            actix_session::read(cookie.open(header.as_bytes(), bounds)?.as_bytes(), bounds)
        })
        .found_by(move |headers| header_of(headers, &[&of]))
    }
}

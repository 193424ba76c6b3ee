//! axum_session: rows of a database, sealed or not.
//!
//! The row of a session has its only end: `expires` in seconds since 1970. A row without it never ends.

use super::cookie::{Cookie, Key, Order, Security};
use super::texts;
use crate::{Bounds, Error, ErrorKind, Value, json, seal};

/// A session from a row.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Row {
    /// The session.
    pub value: Value,
    /// Whether the application has asked for the longer life (`set_longterm`).
    pub longterm: bool,
}

/// The user's addresses and browser, which the signature of a cookie covers (`with_ip_and_user_agent`). Parts that the configuration
/// leaves out are empty: by default all but the address of the connection and the browser.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peer<'a> {
    /// The address of the connection (`with_hashed_ip`).
    pub ip: &'a str,
    /// The first address in `X-Forwarded-For` (`with_hashed_xforward`).
    pub x_forwarded_for: &'a str,
    /// The first address in `Forwarded` (`with_hashed_forward`).
    pub forwarded: &'a str,
    /// The address in `X-Real-IP` (`with_hashed_real_ip`).
    pub real_ip: &'a str,
    /// The header `User-Agent` (`with_hashed_user_agent`).
    pub user_agent: &'a str,
}

/// Settings of the cookie.
#[derive(Debug, Clone)]
pub struct SessionCookie {
    cookie: Cookie,
}

impl SessionCookie {
    /// A cookie of the default name `session`, with the `key` of the configuration, where it has one. Of several cookies of a name the
    /// last counts.
    pub fn new(key: Option<Key>) -> Self {
        let security = key.map_or(Security::Plain, Security::Signed);
        Self { cookie: Cookie::new("session", security, Order::Last) }
    }

    /// Sets the name (`session_name`, with `__Host-` where `prefix_with_host` is set).
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { cookie: self.cookie.name(name) }
    }

    /// The id of the session in a `Cookie` header, or in one value. `peer` is `None` where `with_ip_and_user_agent` is off.
    ///
    /// # Errors
    /// `Signature` where the cookie is missing or its signature does not hold; `TooLarge`.
    pub fn session_id(
        &self,
        header: &[u8],
        peer: Option<&Peer<'_>>,
        bounds: &Bounds,
    ) -> Result<String, Error> {
        let more = peer.map_or_else(String::new, |peer| {
            let Peer { ip, x_forwarded_for, forwarded, real_ip, user_agent } = peer;
            format!("{ip};{x_forwarded_for};{forwarded};{real_ip};{user_agent}")
        });
        self.cookie.open_with(header, more.as_bytes(), bounds)
    }
}

/// Reads the column `session`.
///
/// # Errors
/// A kind and the offset of the damage.
pub fn read(text: &[u8], bounds: &Bounds) -> Result<Row, Error> {
    let bad = |what| Error::new(ErrorKind::Malformed, 0, what);
    let Value::Map(members) = json::read(text, bounds)? else { return Err(bad("row is not a map")) };
    let (mut data, mut longterm) = (None, None);
    for (name, value) in members {
        match (name, value) {
            (Value::Text(name), value) if name == "data" => data = Some(value),
            (Value::Text(name), Value::Bool(truth)) if name == "longterm" => longterm = Some(truth),
            _ => {}
        }
    }
    let data = data.ok_or_else(|| bad("row has no data"))?;
    let longterm = longterm.ok_or_else(|| bad("row does not say whether it is longterm"))?;
    Ok(Row { value: texts::decoded(data, bounds)?, longterm })
}

/// Reads the column `session` of the row of an id, sealed with the `database_key`.
///
/// # Errors
/// `Signature` where the seal does not hold or was made for another id; `TooLarge`; and as [`read`].
pub fn read_sealed(key: &Key, id: &str, text: &[u8], bounds: &Bounds) -> Result<Row, Error> {
    if text.len() > bounds.size {
        return Err(Error::new(ErrorKind::TooLarge, 0, "sealed text is larger than allowed"));
    }
    let plain = key.open(text, id).map_err(|_| seal::unsealed())?;
    read(&plain, bounds)
}

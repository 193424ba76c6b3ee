//! Express: the signed cookie of express-session, and what its stores keep.
//!
//! | store | what to read | end |
//! |---|---|---|
//! | connect-redis | [`read`] of the value of `sess:ID` | the TTL of the key alone |
//! | connect-sqlite3 | [`read`] of `sess` | [`row_end`] of `expired`, milliseconds |
//! | better-sqlite3-session-store | [`read`] of `sess` | [`row_end`] of `expire`, text |
//! | session-file-store | [`read`] of `sessions/ID.json` | [`file_end`] |
//!
//! Ignore `cookie.expires` in the session: a touch renews the TTL of the store, and not this text.

use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind, Value, calendar};

/// Settings of the cookie of express-session.
#[derive(Clone)]
pub struct Cookie {
    name: String,
    secrets: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Cookie {
    /// A cookie of the default name `connect.sid`, with `secret`: one, or a list with the newest first.
    pub fn new(secrets: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Self { name: "connect.sid".to_owned(), secrets: seal::secrets(secrets) }
    }

    /// Sets the name (`name`).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The id of the session in a `Cookie` header, or in one value. Of several cookies of the name only the first counts,
    /// as in express-session.
    ///
    /// # Errors
    /// `Signature` where the cookie is missing or no secret has signed it; `TooLarge`.
    pub fn session_id(&self, header: &[u8], bounds: &Bounds) -> Result<String, Error> {
        if header.len() > bounds.size {
            return Err(Error::new(ErrorKind::TooLarge, 0, "cookie is larger than allowed"));
        }
        let text = super::first_cookie(header, &self.name)
            .and_then(super::decode_component)
            .ok_or_else(seal::unsealed)?;
        let (id, signature) =
            text.strip_prefix("s:").and_then(|signed| signed.rsplit_once('.')).ok_or_else(seal::unsealed)?;
        let holds = self.secrets.iter().any(|secret| {
            let mac = seal::to_base64(&seal::hmac(Digest::Sha256, secret, &[id.as_bytes()]));
            seal::same(signature.as_bytes(), mac.trim_end_matches('=').as_bytes())
        });
        if holds && !id.is_empty() { Ok(id.to_owned()) } else { Err(seal::unsealed()) }
    }
}

/// Reads a session: JSON of an object. Its key `cookie` has the settings of the cookie.
///
/// # Errors
/// A kind and the offset of the damage; `Truncated` for no bytes.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    super::session(bytes, bounds)
}

/// Writes a session, byte by byte as Express does. Keys that are integers come first.
///
/// # Errors
/// `Unwritable` for what Express would lose or could not read: types and numbers that JavaScript does not have, keys that
/// stand twice, a session without an object under `cookie`, and keys that hide behind members of Express' object, such as
/// `save` or `constructor`.
pub fn write(session: &Value) -> Result<Vec<u8>, Error> {
    super::stringify::session(session)
}

/// The end of a row in seconds since 1970: of `expired` of connect-sqlite3, which is a number of milliseconds, or of `expire`
/// of better-sqlite3-session-store, which is text. A row has ended when its end is in the past.
pub fn row_end(column: &Value) -> Option<f64> {
    match column {
        #[expect(clippy::cast_precision_loss, reason = "moments in milliseconds are far below 2^53")]
        Value::Int(milliseconds) => Some(*milliseconds as f64 / 1e3),
        Value::Float(milliseconds) => Some(milliseconds / 1e3),
        Value::Text(text) => calendar::parse(text),
        _ => None,
    }
}

/// The end of a session of session-file-store in seconds since 1970: `cookie.originalMaxAge`, or else the setting `ttl` (in
/// seconds, 3,600 by default), after the last access. `None`: the file does not say when that was, and the store never ends
/// the session.
pub fn file_end(session: &Value, ttl: f64) -> Option<f64> {
    let number = |value: &Value| match value {
        #[expect(clippy::cast_precision_loss, reason = "moments in milliseconds are far below 2^53")]
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    };
    let last = session.get("__lastAccess").and_then(number)?;
    let age = session.get("cookie").and_then(|cookie| cookie.get("originalMaxAge")).and_then(number);
    Some((last + age.filter(|age| *age != 0.0).unwrap_or(ttl * 1e3)) / 1e3)
}

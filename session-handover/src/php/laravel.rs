//! Laravel: payloads of its session stores, and its encrypted cookie.
//!
//! | driver | what to read |
//! |---|---|
//! | `file` | [`read`] of `storage/framework/sessions/ID`; idle: the file's time and `session.lifetime` minutes |
//! | `database` | [`read_row`] of `payload`; idle: `last_activity` (seconds) and `session.lifetime` minutes |
//! | `redis` | [`read_cached`] of the value of `PREFIX:ID`; the TTL counts |
//! | `memcached` | [`read`] of the value of `PREFIX:ID`; the TTL counts |
//! | `cookie` | [`Encrypter::read_cookie`] of the cookie named by the id |
//!
//! The browser's cookie is the encrypted id: [`Encrypter::session_id`]. With `session.encrypt` the payload is sealed in all
//! drivers: [`Encrypter`] has a reader of the same name for each, which reads both.

use super::serialize;
use crate::keys::last_of_each;
use crate::{Bounds, Digest, Error, ErrorKind, Value, json, seal};

/// The setting `session.serialization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Serialization {
    /// `php`, the default.
    #[default]
    Php,
    /// `json`.
    Json,
}

/// Reads the payload of a session.
///
/// # Errors
/// A kind and the offset of the damage.
pub fn read(serialization: Serialization, bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    match serialization {
        Serialization::Php => serialize::read_session(bytes, bounds),
        Serialization::Json if bytes.is_empty() => Ok(Value::Map(Vec::new())),
        Serialization::Json => super::as_map(as_php(json::read(bytes, bounds)?)),
    }
}

/// JSON as PHP reads it: a map is an array, in which text that is an integer is an integer key.
fn as_php(value: Value) -> Value {
    match value {
        Value::List(items) => Value::List(items.into_iter().map(as_php).collect()),
        Value::Map(entries) => {
            let entries = entries.into_iter().map(|(name, value)| match name {
                Value::Text(name) => (super::key(name.as_bytes()), as_php(value)),
                name => (name, as_php(value)),
            });
            let entries = last_of_each(entries.collect());
            let is_list = entries.iter().zip(0..).all(|((key, _), index)| *key == Value::Int(index));
            match is_list {
                true => Value::List(entries.into_iter().map(|(_, value)| value).collect()),
                false => Value::Map(entries),
            }
        }
        other => other,
    }
}

/// Reads the column `payload` of the table `sessions`: base64 of the payload.
///
/// # Errors
/// As [`read`].
pub fn read_row(serialization: Serialization, payload: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    read(serialization, &seal::base64(payload)?, bounds)
}

/// Reads a value of a cache: the payload is a text that the cache serializes once more.
///
/// # Errors
/// As [`read`].
pub fn read_cached(serialization: Serialization, value: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    read(serialization, &cached(value, bounds)?, bounds)
}

/// The text that a cache has serialized.
fn cached(value: &[u8], bounds: &Bounds) -> Result<Vec<u8>, Error> {
    match serialize::read(value, bounds)? {
        Value::Text(text) => Ok(text.as_bytes().to_vec()),
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(Error::new(ErrorKind::Malformed, 0, "a text in the cache expected")),
    }
}

fn other_cookie() -> Error {
    Error::new(ErrorKind::Purpose, 0, "the cookie was made under another name")
}

/// The application's keys.
#[derive(Clone)]
pub struct Encrypter {
    keys: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Encrypter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encrypter").field("keys", &self.keys.len()).finish()
    }
}

impl Encrypter {
    /// `APP_KEY` first, then `APP_PREVIOUS_KEYS`. Each has 16 or 32 bytes, or is their base64 after `base64:`.
    ///
    /// # Errors
    /// `Malformed` for a key that is neither.
    pub fn new<'k>(keys: impl IntoIterator<Item = &'k str>) -> Result<Self, Error> {
        let keys = keys.into_iter().map(|key| {
            let bytes = match key.strip_prefix("base64:") {
                Some(text) => seal::base64(text.as_bytes())?,
                None => key.as_bytes().to_vec(),
            };
            match bytes.len() {
                16 | 32 => Ok(bytes),
                _ => Err(Error::new(ErrorKind::Malformed, 0, "a key of Laravel has 16 or 32 bytes")),
            }
        });
        Ok(Self { keys: keys.collect::<Result<_, _>>()? })
    }

    /// Opens a sealed text: base64 of JSON with `iv`, `value`, `mac` and `tag`. Of the ciphers, CBC has a `mac`, GCM a
    /// `tag`.
    ///
    /// # Errors
    /// `Signature` if no key opens it.
    pub fn open(&self, sealed: &[u8], bounds: &Bounds) -> Result<Vec<u8>, Error> {
        self.open_with_key(sealed, bounds).map(|(plain, _)| plain)
    }

    fn open_with_key(&self, sealed: &[u8], bounds: &Bounds) -> Result<(Vec<u8>, &[u8]), Error> {
        if sealed.len() > bounds.size {
            return Err(Error::new(ErrorKind::TooLarge, 0, "sealed text is larger than allowed"));
        }
        let text = seal::base64(&seal::unescape(sealed)).map_err(|_| seal::unsealed())?;
        let parts = json::read(&text, bounds).map_err(|_| seal::unsealed())?;
        let part = |name| parts.get(name).and_then(Value::as_text).unwrap_or_default();
        let (iv, value, mac, tag) = (part("iv"), part("value"), part("mac"), part("tag"));
        let decode = |text: &str| seal::base64(text.as_bytes()).map_err(|_| seal::unsealed());
        let (nonce, cipher, seal_tag) = (decode(iv)?, decode(value)?, decode(tag)?);
        for key in &self.keys {
            let opened = if tag.is_empty() {
                let expected = seal::hmac(Digest::Sha256, key, &[iv.as_bytes(), value.as_bytes()]);
                if !seal::same_hex(mac.as_bytes(), &expected) {
                    continue;
                }
                seal::open_cbc(key, &nonce, &cipher)
            } else {
                seal::open_gcm(key, &nonce, &cipher, &seal_tag, b"")
            };
            if let Ok(plain) = opened {
                return Ok((plain, key));
            }
        }
        Err(seal::unsealed())
    }

    /// The id of the session in the cookie `name` (`laravel_session`, or the value of `SESSION_COOKIE`). The plain
    /// text begins with an HMAC of the cookie's name, since Laravel 8 and the patches of that time for 6 and 7. Text without
    /// it is refused.
    ///
    /// # Errors
    /// `Signature` if no key opens it, `Purpose` if it was made for another cookie.
    pub fn session_id(&self, name: &str, cookie: &[u8], bounds: &Bounds) -> Result<String, Error> {
        String::from_utf8(self.open_cookie(name, cookie, bounds)?).map_err(|_| other_cookie())
    }

    /// Reads the session of the driver `cookie`: the cookie is named by the id and holds the payload and its end. `now` is
    /// in seconds since 1970.
    ///
    /// # Errors
    /// `Signature` if no key opens it, `Purpose` if it was made for another cookie, `Expired`, and as [`read`].
    pub fn read_cookie(
        &self,
        serialization: Serialization,
        id: &str,
        cookie: &[u8],
        now: f64,
        bounds: &Bounds,
    ) -> Result<Value, Error> {
        let stored = json::read(&self.open_cookie(id, cookie, bounds)?, bounds)?;
        let bad = || Error::new(ErrorKind::Malformed, 0, "not a session of the driver cookie");
        let data = stored.get("data").and_then(Value::as_text).ok_or_else(bad)?;
        #[expect(clippy::cast_precision_loss, reason = "moments in seconds are far below 2^53")]
        let expires = stored.get("expires").and_then(Value::parse_integer).ok_or_else(bad)? as f64;
        if now > expires {
            return Err(Error::new(ErrorKind::Expired, 0, "session has expired"));
        }
        self.read_payload(serialization, data.as_bytes(), bounds)
    }

    /// The text of a cookie behind the HMAC of its name.
    fn open_cookie(&self, name: &str, cookie: &[u8], bounds: &Bounds) -> Result<Vec<u8>, Error> {
        let (plain, key) = self.open_with_key(seal::cookie_value(cookie, name), bounds)?;
        let prefix = seal::hmac(Digest::Sha1, key, &[name.as_bytes(), b"v2"]);
        let at = plain.iter().position(|&byte| byte == b'|').ok_or_else(other_cookie)?;
        if !seal::same_hex(&plain[..at], &prefix) {
            return Err(other_cookie());
        }
        Ok(plain[at + 1..].to_vec())
    }

    /// Reads a payload that `session.encrypt` has sealed. The sealed text is a serialized text: the payload.
    ///
    /// # Errors
    /// `Signature` if no key opens it, and as [`read`].
    pub fn read(&self, serialization: Serialization, sealed: &[u8], bounds: &Bounds) -> Result<Value, Error> {
        read_cached(serialization, &self.open(sealed, bounds)?, bounds)
    }

    /// Reads a payload, sealed by `session.encrypt` or not: as [`Encrypter::read`] or as [`read`].
    ///
    /// # Errors
    /// As these.
    pub fn read_payload(
        &self,
        serialization: Serialization,
        payload: &[u8],
        bounds: &Bounds,
    ) -> Result<Value, Error> {
        // The base64 of a sealed text, which is JSON of an object. No serialized array begins so.
        if payload.starts_with(b"eyJ") {
            return self.read(serialization, payload, bounds);
        }
        read(serialization, payload, bounds)
    }

    /// As [`read_row`], for a payload that `session.encrypt` may have sealed.
    ///
    /// # Errors
    /// As [`read_payload`](Self::read_payload).
    pub fn read_row(
        &self,
        serialization: Serialization,
        payload: &[u8],
        bounds: &Bounds,
    ) -> Result<Value, Error> {
        self.read_payload(serialization, &seal::base64(payload)?, bounds)
    }

    /// As [`read_cached`], for a payload that `session.encrypt` may have sealed.
    ///
    /// # Errors
    /// As [`read_payload`](Self::read_payload).
    pub fn read_cached(
        &self,
        serialization: Serialization,
        value: &[u8],
        bounds: &Bounds,
    ) -> Result<Value, Error> {
        self.read_payload(serialization, &cached(value, bounds)?, bounds)
    }
}

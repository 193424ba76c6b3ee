//! Flask's signed cookie, and the tags in its JSON.

use super::itsdangerous::{Derivation, Signer};
use super::{json, moment};
use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind, Value, zlib};

/// Settings of Flask's `SecureCookieSessionInterface`.
#[derive(Clone)]
pub struct Cookie {
    name: String,
    secrets: Vec<Vec<u8>>,
    salt: Vec<u8>,
    digest: Digest,
    max_age: f64,
    epoch: u32,
    signer: Signer,
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie")
            .field("name", &self.name)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

/// A session from a cookie.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Opened {
    /// The session.
    pub value: Value,
    /// The moment of the signature in seconds since 1970.
    pub signed: u64,
}

impl Cookie {
    /// A cookie signed with `SECRET_KEY`, or with one of `SECRET_KEY_FALLBACKS` after it.
    pub fn new(secrets: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        let secrets: Vec<_> = secrets.into_iter().map(Into::into).collect();
        let (salt, digest) = (b"cookie-session".to_vec(), Digest::Sha1);
        let signer = Signer::new(digest, Derivation::Hmac, &salt, &secrets);
        Self { name: "session".to_owned(), secrets, salt, digest, max_age: 2_678_400.0, epoch: 0, signer }
    }

    /// Sets the name (`SESSION_COOKIE_NAME`).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the age in seconds at which a cookie ends (`PERMANENT_SESSION_LIFETIME`). It holds for all sessions.
    #[must_use]
    pub fn max_age(mut self, seconds: f64) -> Self {
        self.max_age = seconds;
        self
    }

    /// Sets the salt and the digest, where an application has its own interface.
    #[must_use]
    pub fn signature(mut self, salt: impl Into<Vec<u8>>, digest: Digest) -> Self {
        (self.salt, self.digest) = (salt.into(), digest);
        self.signer = Signer::new(digest, Derivation::Hmac, &self.salt, &self.secrets);
        self
    }

    /// Sets that times count from 2011, as those of itsdangerous 0.24 and older do.
    #[must_use]
    pub fn epoch_of_2011(mut self) -> Self {
        self.epoch = 1_293_840_000;
        self
    }

    /// Reads a cookie: `name=value` or the value alone. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`ErrorKind::Signature`] where no secret signed it, [`ErrorKind::Expired`] where it is too old or from the future,
    /// and the errors of the format.
    pub fn read(&self, cookie: &[u8], now: f64, bounds: &Bounds) -> Result<Opened, Error> {
        if cookie.len() > bounds.size {
            return Err(Error::new(ErrorKind::TooLarge, 0, "cookie is larger than allowed"));
        }
        let text = seal::cookie_value(cookie, &self.name);
        let since = now - f64::from(self.epoch);
        let (payload, time) = self.signer.unsign_timed(text, since, Some(self.max_age))?;
        let signed = time + u64::from(self.epoch);
        let plain = match payload.strip_prefix(b".") {
            Some(packed) => zlib::inflate(&seal::base64_url(packed)?, bounds)?,
            None => seal::base64_url(payload)?,
        };
        Ok(Opened { value: super::session(untag(json::read(&plain, bounds)?)?)?, signed })
    }
}

/// The value that tags stand for: a map with one key that is a tag is a value that JSON does not have.
fn untag(value: Value) -> Result<Value, Error> {
    let mut entries = match value {
        Value::Map(entries) => entries,
        Value::List(items) => {
            return items.into_iter().map(untag).collect::<Result<_, _>>().map(Value::List);
        }
        other => return Ok(other),
    };
    for (_, value) in &mut entries {
        *value = untag(std::mem::replace(value, Value::Null))?;
    }
    let bad = || Error::new(ErrorKind::Malformed, 0, "content of a tag");
    let tag = match entries.as_slice() {
        [(Value::Text(tag), _)] if matches!(tag.as_str(), " t" | " b" | " m" | " u" | " d" | " di") => {
            tag.clone()
        }
        _ => return Ok(Value::Map(entries)),
    };
    let content = entries.pop().map_or(Value::Null, |(_, content)| content);
    Ok(match (tag.as_str(), content) {
        (" t", Value::List(items)) => Value::Tuple(items),
        (" b", Value::Text(text)) => Value::Bytes(seal::base64(text.as_bytes())?),
        (" m", Value::Text(text)) => Value::Markup(text.into()),
        // Text that no other type can hold.
        (" m", text @ Value::Utf16(_)) => text,
        (" u", Value::Text(text)) => Value::Uuid(moment::uuid(hexadecimal(&text).ok_or_else(bad)?)),
        (" d", Value::Text(text)) => Value::DateTime(moment::http_date(&text).ok_or_else(bad)?),
        // A map with one key that looks like a tag has two more letters in it.
        (" di", Value::Map(mut inner)) => {
            match inner.first_mut() {
                Some((Value::Text(key), _)) if key.ends_with("__") => key.truncate(key.len() - 2),
                _ => return Err(bad()),
            }
            Value::Map(inner)
        }
        _ => return Err(bad()),
    })
}

fn hexadecimal(text: &str) -> Option<u128> {
    let digits = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(text, 16).ok())?
}

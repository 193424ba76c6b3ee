//! Plack::Middleware::Session: files, and the signed cookie of `Plack::Middleware::Session::Cookie`.

use super::storable;
use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind, Value, json};

/// How the session is serialized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Serializer {
    /// Storable, the default.
    #[default]
    Storable,
    /// JSON, as many applications set it.
    Json,
}

/// Settings of the cookie.
#[derive(Clone)]
pub struct Cookie {
    name: String,
    secret: Vec<u8>,
    serializer: Serializer,
    expires: Option<f64>,
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie")
            .field("name", &self.name)
            .field("serializer", &self.serializer)
            .finish_non_exhaustive()
    }
}

/// A session from a cookie.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Opened {
    /// The session.
    pub value: Value,
    /// When the cookie was written, in seconds since 1970. The signature does not cover it.
    pub written: Option<f64>,
}

impl Cookie {
    /// A cookie of the default name `plack_session`.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self {
            name: "plack_session".to_owned(),
            secret: secret.into(),
            serializer: Serializer::default(),
            expires: None,
        }
    }

    /// Sets the name (`session_key`).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the serializer.
    #[must_use]
    pub fn serializer(mut self, serializer: Serializer) -> Self {
        self.serializer = serializer;
        self
    }

    /// Sets the seconds after which a cookie is too old.
    ///
    /// The middleware itself checks no age on the server, and its time is not signed: this stops only honest clients.
    #[must_use]
    pub fn expires(mut self, seconds: f64) -> Self {
        self.expires = Some(seconds);
        self
    }

    /// Opens a cookie: `time:session:signature`. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// `Signature` for a wrong signature or seal, `Purpose`, `Expired`; else a kind and the offset of the damage.
    pub fn read(&self, cookie: &[u8], now: f64, bounds: &Bounds) -> Result<Opened, Error> {
        if cookie.len() > bounds.size {
            return Err(Error::new(ErrorKind::TooLarge, 0, "cookie is larger than allowed"));
        }
        let text = seal::unescape(seal::cookie_value(cookie, &self.name));
        let mut parts = text.splitn(3, |&byte| byte == b':');
        let (Some(time), Some(data), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(seal::unsealed());
        };
        // With an empty key anyone could sign.
        if self.secret.is_empty()
            || !seal::same_hex(signature, &seal::hmac(Digest::Sha1, &self.secret, &[data]))
        {
            return Err(seal::unsealed());
        }
        let written = std::str::from_utf8(time)
            .ok()
            .and_then(|time| time.parse::<f64>().ok())
            .filter(|time| time.is_finite());
        // Without a readable time the age is unknown, so the session has expired.
        if let Some(seconds) = self.expires
            && written.is_none_or(|written| now >= written + seconds)
        {
            return Err(Error::new(ErrorKind::Expired, 0, "cookie has expired"));
        }
        let bytes = seal::base64(data)?;
        let value = match self.serializer {
            Serializer::Storable => storable::read(&bytes, bounds)?,
            Serializer::Json => json::read(&bytes, bounds)?,
        };
        Ok(Opened { value, written })
    }
}

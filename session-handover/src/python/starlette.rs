//! The cookie of Starlette's `SessionMiddleware`, which FastAPI uses too.

use super::itsdangerous::{Derivation, Signer};
use super::json;
use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind, Value};

/// Settings of `SessionMiddleware`.
#[derive(Clone)]
pub struct Cookie {
    name: String,
    max_age: Option<f64>,
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
    /// A cookie signed with `secret_key`, or with an older one after it.
    pub fn new(secrets: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        let secrets: Vec<_> = secrets.into_iter().map(Into::into).collect();
        let signer = Signer::new(Digest::Sha1, Derivation::DjangoConcat, b"itsdangerous.Signer", &secrets);
        Self { name: "session".to_owned(), max_age: Some(1_209_600.0), signer }
    }

    /// Sets the name (`session_cookie`).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the age in seconds at which a cookie ends (`max_age`), or that it does not end.
    #[must_use]
    pub fn max_age(mut self, seconds: Option<f64>) -> Self {
        self.max_age = seconds;
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
        let (payload, signed) = self.signer.unsign_timed(text, now, self.max_age)?;
        Ok(Opened { value: super::session(json::read(&seal::base64(payload)?, bounds)?)?, signed })
    }
}

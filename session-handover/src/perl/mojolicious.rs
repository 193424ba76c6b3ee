//! Mojolicious' session cookie: JSON in base64, with a signature.

use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind, Value, json};

/// Settings of `Mojolicious::Sessions`.
#[derive(Clone)]
pub struct Cookie {
    name: String,
    secrets: Vec<Vec<u8>>,
    default_expiration: f64,
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie")
            .field("name", &self.name)
            .field("default_expiration", &self.default_expiration)
            .finish_non_exhaustive()
    }
}

/// A session from a cookie.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Opened {
    /// The session as it was stored, with its keys `expires`, `expiration` and `new_flash`.
    pub value: Value,
    /// The end of its life in seconds since 1970.
    pub expires: Option<f64>,
}

impl Cookie {
    /// A cookie of the default name `mojolicious`, with the application's secrets, newest first.
    pub fn new(secrets: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Self { name: "mojolicious".to_owned(), secrets: seal::secrets(secrets), default_expiration: 3600.0 }
    }

    /// Sets the name (`cookie_name`).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets `default_expiration`, in seconds. Zero: sessions without an end are accepted.
    #[must_use]
    pub fn default_expiration(mut self, seconds: f64) -> Self {
        self.default_expiration = seconds;
        self
    }

    /// Opens the cookies of a header: `name=value; name=value`, or one value. The last cookie with a signature that holds wins.
    ///
    /// # Errors
    /// `Signature` for a wrong signature or seal, `Purpose`, `Expired`; else a kind and the offset of the damage.
    pub fn read(&self, cookies: &[u8], now: f64, bounds: &Bounds) -> Result<Opened, Error> {
        if cookies.len() > bounds.size {
            return Err(Error::new(ErrorKind::TooLarge, 0, "cookie is larger than allowed"));
        }
        let mut found = None;
        for cookie in cookies.split(|&byte| byte == b';') {
            let cookie = cookie.trim_ascii();
            // Another cookie of the header.
            if let Some(at) = cookie.iter().position(|&byte| byte == b'=')
                && &cookie[..at] != self.name.as_bytes()
            {
                continue;
            }
            let text = seal::cookie_value(cookie, &self.name);
            if let Some(data) = self.verified(text) {
                found = Some(data);
            }
        }
        let data = found.ok_or_else(seal::unsealed)?;
        let data: Vec<u8> = data.iter().map(|&byte| if byte == b'-' { b'=' } else { byte }).collect();
        let json_text = seal::base64(&data)?;
        // The padding: letters Z behind the last brace.
        let end = json_text.iter().rposition(|&byte| byte != b'Z').map_or(0, |last| last + 1);
        let padded = json_text[..end].last() == Some(&b'}');
        let value = json::read(if padded { &json_text[..end] } else { &json_text }, bounds)?;
        let Value::Map(entries) = &value else {
            return Err(Error::new(ErrorKind::Malformed, 0, "session is not a map"));
        };
        let entry = |name: &str| {
            entries
                .iter()
                .rev()
                .find(|(key, _)| matches!(key, Value::Text(key) if key == name))
                .map(|(_, value)| value)
        };
        let expires = entry("expires").and_then(number);
        let expiration = match entry("expiration") {
            None | Some(Value::Null) => self.default_expiration,
            Some(value) => number(value).unwrap_or(0.0),
        };
        match expires {
            Some(expires) if expires <= now => {
                return Err(Error::new(ErrorKind::Expired, 0, "session has expired"));
            }
            None | Some(0.0) if expiration != 0.0 => {
                return Err(Error::new(ErrorKind::Expired, 0, "session has no end and needs one"));
            }
            _ => {}
        }
        Ok(Opened { value, expires })
    }

    /// The value of a cookie whose signature holds.
    fn verified<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let (data, signature) = seal::split_signature(text)?;
        if signature.contains(&b'-') {
            return None;
        }
        self.secrets
            .iter()
            .any(|secret| {
                let mac = seal::hmac(Digest::Sha256, secret, &[self.name.as_bytes(), b"=", data]);
                seal::same_hex(signature, &mac)
            })
            .then_some(data)
    }
}

/// A number, or the text of one: Perl takes both.
fn number(value: &Value) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "moments in seconds are far below 2^53")]
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

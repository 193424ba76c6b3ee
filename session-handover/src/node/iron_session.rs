//! iron-session: a cookie that is sealed in the format Fe26.2 of Iron.

use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind, Value};

/// A seal is accepted for this many milliseconds after its end: clocks differ.
const SKEW: f64 = 60_000.0;
/// The least characters of a password.
const SHORTEST: usize = 32;

/// Settings of iron-session.
#[derive(Clone)]
pub struct Cookie {
    name: String,
    passwords: Vec<(String, Vec<u8>)>,
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A session from a cookie.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Opened {
    /// The session.
    pub value: Value,
    /// The end of the seal in seconds since 1970. `None`: the setting `ttl` is 0.
    pub expires: Option<f64>,
}

impl Cookie {
    /// A cookie of this name (`cookieName`), with the `password`. A text alone has the id `1`.
    ///
    /// # Errors
    /// `Malformed` for a password of fewer than 32 characters.
    pub fn new(name: impl Into<String>, password: &str) -> Result<Self, Error> {
        Self { name: name.into(), passwords: Vec::new() }.password("1", password)
    }

    /// Adds a password of another id, where `password` is an object.
    ///
    /// # Errors
    /// `Malformed` for a password of fewer than 32 characters.
    pub fn password(mut self, id: impl Into<String>, password: &str) -> Result<Self, Error> {
        if password.encode_utf16().count() < SHORTEST {
            return Err(Error::new(ErrorKind::Malformed, 0, "password of fewer than 32 characters"));
        }
        let id = id.into();
        self.passwords.retain(|(other, _)| *other != id);
        self.passwords.push((id, password.as_bytes().to_vec()));
        Ok(self)
    }

    /// Opens the cookie of a `Cookie` header, or one value. `now` is in seconds since 1970. Of several cookies of the name only
    /// the first counts.
    ///
    /// # Errors
    /// `Signature` where the cookie is missing, its password is not known, or the seal does not hold; `Expired`; else a
    /// kind and the offset of the damage.
    pub fn read(&self, header: &[u8], now: f64, bounds: &Bounds) -> Result<Opened, Error> {
        if header.len() > bounds.size {
            return Err(Error::new(ErrorKind::TooLarge, 0, "cookie is larger than allowed"));
        }
        let text = super::first_cookie(header, &self.name)
            .and_then(super::decode_component)
            .ok_or_else(seal::unsealed)?;
        let mut versions = text.split('~');
        let (sealed, version) = (versions.next().unwrap_or_default(), versions.next());
        let (plain, expires) = self.open(sealed)?;
        if expires.is_some_and(|end| end <= now * 1e3 - SKEW) {
            return Err(Error::new(ErrorKind::Expired, 0, "seal has expired"));
        }
        // JSON.stringify(undefined) gives undefined.
        let empty = plain.is_empty() || plain == b"null";
        let mut value = if empty { Value::Map(Vec::new()) } else { super::session(&plain, bounds)? };
        if version != Some("2") {
            // Versions before 8 kept the session in a member, beside the flash.
            value = match value.get("persistent") {
                Some(persistent @ Value::Map(_)) => persistent.clone(),
                _ => Value::Map(Vec::new()),
            };
        }
        Ok(Opened { value, expires: expires.map(|end| end / 1e3) })
    }

    /// Opens a seal. Gives its text and its end in milliseconds.
    fn open(&self, sealed: &str) -> Result<(Vec<u8>, Option<f64>), Error> {
        let (signed, mac_text) = sealed.rsplit_once('*').ok_or_else(seal::unsealed)?;
        let parts: Vec<&str> = signed.split('*').collect();
        let [prefix, id, salt, iv, cipher, end, mac_salt] = parts[..] else { return Err(seal::unsealed()) };
        let known = self.passwords.iter().find(|(known, _)| known == id);
        let (Some((_, password)), "Fe26.2") = (known, prefix) else { return Err(seal::unsealed()) };
        let key = |salt: &str| seal::pbkdf2(Digest::Sha1, password, salt.as_bytes(), 1, 32);
        let base = &signed[..signed.len() - mac_salt.len() - 1];
        let mac = seal::hmac(Digest::Sha256, &key(mac_salt), &[base.as_bytes()]);
        if !seal::same(mac_text.as_bytes(), seal::to_base64_url(&mac).as_bytes()) {
            return Err(seal::unsealed());
        }
        let digits = end.bytes().all(|byte| byte.is_ascii_digit());
        let expires = match end {
            "" => None,
            end if digits => end.parse().ok(),
            _ => return Err(seal::unsealed()),
        };
        let decode = |text: &str| seal::base64_url(text.as_bytes()).map_err(|_| seal::unsealed());
        Ok((seal::open_cbc(&key(salt), &decode(iv)?, &decode(cipher)?)?, expires))
    }
}

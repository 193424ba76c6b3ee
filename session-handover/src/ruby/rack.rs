//! Rack's sessions: the signed cookie of Rack 2, the sealed cookie of rack-session (Rack 3), and values in Redis.

use super::marshal;
use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind, Value, json, zlib};

/// How a cookie holds its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Coder {
    /// `Base64::Marshal`, the default.
    #[default]
    Marshal,
    /// `Base64::JSON`, or `serialize_json`.
    Json,
    /// `Base64::ZipJSON`.
    ZipJson,
}

/// Settings of `Rack::Session::Cookie`.
#[derive(Clone)]
pub struct Cookie {
    name: String,
    secrets: Vec<Vec<u8>>,
    coder: Coder,
    digest: Digest,
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie").field("name", &self.name).field("coder", &self.coder).finish_non_exhaustive()
    }
}

impl Cookie {
    /// A cookie of the default name `rack.session`, with the secret and the old secrets, newest first.
    pub fn new(secrets: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Self {
            name: "rack.session".to_owned(),
            secrets: seal::secrets(secrets),
            coder: Coder::default(),
            digest: Digest::Sha1,
        }
    }

    /// Sets the name (`key`).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the coder.
    #[must_use]
    pub fn coder(mut self, coder: Coder) -> Self {
        self.coder = coder;
        self
    }

    /// Sets the digest of signed cookies (`hmac`).
    #[must_use]
    pub fn digest(mut self, digest: Digest) -> Self {
        self.digest = digest;
        self
    }

    /// Opens a cookie. A cookie that no secret signed is [`ErrorKind::Signature`].
    ///
    /// # Errors
    /// `Signature` for a wrong signature or seal, `Purpose`, `Expired`; else a kind and the offset of the damage.
    pub fn read(&self, cookie: &[u8], bounds: &Bounds) -> Result<Value, Error> {
        if cookie.len() > bounds.size {
            return Err(Error::new(ErrorKind::TooLarge, 0, "cookie is larger than allowed"));
        }
        let text = seal::unescape(seal::cookie_value(cookie, &self.name));
        // A signed cookie has its signature after two dashes; in base64 for URLs two dashes may stand anywhere.
        if let Some((data, signature)) = seal::split_signature(&text)
            && matches!(signature.len(), 40 | 64)
            && self
                .secrets
                .iter()
                .any(|secret| seal::same_hex(signature, &seal::hmac(self.digest, secret, &[data])))
        {
            return self.decode(data, bounds);
        }
        let sealed = seal::base64_url(&text).map_err(|_| seal::unsealed())?;
        for secret in &self.secrets {
            // The purpose is the name where an application gave one, and nothing by default.
            for purpose in [&[], self.name.as_bytes()] {
                if let Ok(plain) = open(secret, purpose, &sealed) {
                    return self.padded(&plain, sealed.first() == Some(&2), bounds);
                }
            }
        }
        Err(seal::unsealed())
    }

    fn decode(&self, data: &[u8], bounds: &Bounds) -> Result<Value, Error> {
        let bytes = seal::base64(data)?;
        let value = match self.coder {
            Coder::Marshal => marshal::read(&bytes, bounds)?,
            Coder::Json => json::read(&bytes, bounds)?,
            Coder::ZipJson => json::read(&zlib::inflate(&bytes, bounds)?, bounds)?,
        };
        Ok(super::public_id(value))
    }

    /// Opens the serialized session behind its padding.
    fn padded(&self, plain: &[u8], always_json: bool, bounds: &Bounds) -> Result<Value, Error> {
        let short = || Error::new(ErrorKind::Truncated, 0, "padding beyond the content");
        let (&[low, high], rest) = plain.split_first_chunk::<2>().ok_or_else(short)?;
        let data = rest.get(usize::from(u16::from_le_bytes([low, high]))..).ok_or_else(short)?;
        let value = if always_json || self.coder != Coder::Marshal {
            json::read(data, bounds)?
        } else {
            marshal::read(data, bounds)?
        };
        Ok(super::public_id(value))
    }
}

/// Opens the seal of rack-session: version 1 (AES-CTR and HMAC) and version 2 (AES-GCM).
fn open(secret: &[u8], purpose: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let (key, mac_key) = secret.split_at_checked(32).ok_or_else(seal::unsealed)?;
    match sealed.first() {
        // Rack takes no shorter secrets for this version: the key of the signature would be short, or empty.
        Some(1) if sealed.len() >= 1 + 32 + 16 + 32 && secret.len() >= 64 => {
            let (signed, signature) = sealed.split_at(sealed.len() - 32);
            if !seal::same(signature, &seal::hmac(Digest::Sha256, mac_key, &[signed, purpose])) {
                return Err(seal::unsealed());
            }
            let message_key = seal::hmac(Digest::Sha256, key, &[&signed[1..33]]);
            seal::open_ctr(&message_key, &signed[33..49], &signed[49..])
        }
        Some(2) if sealed.len() > 61 => {
            let message_key = seal::hmac(Digest::Sha256, key, &[&sealed[1..33]]);
            let about = [&sealed[..33], purpose].concat();
            seal::open_gcm(&message_key, &sealed[33..45], &sealed[61..], &sealed[45..61], &about)
        }
        _ => Err(seal::unsealed()),
    }
}

/// Reads a value of redis-rack.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read_redis(value: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    marshal::read(value, bounds).map(super::public_id)
}

/// The key under which Rack 2 and later store the session of a cookie: `2::` and the SHA-256 of its value.
pub fn private_id(cookie_value: &str) -> String {
    use sha2::Digest as _;
    format!("2::{}", seal::hex(&sha2::Sha256::digest(cookie_value.as_bytes())))
}

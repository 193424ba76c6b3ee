//! Beaker's sessions: files, values of other stores, and the cookie, also encrypted.

use super::{json, pickle};
use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind, Value, zlib};

/// How the session stands in its text (`session.data_serializer`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Serializer {
    /// `pickle`, the default.
    #[default]
    Pickle,
    /// `json`, which is compressed.
    Json,
}

/// The mode of AES, which depends on the package that Beaker found (`session.crypto_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Cipher {
    /// The package cryptography.
    #[default]
    Gcm,
    /// The packages pycryptodome and pycrypto, since Beaker 1.7. This mode does not notice damage.
    Ctr,
}

/// Settings of `SessionMiddleware`.
#[derive(Clone)]
pub struct Sessions {
    name: String,
    serializer: Serializer,
    encrypt_key: Option<Vec<u8>>,
    validate_key: Vec<u8>,
    cipher: Cipher,
    nonce: usize,
    timeout: Option<f64>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("name", &self.name)
            .field("serializer", &self.serializer)
            .field("encrypted", &self.encrypt_key.is_some())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Default for Sessions {
    /// Pickles without encryption, and without a timeout.
    fn default() -> Self {
        Self {
            name: "beaker.session.id".to_owned(),
            serializer: Serializer::default(),
            encrypt_key: None,
            validate_key: Vec::new(),
            cipher: Cipher::default(),
            nonce: 24,
            timeout: None,
        }
    }
}

impl Sessions {
    /// Sets the name of the cookie (`session.key`).
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

    /// Sets `session.validate_key`, with which cookies are signed.
    #[must_use]
    pub fn validate_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.validate_key = key.into();
        self
    }

    /// Sets `session.encrypt_key`. It needs [`validate_key`](Self::validate_key).
    #[must_use]
    pub fn encrypt_key(mut self, key: impl Into<Vec<u8>>, cipher: Cipher) -> Self {
        (self.encrypt_key, self.cipher) = (Some(key.into()), cipher);
        self
    }

    /// Sets the bits of a nonce (`session.encrypt_nonce_bits`): 128, or 48 before Beaker 1.8.
    #[must_use]
    pub fn nonce_bits(mut self, bits: usize) -> Self {
        self.nonce = (bits / 8 * 4 / 3 + 3) & !3;
        self
    }

    /// Sets the seconds after the last access at which a session ends (`session.timeout`).
    #[must_use]
    pub fn timeout(mut self, seconds: f64) -> Self {
        self.timeout = Some(seconds);
        self
    }

    /// Reads a file of the backend `file`: a pickle that maps `session` to the text of a session. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`ErrorKind::Signature`] where the key does not open it, [`ErrorKind::Expired`] after the timeout, and the errors of
    /// the format.
    pub fn read_file(&self, file: &[u8], now: f64, bounds: &Bounds) -> Result<Value, Error> {
        match pickle::read(file, bounds)?.get("session") {
            Some(session) => self.entry(session.clone(), now, bounds),
            None => Err(Error::new(ErrorKind::Malformed, 0, "file has no session")),
        }
    }

    /// Reads a value of another store, which is a pickle of the text of a session.
    ///
    /// # Errors
    /// As [`read_file`](Self::read_file).
    pub fn read_value(&self, value: &[u8], now: f64, bounds: &Bounds) -> Result<Value, Error> {
        self.entry(pickle::read(value, bounds)?, now, bounds)
    }

    /// Reads the cookie of the type `cookie`: `name=value` or the value alone.
    ///
    /// # Errors
    /// As [`read_file`](Self::read_file), and [`ErrorKind::Signature`] where `validate_key` did not sign it.
    pub fn read_cookie(&self, cookie: &[u8], now: f64, bounds: &Bounds) -> Result<Value, Error> {
        if cookie.len() > bounds.size {
            return Err(Error::new(ErrorKind::TooLarge, 0, "cookie is larger than allowed"));
        }
        let text = unsign(&self.validate_key, seal::cookie_value(cookie, &self.name))?;
        self.text(text, now, bounds)
    }

    fn entry(&self, entry: Value, now: f64, bounds: &Bounds) -> Result<Value, Error> {
        match entry {
            Value::Text(text) => self.text(text.as_bytes(), now, bounds),
            Value::Bytes(text) => self.text(&text, now, bounds),
            // Old versions keep the map itself where nothing is encrypted.
            value @ Value::Map(_) if self.encrypt_key.is_none() => self.live(value, now),
            _ => Err(Error::new(ErrorKind::Malformed, 0, "a session is text")),
        }
    }

    fn text(&self, text: &[u8], now: f64, bounds: &Bounds) -> Result<Value, Error> {
        let plain = match &self.encrypt_key {
            None => seal::base64(text)?,
            Some(key) => {
                let (nonce, sealed) = text.split_at_checked(self.nonce).ok_or_else(seal::unsealed)?;
                let salt = [&self.validate_key, nonce].concat();
                let key = seal::pbkdf2(Digest::Sha1, key, &salt, 1, 32);
                let sealed = seal::base64(sealed).map_err(|_| seal::unsealed())?;
                match (self.cipher, sealed.split_at_checked(28)) {
                    (Cipher::Gcm, Some((head, sealed))) => {
                        seal::open_gcm(&key, &head[..12], sealed, &head[12..], b"")?
                    }
                    (Cipher::Gcm, None) => return Err(seal::unsealed()),
                    (Cipher::Ctr, _) => seal::open_ctr(&key, &[0; 16], &sealed)?,
                }
            }
        };
        let value = match self.serializer {
            Serializer::Pickle => pickle::read(&plain, bounds)?,
            Serializer::Json => json::read(&zlib::inflate(&plain, bounds)?, bounds)?,
        };
        self.live(super::session(value)?, now)
    }

    fn live(&self, value: Value, now: f64) -> Result<Value, Error> {
        #[expect(clippy::cast_precision_loss, reason = "a moment that is not near 2^53 seconds")]
        let accessed = match value.get("_accessed_time") {
            Some(Value::Float(moment)) => Some(*moment),
            Some(Value::Int(moment)) => Some(*moment as f64),
            _ => None,
        };
        if accessed.zip(self.timeout).is_some_and(|(moment, timeout)| now - moment > timeout) {
            return Err(Error::new(ErrorKind::Expired, 0, "session has expired"));
        }
        Ok(value)
    }
}

/// The text behind the signature of a cookie: the id of a session with `session.secret`, or the session itself.
///
/// # Errors
/// [`ErrorKind::Signature`] where the secret did not sign it.
pub fn unsign<'t>(secret: &[u8], cookie_value: &'t [u8]) -> Result<&'t [u8], Error> {
    let text = cookie_value.strip_prefix(b"\"").unwrap_or(cookie_value);
    let text = text.strip_suffix(b"\"").unwrap_or(text);
    let (signature, rest) = text.split_at_checked(40).ok_or_else(seal::unsealed)?;
    // With an empty key anyone could sign.
    if secret.is_empty() || !seal::same_hex(signature, &seal::hmac(Digest::Sha1, secret, &[rest])) {
        return Err(seal::unsealed());
    }
    Ok(rest)
}

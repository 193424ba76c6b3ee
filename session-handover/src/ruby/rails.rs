//! Rails' cookie store, from Rails 4 to 8: sealed and signed cookies with their envelope.

use std::sync::OnceLock;

use super::{marshal, msgpack};
use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind, Value, json};

/// How the session stands in the cookie (`cookies_serializer`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Serializer {
    /// The first bytes tell: Marshal, MessagePack or JSON. The signature was checked before that.
    #[default]
    Detect,
    /// `:marshal`, which applies before Rails 7.0 where an application sets nothing.
    Marshal,
    /// `:json`. Marshal is refused.
    Json,
    /// `:message_pack`.
    MessagePack,
}

/// How the cookie is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protection {
    /// AES-256-GCM, since Rails 5.2 (`use_authenticated_cookie_encryption`).
    Gcm,
    /// AES-256-CBC and HMAC, the older encrypted cookie.
    Cbc,
    /// A signature alone.
    Signed,
}

/// Settings of `ActionDispatch::Session::CookieStore`.
///
/// A key is derived from the secret when it is first needed, which takes about a millisecond. Keep the settings for all requests.
#[derive(Clone)]
pub struct Cookie {
    name: String,
    secrets: Vec<Secret>,
    serializer: Serializer,
    salts: Salts,
}

impl std::fmt::Debug for Cookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie")
            .field("name", &self.name)
            .field("serializer", &self.serializer)
            .finish_non_exhaustive()
    }
}

/// A secret and the keys that were derived from it.
#[derive(Clone)]
struct Secret {
    text: Vec<u8>,
    keys: [OnceLock<Keys>; 6],
}

/// The keys of a cipher and of a signature.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) cipher: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Salts {
    authenticated: Vec<u8>,
    encrypted: Vec<u8>,
    encrypted_signed: Vec<u8>,
    signed: Vec<u8>,
}

/// A session from a cookie, and how it was kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Opened {
    /// The session.
    pub value: Value,
    /// The end of its life in seconds since 1970, where the seal has one.
    pub expires: Option<f64>,
    /// The envelope, for writing the session back in the same way.
    pub envelope: Envelope,
}

/// How a cookie was written.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    pub(crate) protection: Protection,
    /// The digest of the key generator.
    pub(crate) digest: Digest,
    /// The digest of the signature, where there is one.
    pub(crate) signer: Digest,
    pub(crate) secret: usize,
    pub(crate) iv: Vec<u8>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) json: bool,
}

impl Envelope {
    /// The initialization vector of the cookie that was read. A new cookie needs another one.
    pub fn iv(&self) -> &[u8] {
        &self.iv
    }
}

/// The text around a message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metadata {
    /// `data` of Rails 7.1 and later, else `message`.
    pub(crate) inline: bool,
    pub(crate) expires: Option<String>,
    pub(crate) purpose: Option<String>,
    /// The members in the order in which they stood.
    pub(crate) order: Vec<String>,
}

impl Cookie {
    /// A cookie of this name, with `secret_key_base` and the older ones after it.
    pub fn new(name: impl Into<String>, secrets: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Self {
            name: name.into(),
            secrets: secrets
                .into_iter()
                .map(Into::into)
                // With an empty key anyone could sign.
                .filter(|text: &Vec<u8>| !text.is_empty())
                .map(|text| Secret { text, keys: Default::default() })
                .collect(),
            serializer: Serializer::default(),
            salts: Salts {
                authenticated: b"authenticated encrypted cookie".to_vec(),
                encrypted: b"encrypted cookie".to_vec(),
                encrypted_signed: b"signed encrypted cookie".to_vec(),
                signed: b"signed cookie".to_vec(),
            },
        }
    }

    /// Sets the serializer.
    #[must_use]
    pub fn serializer(mut self, serializer: Serializer) -> Self {
        self.serializer = serializer;
        self
    }

    /// Sets `authenticated_encrypted_cookie_salt`.
    #[must_use]
    pub fn authenticated_salt(mut self, salt: impl Into<Vec<u8>>) -> Self {
        self.salts.authenticated = salt.into();
        self.forget()
    }

    /// Sets `encrypted_cookie_salt` and `encrypted_signed_cookie_salt`.
    #[must_use]
    pub fn encrypted_salts(mut self, encrypted: impl Into<Vec<u8>>, signed: impl Into<Vec<u8>>) -> Self {
        self.salts.encrypted = encrypted.into();
        self.salts.encrypted_signed = signed.into();
        self.forget()
    }

    /// Sets `signed_cookie_salt`.
    #[must_use]
    pub fn signed_salt(mut self, salt: impl Into<Vec<u8>>) -> Self {
        self.salts.signed = salt.into();
        self.forget()
    }

    /// Forgets keys of other salts.
    fn forget(mut self) -> Self {
        for secret in &mut self.secrets {
            secret.keys = Default::default();
        }
        self
    }

    /// Opens a cookie: `name=value` or the value alone. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`ErrorKind::Signature`] where no secret opens it, [`ErrorKind::Purpose`] where it was made for another cookie,
    /// [`ErrorKind::Expired`] where its time is over, and the errors of the format.
    pub fn read(&self, cookie: &[u8], now: f64, bounds: &Bounds) -> Result<Opened, Error> {
        if cookie.len() > bounds.size {
            return Err(Error::new(ErrorKind::TooLarge, 0, "cookie is larger than allowed"));
        }
        let text = seal::unescape(seal::cookie_value(cookie, &self.name));
        let (plain, mut envelope) = self.open(&text)?;
        let (message, metadata) = self.message(&plain, bounds)?;
        let mut expires = None;
        if let Some(metadata) = &metadata {
            if metadata.purpose.as_deref().is_some_and(|purpose| purpose != format!("cookie.{}", self.name)) {
                return Err(Error::new(ErrorKind::Purpose, 0, "cookie was made for another name"));
            }
            if let Some(text) = &metadata.expires {
                let end = super::time::parse(text)
                    .ok_or_else(|| Error::new(ErrorKind::Malformed, 0, "moment of the end"))?;
                if now >= end {
                    return Err(Error::new(ErrorKind::Expired, 0, "cookie has expired"));
                }
                expires = Some(end);
            }
        }
        let (value, json) = match message {
            Message::Value(value, json) => (value, json),
            Message::Bytes(bytes) => self.decode(&bytes, bounds)?,
        };
        envelope.metadata = metadata;
        envelope.json = json;
        Ok(Opened { value: super::public_id(value), expires, envelope })
    }

    /// The keys of a secret. `digest` is that of the key generator.
    pub(crate) fn keys(&self, protection: Protection, digest: Digest, secret: usize) -> Option<&Keys> {
        let secret = self.secrets.get(secret)?;
        let slot = match (protection, digest) {
            (Protection::Gcm, Digest::Sha256) => 0,
            (Protection::Gcm, Digest::Sha1) => 1,
            (Protection::Cbc, Digest::Sha256) => 2,
            (Protection::Cbc, Digest::Sha1) => 3,
            (Protection::Signed, Digest::Sha256) => 4,
            (Protection::Signed, Digest::Sha1) => 5,
        };
        let derive = |salt: &[u8], length| seal::pbkdf2(digest, &secret.text, salt, 1000, length);
        Some(secret.keys[slot].get_or_init(|| match protection {
            Protection::Gcm => Keys { cipher: derive(&self.salts.authenticated, 32), signature: Vec::new() },
            Protection::Cbc => Keys {
                cipher: derive(&self.salts.encrypted, 32),
                signature: derive(&self.salts.encrypted_signed, 64),
            },
            Protection::Signed => Keys { cipher: Vec::new(), signature: derive(&self.salts.signed, 64) },
        }))
    }

    fn open(&self, text: &[u8]) -> Result<(Vec<u8>, Envelope), Error> {
        let parts = split(text);
        for index in 0..self.secrets.len() {
            for digest in [Digest::Sha256, Digest::Sha1] {
                let envelope = |protection, signer, iv| Envelope {
                    protection,
                    digest,
                    signer,
                    secret: index,
                    iv,
                    metadata: None,
                    json: false,
                };
                match parts.as_slice() {
                    [sealed, iv, tag] => {
                        let (Ok(sealed), Ok(iv), Ok(tag)) =
                            (seal::base64(sealed), seal::base64(iv), seal::base64(tag))
                        else {
                            return Err(seal::unsealed());
                        };
                        let Some(keys) = self.keys(Protection::Gcm, digest, index) else { continue };
                        if let Ok(plain) = seal::open_gcm(&keys.cipher, &iv, &sealed, &tag, b"") {
                            return Ok((plain, envelope(Protection::Gcm, digest, iv)));
                        }
                    }
                    [data, signature] => {
                        // The digest of the signature, which an application may set apart from that of the keys.
                        let signer = if signature.len() == 64 { Digest::Sha256 } else { Digest::Sha1 };
                        let Some(keys) = self.keys(Protection::Cbc, digest, index) else { continue };
                        if seal::same_hex(signature, &seal::hmac(signer, &keys.signature, &[data])) {
                            let inner = seal::base64(data).map_err(|_| seal::unsealed())?;
                            let Some((sealed, iv)) = seal::split_signature(&inner) else {
                                return Err(seal::unsealed());
                            };
                            let (Ok(sealed), Ok(iv)) = (seal::base64(sealed), seal::base64(iv)) else {
                                return Err(seal::unsealed());
                            };
                            let plain = seal::open_cbc(&keys.cipher, &iv, &sealed)?;
                            return Ok((plain, envelope(Protection::Cbc, signer, iv)));
                        }
                        let Some(keys) = self.keys(Protection::Signed, digest, index) else { continue };
                        if seal::same_hex(signature, &seal::hmac(signer, &keys.signature, &[data])) {
                            let plain = seal::base64(data).map_err(|_| seal::unsealed())?;
                            return Ok((plain, envelope(Protection::Signed, signer, Vec::new())));
                        }
                    }
                    _ => return Err(seal::unsealed()),
                }
            }
        }
        Err(seal::unsealed())
    }

    /// Takes the envelope `{"_rails":{...}}` off, where there is one.
    fn message(&self, plain: &[u8], bounds: &Bounds) -> Result<(Message, Option<Metadata>), Error> {
        let envelope = if plain.starts_with(b"{\"_rails\":{") {
            json::read(plain, bounds)?
        } else if plain.starts_with(msgpack::SIGNATURE)
            && matches!(self.serializer, Serializer::Detect | Serializer::MessagePack)
        {
            // Rails 7.1 and later may keep the envelope in MessagePack too.
            match msgpack::read(plain, bounds)? {
                envelope @ Value::Map(_) if is_envelope(&envelope) => envelope,
                value => return Ok((Message::Value(value, false), None)),
            }
        } else {
            return Ok((Message::Bytes(plain.to_vec()), None));
        };
        let bad = || Error::new(ErrorKind::Malformed, 0, "envelope of a message");
        let Value::Map(outer) = envelope else { return Err(bad()) };
        let Some((_, Value::Map(members))) = outer.into_iter().next() else { return Err(bad()) };
        let mut metadata = Metadata { inline: false, expires: None, purpose: None, order: Vec::new() };
        let mut message = None;
        for (name, value) in members {
            let Value::Text(name) = name else { return Err(bad()) };
            match (name.as_str(), value) {
                ("message", Value::Text(text)) => {
                    message = Some(Message::Bytes(seal::base64(text.as_bytes())?))
                }
                ("data", value) => {
                    metadata.inline = true;
                    message = Some(Message::Value(value, plain.starts_with(b"{")));
                }
                ("exp", Value::Text(text)) => metadata.expires = Some(text.into()),
                ("exp", Value::Time(text)) => metadata.expires = Some(text),
                ("exp", Value::Null) | ("pur", Value::Null) => {}
                ("pur", Value::Text(text)) => metadata.purpose = Some(text.into()),
                _ => return Err(bad()),
            }
            metadata.order.push(name.into());
        }
        Ok((message.ok_or_else(bad)?, Some(metadata)))
    }

    fn decode(&self, bytes: &[u8], bounds: &Bounds) -> Result<(Value, bool), Error> {
        let serializer = match self.serializer {
            Serializer::Detect if bytes.starts_with(b"\x04\x08") => Serializer::Marshal,
            Serializer::Detect if bytes.starts_with(msgpack::SIGNATURE) => Serializer::MessagePack,
            Serializer::Detect => Serializer::Json,
            set => set,
        };
        match serializer {
            Serializer::Marshal => Ok((marshal::read(bytes, bounds)?, false)),
            Serializer::MessagePack => Ok((msgpack::read(bytes, bounds)?, false)),
            _ => Ok((json::read(bytes, bounds)?, true)),
        }
    }
}

enum Message {
    Bytes(Vec<u8>),
    /// Whether it is JSON, else MessagePack.
    Value(Value, bool),
}

fn is_envelope(value: &Value) -> bool {
    matches!(value, Value::Map(entries) if matches!(entries.as_slice(), [(Value::Text(name), Value::Map(_))] if name == "_rails"))
}

fn split(text: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = text;
    // Base64 has no dashes, so each pair is a separator. More parts than three are never valid.
    while let Some(at) = rest.windows(2).position(|pair| pair == b"--") {
        parts.push(&rest[..at]);
        rest = &rest[at + 2..];
        if parts.len() > 3 {
            break;
        }
    }
    parts.push(rest);
    parts
}

/// Reads the `data` column of `activerecord-session_store`: base64 with line breaks around Marshal, JSON or the text itself.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read_row(data: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let data = data.trim_ascii();
    // `:json` and `:hybrid` keep the text itself.
    if data.starts_with(b"{") {
        // Some versions wrap the session: {"value": ...}.
        let value = json::read(data, bounds)?;
        return Ok(match value {
            Value::Map(mut entries) if matches!(entries.as_slice(), [(Value::Text(name), Value::Map(_))] if name == "value") => {
                entries.pop().map_or(Value::Null, |(_, value)| value)
            }
            value => value,
        });
    }
    let bytes = seal::base64(data)?;
    if bytes.starts_with(b"\x04\x08") {
        marshal::read(&bytes, bounds).map(super::public_id)
    } else {
        json::read(&bytes, bounds)
    }
}

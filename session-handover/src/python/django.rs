//! Django's signed sessions, from Django 1.4 to 5.2: rows of the database, files, and the signed cookie.

use super::{json, moment, pickle};
use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind, Value, zlib};

/// How the session stands in its text (`SESSION_SERIALIZER`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Serializer {
    /// The first byte tells. The signature was checked before that.
    #[default]
    Detect,
    /// `JSONSerializer`, the default of Django. A pickle is refused.
    Json,
    /// `PickleSerializer`, up to Django 4.2.
    Pickle,
}

/// Settings of `django.contrib.sessions`.
#[derive(Clone)]
pub struct Sessions {
    name: String,
    secrets: Vec<Vec<u8>>,
    serializer: Serializer,
    class: String,
    max_age: f64,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("name", &self.name)
            .field("serializer", &self.serializer)
            .field("class", &self.class)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

/// A session, and how it was kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Opened {
    /// The session.
    pub value: Value,
    /// The moment of the signature in seconds since 1970. Rows of Django 3.0 and earlier have none.
    pub signed: Option<i64>,
    /// The envelope, for writing the session back in the same way.
    pub envelope: Envelope,
}

/// How a session was written.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Envelope {
    secret: usize,
    form: Form,
    signed: Option<i64>,
    /// The JSON text and the payload that Django made of it, compressed where that was shorter. `None`: a pickle.
    text: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `payload:time:signature` with the salt of rows or of the cookie.
    Signed(Salt, Digest),
    /// Base64 of `signature:session`, up to Django 3.0.
    Legacy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Salt {
    Row,
    Cookie,
}

/// When a session ends, by its key `_session_expiry`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Expiry {
    /// `SESSION_COOKIE_AGE` after the last change.
    Default,
    /// The cookie ends with the browser, and the row as by default.
    Browser,
    /// Seconds after the last change.
    Idle(i64),
    /// A moment in seconds since 1970.
    At(f64),
}

impl Sessions {
    /// Sessions signed with `SECRET_KEY`, or with one of `SECRET_KEY_FALLBACKS` after it.
    pub fn new(secrets: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Self {
            name: "sessionid".to_owned(),
            secrets: seal::secrets(secrets),
            serializer: Serializer::default(),
            class: "SessionStore".to_owned(),
            max_age: 1_209_600.0,
        }
    }

    /// Sets the name of the cookie (`SESSION_COOKIE_NAME`).
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

    /// Sets the name of the class of the store, if an application has its own. It is a part of the salt of rows and files.
    #[must_use]
    pub fn class(mut self, class: impl Into<String>) -> Self {
        self.class = class.into();
        self
    }

    /// Sets the age in seconds at which a signed cookie ends (`SESSION_COOKIE_AGE`).
    #[must_use]
    pub fn max_age(mut self, seconds: f64) -> Self {
        self.max_age = seconds;
        self
    }

    /// Reads `session_data` of a row of `django_session`, or a file of the backend `file`. The row's `expire_date`
    /// ([`expire_date`]) or the file's time and [`expiry`] say whether the session lives.
    ///
    /// # Errors
    /// [`ErrorKind::Signature`] where no secret signed it, and the errors of the format.
    pub fn read_row(&self, data: &[u8], bounds: &Bounds) -> Result<Opened, Error> {
        let data = data.trim_ascii_end();
        within(data, bounds)?;
        if data.contains(&b':') { self.signed(Salt::Row, data, bounds) } else { self.legacy(data, bounds) }
    }

    /// Reads the cookie of the backend `signed_cookies`: `name=value` or the value alone. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// [`ErrorKind::Signature`] where no secret signed it, [`ErrorKind::Expired`] where it is older than
    /// [`max_age`](Self::max_age), and the errors of the format.
    pub fn read_cookie(&self, cookie: &[u8], now: f64, bounds: &Bounds) -> Result<Opened, Error> {
        within(cookie, bounds)?;
        let opened = self.signed(Salt::Cookie, seal::cookie_value(cookie, &self.name), bounds)?;
        #[expect(clippy::cast_precision_loss, reason = "a moment that is not near 2^53 seconds")]
        let signed = opened.signed.unwrap_or(0) as f64;
        if now - signed > self.max_age {
            return Err(Error::new(ErrorKind::Expired, 0, "cookie has expired"));
        }
        Ok(opened)
    }

    /// Writes a session in the envelope that it was read from. `signed` is the moment in seconds since 1970.
    ///
    /// A session that did not change gives the bytes that were read. Data that changed may be compressed to other bytes
    /// than Django's zlib gives.
    ///
    /// # Errors
    /// [`ErrorKind::Unwritable`] for a value that Django could not read back as it is: only JSON's types can be written,
    /// and only where the row or cookie held JSON.
    pub fn write(&self, value: &Value, envelope: &Envelope, signed: i64) -> Result<String, Error> {
        let unwritable = |what| Error::new(ErrorKind::Unwritable, 0, what);
        let (old, payload) =
            envelope.text.as_ref().ok_or_else(|| unwritable("session is kept as a pickle"))?;
        if !matches!(value, Value::Map(_)) {
            return Err(unwritable("a session is a map"));
        }
        let secret = self.secrets.get(envelope.secret).ok_or_else(|| unwritable("secret is not set"))?;
        let text = json::write(value)?.into_bytes();
        let (salt, digest) = match envelope.form {
            Form::Signed(salt, digest) => (salt, digest),
            Form::Legacy => {
                let mac = self.legacy_mac(secret, &text);
                return Ok(seal::to_base64(&[seal::hex(&mac).as_bytes(), b":", &text].concat()));
            }
        };
        let mut out = if text == *old {
            payload.clone()
        } else {
            let packed = zlib::deflate(&text);
            if packed.len() + 1 < text.len() {
                format!(".{}", seal::to_base64_url(&packed)).into_bytes()
            } else {
                seal::to_base64_url(&text).into_bytes()
            }
        };
        out.push(b':');
        out.extend_from_slice(base62(signed).as_bytes());
        let mac = self.mac(salt, digest, secret, &out);
        out.push(b':');
        out.extend_from_slice(seal::to_base64_url(&mac).as_bytes());
        String::from_utf8(out).map_err(|_| unwritable("payload is not text"))
    }

    fn signed(&self, salt: Salt, text: &[u8], bounds: &Bounds) -> Result<Opened, Error> {
        let (signed, signature) = split_last(text).ok_or_else(seal::unsealed)?;
        let digest = if signature.len() == 27 { Digest::Sha1 } else { Digest::Sha256 };
        let matches = |secret: &Vec<u8>| {
            seal::same(signature, seal::to_base64_url(&self.mac(salt, digest, secret, signed)).as_bytes())
        };
        let secret = self.secrets.iter().position(matches).ok_or_else(seal::unsealed)?;
        let bad = |what| Error::new(ErrorKind::Malformed, 0, what);
        let (payload, time) = split_last(signed).ok_or_else(|| bad("no time of the signature"))?;
        let time = from_base62(time).ok_or_else(|| bad("time of the signature"))?;
        let plain = match payload.strip_prefix(b".") {
            Some(packed) => zlib::inflate(&seal::base64_url(packed)?, bounds)?,
            None => seal::base64_url(payload)?,
        };
        let (value, is_json) = self.decode(&plain, bounds)?;
        let text = is_json.then(|| (plain, payload.to_vec()));
        let envelope = Envelope { secret, form: Form::Signed(salt, digest), signed: Some(time), text };
        Ok(Opened { value, signed: Some(time), envelope })
    }

    fn legacy(&self, data: &[u8], bounds: &Bounds) -> Result<Opened, Error> {
        let bytes = seal::base64(data).map_err(|_| seal::unsealed())?;
        let at = bytes.iter().position(|&byte| byte == b':').ok_or_else(seal::unsealed)?;
        let (signature, plain) = (&bytes[..at], &bytes[at + 1..]);
        let matches = |secret: &Vec<u8>| seal::same_hex(signature, &self.legacy_mac(secret, plain));
        let secret = self.secrets.iter().position(matches).ok_or_else(seal::unsealed)?;
        let (value, is_json) = self.decode(plain, bounds)?;
        let text = is_json.then(|| (plain.to_vec(), Vec::new()));
        Ok(Opened {
            value,
            signed: None,
            envelope: Envelope { secret, form: Form::Legacy, signed: None, text },
        })
    }

    /// The signature of `payload:time`.
    fn mac(&self, salt: Salt, digest: Digest, secret: &[u8], text: &[u8]) -> Vec<u8> {
        let salt: &[&[u8]] = match salt {
            Salt::Row => &[b"django.contrib.sessions.", self.class.as_bytes()],
            Salt::Cookie => &[b"django.contrib.sessions.backends.signed_cookies"],
        };
        let key = seal::hash(digest, &[&salt.concat(), b"signer", secret]);
        seal::hmac(digest, &key, &[text])
    }

    fn legacy_mac(&self, secret: &[u8], text: &[u8]) -> Vec<u8> {
        let key = seal::hash(Digest::Sha1, &[b"django.contrib.sessions", self.class.as_bytes(), secret]);
        seal::hmac(Digest::Sha1, &key, &[text])
    }

    /// The session, and whether it is JSON.
    fn decode(&self, plain: &[u8], bounds: &Bounds) -> Result<(Value, bool), Error> {
        let is_json = match self.serializer {
            Serializer::Detect => plain.starts_with(b"{"),
            Serializer::Json => true,
            Serializer::Pickle => false,
        };
        let value = match (is_json, plain.is_ascii()) {
            (false, _) => pickle::read(plain, bounds)?,
            (true, true) => json::read(plain, bounds)?,
            // Django reads it as Latin-1.
            (true, false) => {
                let text: String = plain.iter().copied().map(char::from).collect();
                json::read(text.as_bytes(), bounds)?
            }
        };
        Ok((super::session(value)?, is_json))
    }
}

/// When a session ends. `last_change` of [`Expiry::Idle`] is not in a session: it is the file's time, or the time of the
/// signature.
///
/// # Errors
/// [`ErrorKind::Malformed`] where `_session_expiry` is neither a number nor a moment with a known offset.
pub fn expiry(session: &Value) -> Result<Expiry, Error> {
    let at = |text: &str| {
        let end = moment::seconds(text).map(Expiry::At);
        end.ok_or_else(|| Error::new(ErrorKind::Malformed, 0, "moment of the end"))
    };
    Ok(match session.get("_session_expiry") {
        None | Some(Value::Null) => Expiry::Default,
        Some(Value::Int(0)) => Expiry::Browser,
        Some(Value::Int(seconds)) => Expiry::Idle(*seconds),
        Some(Value::Text(text)) => at(text)?,
        Some(Value::DateTime(text)) => at(text)?,
        Some(_) => return Err(Error::new(ErrorKind::Malformed, 0, "end of the session")),
    })
}

/// The seconds since 1970 of a row's `expire_date` in SQLite, which is text in UTC. `None` for other text.
pub fn expire_date(text: &str) -> Option<f64> {
    moment::seconds(text)
}

fn within(data: &[u8], bounds: &Bounds) -> Result<(), Error> {
    if data.len() > bounds.size {
        return Err(Error::new(ErrorKind::TooLarge, 0, "session is larger than allowed"));
    }
    Ok(())
}

/// Splits at the last colon.
fn split_last(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().rposition(|&byte| byte == b':')?;
    Some((&text[..at], &text[at + 1..]))
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn from_base62(text: &[u8]) -> Option<i64> {
    let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |digits| (true, digits));
    let mut number = 0_i64;
    for digit in digits {
        let digit = DIGITS.iter().position(|known| known == digit)?;
        number = number.checked_mul(62)?.checked_add(i64::try_from(digit).ok()?)?;
    }
    (!digits.is_empty()).then_some(if negative { -number } else { number })
}

fn base62(number: i64) -> String {
    let mut rest = number.unsigned_abs();
    let mut digits = Vec::new();
    while rest > 0 || digits.is_empty() {
        digits.push(char::from(DIGITS[usize::try_from(rest % 62).unwrap_or(0)]));
        rest /= 62;
    }
    if number < 0 {
        digits.push('-');
    }
    digits.iter().rev().collect()
}

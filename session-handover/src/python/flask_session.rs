//! Flask-Session: values in Redis, Memcached and MongoDB, rows, and files of cachelib.

use super::itsdangerous::{Derivation, Signer};
use super::{json, msgpack, pickle};
use crate::seal::{self, Digest};
use crate::{Bounds, Error, ErrorKind, Reader, Value};

/// A session of a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// The session.
    pub value: Value,
    /// The end of its life in seconds since 1970. `None`: it is kept.
    pub expires: Option<i64>,
}

/// Reads a value of Redis, Memcached or MongoDB, or `data` of a row: MessagePack or JSON since Flask-Session 0.7, before that a
/// pickle. A session is a map, so the first bytes tell.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(value: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    super::session(match value {
        // In MessagePack a first byte of 80 is an empty map, which nothing follows.
        [0x80, _, ..] | [b'(' | b'}', ..] => pickle::read(value, bounds)?,
        [b'{', ..] => json::read(value, bounds)?,
        _ => msgpack::read(value, bounds)?,
    })
}

/// Reads a file of cachelib: the end in four bytes, or as a pickle (older versions), and a pickle of the session.
///
/// # Errors
/// [`ErrorKind::Expired`] after the end; else as [`read`]. `now` is in seconds since 1970.
pub fn read_file(file: &[u8], now: f64, bounds: &Bounds) -> Result<Entry, Error> {
    let (end, rest) = match pickle::read_first(file, bounds) {
        Ok((Value::Int(end), rest @ [0x80, ..])) => (end, rest),
        _ => {
            let mut input = Reader::new(file, bounds);
            (u32::from_le_bytes(input.array()?).into(), input.rest())
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "a moment that is not near 2^53 seconds")]
    if end != 0 && now > end as f64 {
        return Err(Error::new(ErrorKind::Expired, 0, "file has expired"));
    }
    let value = super::session(pickle::read(rest, bounds)?)?;
    Ok(Entry { value, expires: Some(end).filter(|end| *end != 0) })
}

/// The name of a file of cachelib: the SHA-256 of the key, which is `SESSION_KEY_PREFIX` (by default `session:`) and the id.
/// Older versions of cachelib take the MD5.
pub fn file_name(key: &str) -> String {
    seal::hex(&seal::hash(Digest::Sha256, &[key.as_bytes()]))
}

/// The id in a cookie that is signed (`SESSION_USE_SIGNER`). The key in the store has the id alone.
///
/// # Errors
/// [`ErrorKind::Signature`] where the secret did not sign it.
pub fn unsign_id(secret: &[u8], cookie_value: &[u8]) -> Result<String, Error> {
    let signer = Signer::new(Digest::Sha1, Derivation::Hmac, b"flask-session", &[secret.to_vec()]);
    let id = signer.unsign(cookie_value.trim_ascii())?;
    String::from_utf8(id.to_vec()).map_err(|_| Error::new(ErrorKind::Malformed, 0, "id is not text"))
}

/// The seconds since 1970 of a row's `expiry` in SQLite, which is text in UTC. `None` for other text.
pub fn expiry(text: &str) -> Option<f64> {
    super::moment::seconds(text)
}

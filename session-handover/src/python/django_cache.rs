//! Sessions of the backends `cache` and `cached_db` in Django's caches. They are pickles whatever `SESSION_SERIALIZER` is.

use super::{json, pickle};
use crate::{Bounds, Error, ErrorKind, Value, seal, zlib};

/// A cached session.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// The session.
    pub value: Value,
    /// The end of its life in seconds since 1970. `None`: the cache keeps it.
    pub expires: Option<f64>,
}

/// The key of a session in the cache: the cache's `KEY_PREFIX`, its `VERSION` (1 by default), the backend (`cache` or
/// `cached_db`), and the id.
pub fn key(prefix: &str, version: u32, backend: &str, id: &str) -> String {
    format!("{prefix}:{version}:django.contrib.sessions.{backend}{id}")
}

/// The name of the file of a key in `FileBasedCache`, without `.djcache`: the MD5 of the key.
pub fn file_name(key: &str) -> String {
    use md5::Digest as _;
    seal::hex(&md5::Md5::digest(key.as_bytes()))
}

/// Reads a value of `RedisCache`, of a Memcached backend, or of django-redis with its default serializer or JSON, plain or
/// compressed with zlib.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(value: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let inflated;
    let plain = match value {
        // The header of zlib: deflate with a window of 32 KiB.
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => {
            inflated = zlib::inflate(value, bounds)?;
            inflated.as_slice()
        }
        plain => plain,
    };
    super::session(if plain.starts_with(b"{") {
        json::read(plain, bounds)?
    } else {
        pickle::read(plain, bounds)?
    })
}

/// Reads `value` of a row of `DatabaseCache`. Its `expires` is the end.
///
/// # Errors
/// As [`read`].
pub fn read_row(value: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    if value.len() > bounds.size {
        return Err(Error::new(ErrorKind::TooLarge, 0, "row is larger than allowed"));
    }
    super::session(pickle::read(&seal::base64(value)?, bounds)?)
}

/// Reads a file of `FileBasedCache`: a pickle of the end, and a compressed pickle of the session.
///
/// # Errors
/// [`ErrorKind::Expired`] after the end; else as [`read`]. `now` is in seconds since 1970.
pub fn read_file(file: &[u8], now: f64, bounds: &Bounds) -> Result<Entry, Error> {
    let (end, packed) = pickle::read_first(file, bounds)?;
    #[expect(clippy::cast_precision_loss, reason = "a moment that is not near 2^53 seconds")]
    let expires = match end {
        Value::Null => None,
        Value::Float(end) => Some(end),
        Value::Int(end) => Some(end as f64),
        _ => return Err(Error::new(ErrorKind::Malformed, 0, "end of the entry")),
    };
    if expires.is_some_and(|end| end <= now) {
        return Err(Error::new(ErrorKind::Expired, 0, "entry has expired"));
    }
    let value = super::session(pickle::read(&zlib::inflate(packed, bounds)?, bounds)?)?;
    Ok(Entry { value, expires })
}

//! Entries of Rails' caches (`ActiveSupport::Cache`), which the cache store keeps sessions in.

use super::{marshal, msgpack};
use crate::zlib::inflate;
use crate::{Bounds, Error, ErrorKind, Object, Value};

/// A cached session.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Entry {
    /// The session.
    pub value: Value,
    /// The end of its life in seconds since 1970, where the entry has one.
    pub expires: Option<f64>,
}

/// Reads an entry in the format of Rails 5 to 6.1, 7.0, 7.1 and later, or MessagePack.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Entry, Error> {
    match bytes {
        [0x00, 0x11, rest @ ..] => since_7_1(rest, bounds),
        [0x04, 0x08, ..] => entry_object(marshal::read(bytes, bounds)?, bounds),
        [0x00, rest @ ..] => packed(marshal::read(rest, bounds)?),
        [0x01, rest @ ..] => packed(marshal::read(&inflate(rest, bounds)?, bounds)?),
        _ if bytes.starts_with(msgpack::SIGNATURE) => packed(msgpack::read(bytes, bounds)?),
        _ => Err(Error::new(ErrorKind::Version, 0, "unknown format of a cache entry")),
    }
}

/// A type byte, the end as a little-endian float, the length of the version, the version, the payload.
fn since_7_1(bytes: &[u8], bounds: &Bounds) -> Result<Entry, Error> {
    let short = || Error::new(ErrorKind::Truncated, 2, "header of a cache entry");
    let (&[kind], rest) = bytes.split_first_chunk::<1>().ok_or_else(short)?;
    let (&expires, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let (&length, rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let expires = f64::from_le_bytes(expires);
    let length = usize::try_from(i32::from_le_bytes(length)).unwrap_or(0);
    let payload = rest.get(length..).ok_or_else(short)?;
    let inflated;
    let payload = if kind & 0x80 != 0 {
        inflated = inflate(payload, bounds)?;
        inflated.as_slice()
    } else {
        payload
    };
    let value = match kind & 0x7f {
        1 if payload.starts_with(msgpack::SIGNATURE) => msgpack::read(payload, bounds)?,
        1 => marshal::read(payload, bounds)?,
        2 | 4 => String::from_utf8(payload.to_vec())
            .map_or_else(|error| Value::Bytes(error.into_bytes()), |text| Value::Text(text.into())),
        3 => Value::Bytes(payload.to_vec()),
        _ => return Err(Error::new(ErrorKind::Malformed, 2, "type of a cache entry")),
    };
    Ok(Entry { value: super::public_id(value), expires: (expires >= 0.0).then_some(expires) })
}

/// The entry as a list: value, end, version, each left out if no other follows.
fn packed(value: Value) -> Result<Entry, Error> {
    let Value::List(items) = value else {
        return Err(Error::new(ErrorKind::Malformed, 0, "cache entry is not a list"));
    };
    let mut items = items.into_iter();
    let value = items.next().unwrap_or(Value::Null);
    let expires = items.next().as_ref().and_then(number);
    Ok(Entry { value: super::public_id(value), expires })
}

/// The entry as an object (Rails 6.1 and before).
fn entry_object(value: Value, bounds: &Bounds) -> Result<Entry, Error> {
    let not = || Error::new(ErrorKind::Malformed, 0, "not a cache entry");
    let value = match value {
        Value::Shared(_, inner) => *inner,
        value => value,
    };
    let object = match value {
        Value::Object(object) if object.0 == "ActiveSupport::Cache::Entry" => object.1,
        // A store that keeps values without entries.
        other => return Ok(Entry { value: super::public_id(other), expires: None }),
    };
    let Object::Fields(fields) = object else { return Err(not()) };
    let (mut content, mut compressed, mut created, mut lasts, mut ends) = (None, false, None, None, None);
    for (name, value) in fields {
        let Value::Text(name) = name else { return Err(not()) };
        match name.as_str() {
            "@value" | "@v" => content = Some(value),
            "@compressed" | "@c" => compressed = value == Value::Bool(true),
            "@created_at" => created = number(&value),
            "@expires_in" => lasts = number(&value),
            "@x" => ends = number(&value),
            _ => {}
        }
    }
    let mut content = content.ok_or_else(not)?;
    if compressed {
        let bytes = match content {
            Value::Bytes(bytes) => bytes,
            Value::Text(text) => text.as_bytes().to_vec(),
            _ => return Err(not()),
        };
        content = marshal::read(&inflate(&bytes, bounds)?, bounds)?;
    }
    let expires = ends.or_else(|| Some(created? + lasts?));
    Ok(Entry { value: super::public_id(content), expires })
}

fn number(value: &Value) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "moments in seconds are far below 2^53")]
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

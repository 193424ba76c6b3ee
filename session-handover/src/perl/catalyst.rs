//! Catalyst::Plugin::Session: its File, FastMmap, DBI and Redis stores.

use std::collections::HashSet;

use super::without::without;
use super::{apache, storable};
use crate::{Bounds, Error, ErrorKind, Object, Value, seal};

/// The content of a key in a store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stored {
    /// The key: `session:ID` or `expires:ID`.
    pub key: String,
    /// The session, or the moment of its end.
    pub value: Value,
    /// The end that the cache itself keeps, in seconds since 1970. `None`: never.
    pub expires: Option<f64>,
}

/// Reads the list that a file of Store::File holds: the key and a `Cache::Object`.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read_file(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    storable::read(bytes, bounds)
}

/// Takes the key and the content out of the list that [`read_file`] gives.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn stored(file: Value) -> Result<Stored, Error> {
    let bad = || Error::new(ErrorKind::Malformed, 0, "not a file of Cache::FileCache");
    let Value::List(items) = file else { return Err(bad()) };
    let Ok([Value::Text(key), Value::Object(object)]) = <[Value; 2]>::try_from(items) else {
        return Err(bad());
    };
    let Object::Fields(fields) = object.1 else { return Err(bad()) };
    let (mut value, mut expires) = (None, None);
    for (name, field) in fields {
        match name {
            Value::Text(name) if name == "_Data" => value = Some(field),
            // `never` is no moment.
            Value::Text(name) if name == "_Expires_At" => expires = moment(&field),
            _ => {}
        }
    }
    Ok(Stored { key: key.into(), value: value.ok_or_else(bad)?, expires })
}

/// The end of a session, in seconds since 1970: the content of the key `expires:ID`.
///
/// # Errors
/// [`ErrorKind::Malformed`] for content that is not a number.
pub fn end(stored: &Stored) -> Result<f64, Error> {
    end_of(&stored.value)
}

/// As [`end`], of a store that keeps the content alone, such as FastMmap.
///
/// # Errors
/// As [`end`].
pub fn end_of(content: &Value) -> Result<f64, Error> {
    moment(content).ok_or_else(|| Error::new(ErrorKind::Malformed, 0, "end of the session"))
}

/// The path of a key's file below the root of Store::File: three folders of one digit, and the name.
pub fn file_path(key: &str) -> String {
    let name = file_name(key);
    format!("{}/{}/{}/{name}", &name[..1], &name[1..2], &name[2..3])
}

/// The name of a key's file in Store::File: the SHA-1 of the key.
pub fn file_name(key: &str) -> String {
    use sha1::Digest as _;
    seal::hex(&sha1::Sha1::digest(key.as_bytes()))
}

/// Reads the column `session_data` of Store::DBI, or a value of Store::Redis: Storable in base64 with line breaks.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read_text(data: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    apache::read(data, bounds)
}

/// The session as Catalyst loads it at `now`, in seconds since 1970: without the keys whose moment in `__expire_keys` has passed.
pub fn live(session: Value, now: f64) -> Value {
    let mut ends = session.get("__expire_keys");
    while let Some(Value::Shared(_, of)) = ends {
        ends = Some(of);
    }
    let Some(Value::Map(ends)) = ends else { return session };
    let passed = |end: &Value| moment(end).is_some_and(|end| end < now);
    let ended = ends.iter().filter(|(_, end)| passed(end)).filter_map(|(key, _)| key.as_text());
    let ended: HashSet<String> = ended.map(str::to_owned).collect();
    if ended.is_empty() { session } else { without(session, |key| ended.contains(key)) }
}

/// A number of seconds, which Perl may keep as text.
fn moment(value: &Value) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "moments in seconds are far below 2^53")]
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

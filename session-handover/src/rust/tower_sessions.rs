//! tower-sessions: records in MessagePack, which its stores for Redis and SQL keep.
//!
//! | store | what to read |
//! |---|---|
//! | tower-sessions-redis-store | [`read_of`] of the value of the key, which is the id |
//! | tower-sessions-sqlx-store | [`read_of`] of `data` in `tower_sessions`; [`row_end`] of `expiry_date` |
//!
//! The cookie `id` holds the key, plain, signed or private: [`cookie`].

use super::cookie::{Cookie, Order, Security};
use crate::pack::{self, Token, token};
use crate::{Bounds, Error, ErrorKind, Reader, Value, calendar, seal};

/// A record.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Record {
    /// The id in the form of the cookie and of the stores' keys. A record under another key is not to be trusted.
    pub id: String,
    /// The session.
    pub value: Value,
    /// The end in seconds since 1970. A record has ended when this is not in the future.
    pub expires: f64,
    /// The end as RFC 3339 text. `None`: its year has not four digits.
    pub expires_text: Option<String>,
}

/// The cookie of the default name `id`. Of several cookies of a name the last counts.
pub fn cookie(security: Security) -> Cookie {
    Cookie::new("id", security, Order::Last)
}

/// Reads a record: id, session and end.
///
/// # Errors
/// A kind and the offset of the damage.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Record, Error> {
    let mut input = Reader::new(bytes, bounds);
    let bad = |at, what| Error::new(ErrorKind::Malformed, at, what);
    let Token::List(3) = token(&mut input)? else { return Err(bad(0, "record has three members")) };
    let at = input.offset();
    let Value::Bytes(mut id) = pack::value(&mut input, extension)? else {
        return Err(bad(at, "id is not binary"));
    };
    if id.len() != 16 {
        return Err(bad(at, "id has 16 bytes"));
    }
    // The key has the bytes of the same number in the other order.
    id.reverse();
    let at = input.offset();
    let value @ Value::Map(_) = pack::value(&mut input, extension)? else {
        return Err(bad(at, "session is not a map"));
    };
    let at = input.offset();
    let (expires, expires_text) =
        moment(&pack::value(&mut input, extension)?).ok_or_else(|| bad(at, "moment of the end"))?;
    input.end()?;
    Ok(Record { id: seal::to_base64_url(&id), value, expires, expires_text })
}

/// Reads the record of a key, as [`read`].
///
/// # Errors
/// As [`read`]; `Malformed` for the record of another key.
pub fn read_of(key: &str, bytes: &[u8], bounds: &Bounds) -> Result<Record, Error> {
    let record = read(bytes, bounds)?;
    if record.id != key {
        return Err(Error::new(ErrorKind::Malformed, 0, "record of another key"));
    }
    Ok(record)
}

/// The end of a row in seconds since 1970, from its column `expiry_date`: RFC 3339 text of the sqlx store, or whole seconds of
/// stores for rusqlite.
pub fn row_end(column: &Value) -> Option<f64> {
    match column {
        #[expect(clippy::cast_precision_loss, reason = "moments in seconds are far below 2^53")]
        Value::Int(seconds) => Some(*seconds as f64),
        Value::Text(text) => calendar::parse(text),
        _ => None,
    }
}

/// serde's data model has no extensions.
fn extension(input: &mut Reader<'_>, _: usize) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::Malformed, input.offset(), "sessions have no extensions"))
}

/// Seconds since 1970 and the RFC 3339 text of a date of the crate time: year, day of the year, hour, minute, second, nanosecond, and
/// the offset in hours, minutes and seconds.
fn moment(date: &Value) -> Option<(f64, Option<String>)> {
    let Value::List(items) = date else { return None };
    let numbers: Vec<i64> = items
        .iter()
        .filter_map(|item| match item {
            Value::Int(number) => Some(*number),
            _ => None,
        })
        .collect();
    let [year, day, hour, minute, second, nano, hours, minutes, seconds] = numbers[..] else { return None };
    let fits = (-999_999..=999_999).contains(&year)
        && (1..=366).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second)
        && (0..1_000_000_000).contains(&nano)
        && [hours, minutes, seconds].iter().all(|part| (-59..=59).contains(part));
    if !fits || items.len() != 9 {
        return None;
    }
    let offset = hours * 3600 + minutes * 60 + seconds;
    let days = calendar::days_from_civil(year, 1, 1) + day - 1;
    let whole = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    let nano = u32::try_from(nano).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "a moment of six-digit years is far below 2^53")]
    Some((whole as f64 + f64::from(nano) / 1e9, calendar::moment(whole, nano, offset)))
}

//! async-session, on which tide and axum-sessions build: JSON in stores, or bincode in a cookie.
//!
//! The cookie holds a random value, and stores know the session by its hash: [`id`].

use super::cookie::{Cookie, Order, Security};
use super::texts;
use crate::{Bounds, Error, ErrorKind, Reader, Value, calendar, json, seal};

/// A session.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Session {
    /// The id, under which stores keep the session.
    pub id: String,
    /// The session.
    pub value: Value,
    /// The end in seconds since 1970, where the session has one. It has ended when this is in the past.
    pub expires: Option<f64>,
    /// The end as RFC 3339 text.
    pub expires_text: Option<String>,
}

/// The cookie of this name, signed: `tide.sid` by default in tide, whose key is
/// [`Key::derive_from`](super::cookie::Key::derive_from) of the secret, and `sid` in axum-sessions, whose key is
/// [`Key::new`](super::cookie::Key::new) of it. Of several cookies of a name the last counts.
pub fn cookie(name: &str, security: Security) -> Cookie {
    Cookie::new(name, security, Order::Last)
}

/// The id of the session of a cookie's value: base64 of the BLAKE3 of its decoded bytes.
///
/// # Errors
/// `Malformed` for a value that is not base64.
pub fn id(cookie_value: &str) -> Result<String, Error> {
    let random = seal::base64(cookie_value.as_bytes())?;
    Ok(seal::to_base64(blake3::hash(&random).as_bytes()))
}

/// Reads a session as stores keep it: JSON.
///
/// # Errors
/// A kind and the offset of the damage.
pub fn read(text: &[u8], bounds: &Bounds) -> Result<Session, Error> {
    let bad = |what| Error::new(ErrorKind::Malformed, 0, what);
    let Value::Map(members) = json::read(text, bounds)? else { return Err(bad("session is not a map")) };
    let (mut id, mut expiry, mut data) = (None, None, None);
    for (name, value) in members {
        match (name, value) {
            (Value::Text(name), Value::Text(text)) if name == "id" => id = Some(text),
            (Value::Text(name), Value::Text(text)) if name == "expiry" => expiry = Some(text),
            (Value::Text(name), value) if name == "data" => data = Some(value),
            (Value::Text(name), value) if name == "expiry" && value != Value::Null => {
                return Err(bad("moment of the end"));
            }
            _ => {}
        }
    }
    let id = id.ok_or_else(|| bad("session has no id"))?;
    let data = data.ok_or_else(|| bad("session has no data"))?;
    session(id.into(), expiry.map(Into::into), data, bounds)
}

/// Reads the value of a cookie of `CookieStore`: base64 of bincode. The value itself is not signed: [`cookie`] checks that.
///
/// # Errors
/// A kind and the offset of the damage.
pub fn read_cookie(cookie_value: &[u8], bounds: &Bounds) -> Result<Session, Error> {
    if cookie_value.len() > bounds.size {
        return Err(Error::new(ErrorKind::TooLarge, 0, "cookie is larger than allowed"));
    }
    let bytes = seal::base64(&seal::unescape(cookie_value.trim_ascii()))?;
    let mut bincode = Bincode { input: Reader::new(&bytes, bounds) };
    let id = bincode.text()?;
    let at = bincode.input.offset();
    let expiry = match bincode.input.byte()? {
        0 => None,
        1 => Some(bincode.text()?),
        _ => return Err(Error::new(ErrorKind::Malformed, at, "mark of an optional value")),
    };
    let count = bincode.length()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        bincode.input.count_item()?;
        entries.push((Value::Text(bincode.text()?.into()), Value::Text(bincode.text()?.into())));
    }
    bincode.input.end()?;
    session(id, expiry, Value::Map(entries), bounds)
}

fn session(id: String, expiry: Option<String>, data: Value, bounds: &Bounds) -> Result<Session, Error> {
    let bad = || Error::new(ErrorKind::Malformed, 0, "moment of the end");
    let expires = expiry.as_deref().map(|text| calendar::parse(text).ok_or_else(bad)).transpose()?;
    Ok(Session { id, value: texts::decoded(data, bounds)?, expires, expires_text: expiry })
}

/// The encoding of bincode 1: lengths are eight bytes, the least significant first.
struct Bincode<'a> {
    input: Reader<'a>,
}

impl Bincode<'_> {
    fn length(&mut self) -> Result<usize, Error> {
        let at = self.input.offset();
        let length = u64::from_le_bytes(self.input.array()?);
        let length = usize::try_from(length).ok().filter(|length| *length <= self.input.remaining());
        length.ok_or_else(|| Error::new(ErrorKind::Truncated, at, "length beyond the input"))
    }

    fn text(&mut self) -> Result<String, Error> {
        let length = self.length()?;
        let at = self.input.offset();
        let text = std::str::from_utf8(self.input.take(length)?);
        Ok(text.map_err(|_| Error::new(ErrorKind::Malformed, at, "text is not UTF-8"))?.to_owned())
    }
}

//! Sessions of Node's web frameworks.

/// JavaScript tells numbers from text.
#[cfg(feature = "serde")]
pub const TYPING: crate::Typing = crate::Typing::Strict;

#[cfg(feature = "cookie-session")]
pub mod cookie_session;
#[cfg(feature = "express")]
pub mod express;
#[cfg(feature = "iron-session")]
pub mod iron_session;
#[cfg(feature = "express")]
mod stringify;

use crate::json::{self, Dialect};
#[cfg(any(feature = "express", feature = "iron-session"))]
use crate::seal;
use crate::{Bounds, Error, ErrorKind, Value};

/// JavaScript's JSON: text may have lone surrogates, and of a key that stands twice the last value counts.
const JAVASCRIPT: Dialect = Dialect { utf16: true, infinite: false, unique: true };

/// Reads a session, which is an object.
pub(crate) fn session(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    match json::read_as(JAVASCRIPT, bytes, bounds)? {
        session @ Value::Map(_) => Ok(session),
        _ => Err(Error::new(ErrorKind::Malformed, 0, "session is not an object")),
    }
}

/// The value of the first cookie of a name in a `Cookie` header. Text without `=` is the value itself.
pub(crate) fn first_cookie<'h>(header: &'h [u8], name: &str) -> Option<&'h [u8]> {
    if !header.contains(&b'=') {
        return Some(unquoted(header.trim_ascii()));
    }
    header.split(|&byte| byte == b';').find_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let (key, value) = (&pair[..at], &pair[at + 1..]);
        (key.trim_ascii() == name.as_bytes()).then(|| unquoted(value.trim_ascii()))
    })
}

/// The text between quotation marks, where a value has them.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

/// `decodeURIComponent`, or the text itself where that fails, as the package cookie does. `None`: not UTF-8.
#[cfg(any(feature = "express", feature = "iron-session"))]
pub(crate) fn decode_component(text: &[u8]) -> Option<String> {
    let raw = || String::from_utf8(text.to_vec()).ok();
    let well_formed = text
        .split(|&byte| byte == b'%')
        .skip(1)
        .all(|after| after.get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    if !well_formed {
        return raw();
    }
    String::from_utf8(seal::unescape(text)).ok().or_else(raw)
}

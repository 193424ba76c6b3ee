//! The handlers of `session.serialize_handler`, in files and in Redis.
//!
//! A session of 0 bytes is a live, empty one: PHP creates the record when it opens the session. Deadlines are not in the
//! data: for files the time of the last change and `session.gc_maxlifetime` count, for Redis the TTL of the key.

use std::collections::HashSet;

use super::serialize::{self, unwritable};
use super::target::Target;
use super::text::{Text, read_with};
use super::{key, string};
use crate::{Bounds, Error, ErrorKind, Value};

/// The setting `session.serialize_handler`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Handler {
    /// `php`, the default: a name, a bar, a value, and so on.
    #[default]
    Php,
    /// `php_binary`: the length of the name in one byte, the name, a value, and so on.
    PhpBinary,
    /// `php_serialize`: one array.
    PhpSerialize,
    /// `igbinary`, of the extension of this name.
    #[cfg(feature = "igbinary")]
    Igbinary,
    /// `msgpack`, of the extension of this name.
    #[cfg(feature = "php-msgpack")]
    Msgpack,
}

/// The longest name that `php_binary` holds.
const LONGEST: usize = 127;
/// The mark of a name without a value.
const UNDEFINED: u8 = 0x80;

/// Reads a session.
///
/// # Errors
/// A kind and the offset of the damage. PHP removes such a session with a warning.
pub fn read(handler: Handler, bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    match handler {
        Handler::PhpSerialize => serialize::read_session(bytes, bounds),
        #[cfg(feature = "igbinary")]
        Handler::Igbinary => super::igbinary::read_session(bytes, bounds),
        #[cfg(feature = "php-msgpack")]
        Handler::Msgpack => super::msgpack::read_session(bytes, bounds),
        Handler::Php | Handler::PhpBinary => {
            let tree = |text: &mut Text<'_, _>| variables(handler, text, bounds);
            read_with(bytes, bounds, tree, |text| variables(handler, text, bounds))
        }
    }
}

fn variables<T: Target>(handler: Handler, text: &mut Text<'_, T>, bounds: &Bounds) -> Result<Value, Error> {
    let mut entries = Vec::new();
    while text.input.remaining() > 0 {
        text.input.count_item()?;
        let name = match handler {
            Handler::PhpBinary => {
                let len = text.input.byte()?;
                let name = text.input.take(usize::from(len & !UNDEFINED))?;
                if len & UNDEFINED != 0 {
                    continue;
                }
                name
            }
            _ => {
                let Some(len) = text.input.rest().iter().position(|&byte| byte == b'|') else {
                    return Err(Error::new(
                        ErrorKind::Trailing,
                        text.input.offset(),
                        "text follows the values",
                    ));
                };
                let name = text.input.take(len)?;
                text.input.byte()?;
                name
            }
        };
        text.value(&mut entries.push_mut((string(name), T::nothing())).1)?;
    }
    let root = text.target.variables(entries);
    text.target.take(root, &Bounds { depth: bounds.depth.saturating_add(1), ..*bounds })
}

/// Writes a session.
///
/// # Errors
/// `Unwritable` for what PHP would lose: values as [`serialize::write`] says; with `php` names that contain a bar, and
/// with `php_binary` names over 127 bytes; with both, names that
/// are integers, as text too: PHP has no variables of such names. Names that stand twice. All sessions of the handlers of
/// extensions.
pub fn write(handler: Handler, session: &Value) -> Result<Vec<u8>, Error> {
    let Value::Map(entries) = session else { return Err(unwritable()) };
    match handler {
        Handler::PhpSerialize => return serialize::write(session),
        Handler::Php | Handler::PhpBinary => {}
        #[cfg(any(feature = "igbinary", feature = "php-msgpack"))]
        _ => return Err(unwritable()),
    }
    let mut out = Vec::new();
    let mut names = HashSet::new();
    for (name, value) in entries {
        let name = match name {
            Value::Text(text) if key(text.as_bytes()) == *name => text.as_bytes(),
            Value::Bytes(bytes) if key(bytes) == *name => bytes,
            _ => return Err(unwritable()),
        };
        if !names.insert(name) {
            return Err(unwritable());
        }
        match handler {
            Handler::PhpBinary => {
                let len = u8::try_from(name.len()).ok().filter(|len| usize::from(*len) <= LONGEST);
                out.push(len.ok_or_else(unwritable)?);
                out.extend_from_slice(name);
            }
            _ if name.contains(&b'|') => return Err(unwritable()),
            _ => {
                out.extend_from_slice(name);
                out.push(b'|');
            }
        }
        serialize::put(value, &mut out, serialize::DEEPEST)?;
    }
    Ok(out)
}

/// The key of a session in Redis, as the extension `redis` chooses it: `prefix` is `PHPREDIS_SESSION:` by default.
#[must_use]
pub fn redis_key(prefix: &str, id: &str) -> String {
    format!("{prefix}{id}")
}

/// The key that holds the lock of a session in Redis while a request uses it.
#[must_use]
pub fn redis_lock_key(prefix: &str, id: &str) -> String {
    format!("{prefix}{id}_LOCK")
}

/// Whether the text can be the id of a session of PHP: up to 256 of `a-z`, `A-Z`, `0-9`, `-` and `,`. Other text never
/// reaches a path.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b',')
}

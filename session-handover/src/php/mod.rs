//! Sessions of PHP, Laravel and Symfony.
//!
//! Nothing in the data says which handler, serializer or compression wrote it: these are settings of the old application.

/// PHP's types do not tell numbers from text reliably: forms and databases give text.
#[cfg(feature = "serde")]
pub const TYPING: crate::Typing = crate::Typing::Lenient;

#[cfg(feature = "igbinary")]
pub mod igbinary;
#[cfg(feature = "laravel")]
pub mod laravel;
pub mod lzf;
#[cfg(feature = "php-msgpack")]
pub mod msgpack;
pub mod serialize;
pub mod session;
mod target;
mod text;

#[cfg(any(feature = "igbinary", feature = "php-msgpack"))]
use crate::graph::Node;
use crate::graph::{Graph, Id};
use crate::keys::last_of_each;
use crate::{Error, ErrorKind, Value};

/// Text, or bytes where it is not UTF-8. PHP does not tell the two apart.
pub(crate) fn string(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => Value::Text(text.into()),
        Err(_) => Value::Bytes(bytes.to_vec()),
    }
}

/// Whether a key may be that of an integer.
pub(crate) fn may_be_integer(key: &[u8]) -> bool {
    key.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-')
}

/// A key of an array. Text that is the canonical form of an integer is that integer.
pub(crate) fn key(bytes: &[u8]) -> Value {
    if may_be_integer(bytes)
        && let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(number) = text.parse::<i64>()
        && number.to_string() == text
    {
        return Value::Int(number);
    }
    string(bytes)
}

/// The name of a variable of an object, without the class of a private one and the star of a protected one.
pub(crate) fn bare(name: Value) -> Value {
    let bytes = match &name {
        Value::Text(text) => text.as_bytes(),
        Value::Bytes(bytes) => bytes,
        _ => return name,
    };
    let rest = bytes.strip_prefix(b"\0");
    match rest.and_then(|rest| rest.iter().position(|&byte| byte == 0).map(|end| &rest[end + 1..])) {
        Some(bare) => string(bare),
        None => name,
    }
}

#[cfg(any(feature = "igbinary", feature = "php-msgpack"))]
/// An array: a list if its keys count from zero, else a map. A key that stands twice keeps its place and its last value.
pub(crate) fn array(graph: &mut Graph, entries: Vec<(Value, Id)>) -> Node {
    let is_list =
        entries.iter().zip(0_i64..).all(|((key, _), index)| matches!(key, Value::Int(key) if *key == index));
    if is_list {
        return Node::List(entries.into_iter().map(|(_, value)| value).collect());
    }
    Node::Map { entries: unique(graph, entries), default: None }
}

/// Entries without repeated keys.
pub(crate) fn unique(graph: &mut Graph, entries: Vec<(Value, Id)>) -> Vec<(Id, Id)> {
    last_of_each(entries).into_iter().map(|(key, value)| (graph.leaf(key), value)).collect()
}

/// The variables of an object under their bare names. A class and its parent may each have a private one of a name.
pub(crate) fn fields(graph: &mut Graph, entries: Vec<(Value, Id)>) -> Vec<(Id, Id)> {
    last_of_each(entries).into_iter().map(|(name, value)| (graph.leaf(bare(name)), value)).collect()
}

/// The whole session is a map, whatever its keys are.
pub(crate) fn as_map(value: Value) -> Result<Value, Error> {
    Ok(match value {
        Value::List(items) => Value::Map((0..).map(Value::Int).zip(items).collect()),
        value @ Value::Map(_) => value,
        Value::Shared(name, of) => Value::Shared(name, Box::new(as_map(*of)?)),
        _ => return Err(Error::new(ErrorKind::Malformed, 0, "a session is an array")),
    })
}

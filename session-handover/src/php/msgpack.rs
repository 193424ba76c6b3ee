//! The format of the extension msgpack. A map that begins with a key nil is marked: by 1 a PHP reference, by a text the
//! object of that class. A value that is met again stands once, and then as [`Value::Opaque`].

use super::{as_map, bare, string};
use crate::pack::{Token, token};
use crate::{Bounds, Error, ErrorKind, Object, Reader, Value};

/// Reads one value.
///
/// # Errors
/// A kind and the offset of the damage.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let mut pack = Unpack { input: Reader::new(bytes, bounds) };
    let value = pack.value()?;
    pack.input.end()?;
    Ok(value)
}

/// Reads the whole session of `session.serialize_handler = msgpack`.
///
/// # Errors
/// As [`read`]; `Malformed` for another value than an array.
pub fn read_session(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Ok(Value::Map(Vec::new()));
    }
    as_map(read(bytes, bounds)?)
}

struct Unpack<'a> {
    input: Reader<'a>,
}

impl Unpack<'_> {
    fn value(&mut self) -> Result<Value, Error> {
        self.input.enter()?;
        self.input.count_item()?;
        let value = self.typed()?;
        self.input.leave();
        Ok(value)
    }

    fn typed(&mut self) -> Result<Value, Error> {
        let at = self.input.offset();
        Ok(match token(&mut self.input)? {
            Token::Scalar(value) => value,
            Token::Text(len) | Token::Bytes(len) => string(self.input.take(len)?),
            Token::List(count) => Value::List((0..count).map(|_| self.value()).collect::<Result<_, _>>()?),
            Token::Map(count) => self.map(count)?,
            Token::Extension(_) => return Err(Error::new(ErrorKind::Malformed, at, "PHP has no extensions")),
        })
    }

    fn map(&mut self, count: usize) -> Result<Value, Error> {
        let mut entries = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            entries.push((self.value()?, self.value()?));
        }
        Ok(marked(entries))
    }
}

/// The meaning of a map by its mark, the value under a first key nil.
fn marked(mut entries: Vec<(Value, Value)>) -> Value {
    if !matches!(entries.first(), Some((Value::Null, _))) {
        return plain(entries);
    }
    match entries.remove(0).1 {
        Value::Text(class) => Value::object(class.into(), content(entries)),
        // A PHP reference to what the rest says.
        Value::Int(1) => marked(entries),
        // A class that wrote its own bytes.
        Value::Int(3) => match entries.into_iter().next() {
            Some((Value::Text(class), Value::Text(text))) => {
                Value::object(class.into(), Object::Raw(text.as_bytes().to_vec()))
            }
            Some((Value::Text(class), Value::Bytes(bytes))) => {
                Value::object(class.into(), Object::Raw(bytes))
            }
            _ => Value::Opaque("object".to_owned()),
        },
        _ => Value::Opaque("reference".to_owned()),
    }
}

/// The content of an object: what its `__serialize` gave under one key nil, or its variables.
fn content(mut entries: Vec<(Value, Value)>) -> Object {
    if let [(Value::Null, _)] = entries[..] {
        return match entries.remove(0).1 {
            Value::Map(fields) => Object::Fields(fields),
            Value::List(items) => Object::Items(items),
            other => Object::Value(other),
        };
    }
    Object::Fields(entries.into_iter().map(|(name, value)| (bare(name), value)).collect())
}

/// An array: a list if its keys count from zero.
fn plain(entries: Vec<(Value, Value)>) -> Value {
    let is_list =
        entries.iter().zip(0_i64..).all(|((key, _), index)| matches!(key, Value::Int(key) if *key == index));
    if is_list && !entries.is_empty() {
        return Value::List(entries.into_iter().map(|(_, value)| value).collect());
    }
    Value::Map(entries)
}

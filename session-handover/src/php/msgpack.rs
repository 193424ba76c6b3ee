//! The format of the extension msgpack. A map that begins with a key nil is marked: by 1 an array, by a text the object
//! of that class. References to values met before are [`Value::Opaque`].

use super::{as_map, bare_name, string};
use crate::{Bounds, Error, ErrorKind, Object, Reader, Value};

/// Reads one value.
///
/// # Errors
/// A kind and the offset of the damage.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let mut pack = Unpack { input: Reader::new(bytes, bounds) };
    let value = pack.value()?;
    if pack.input.remaining() != 0 {
        return Err(Error::new(ErrorKind::Trailing, pack.input.offset(), "bytes follow the value"));
    }
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
        let code = self.input.byte()?;
        Ok(match code {
            0x00..=0x7f => Value::Int(code.into()),
            0x80..=0x8f => self.map((code & 0xf).into())?,
            0x90..=0x9f => self.list((code & 0xf).into())?,
            0xa0..=0xbf => string(self.input.take((code & 0x1f).into())?),
            0xc0 => Value::Null,
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4 | 0xd9 => {
                let len = self.input.byte()?;
                string(self.input.take(len.into())?)
            }
            0xc5 | 0xda => {
                let len = u16::from_be_bytes(self.input.array()?);
                string(self.input.take(len.into())?)
            }
            0xc6 | 0xdb => {
                let len = u32::from_be_bytes(self.input.array()?);
                string(self.input.take(len as usize)?)
            }
            0xca => Value::Float(f32::from_be_bytes(self.input.array()?).into()),
            0xcb => Value::Float(f64::from_be_bytes(self.input.array()?)),
            0xcc => Value::Int(self.input.byte()?.into()),
            0xcd => Value::Int(u16::from_be_bytes(self.input.array()?).into()),
            0xce => Value::Int(u32::from_be_bytes(self.input.array()?).into()),
            0xcf => Value::big(false, &u64::from_be_bytes(self.input.array()?).to_le_bytes()),
            0xd0 => Value::Int(i8::from_be_bytes(self.input.array()?).into()),
            0xd1 => Value::Int(i16::from_be_bytes(self.input.array()?).into()),
            0xd2 => Value::Int(i32::from_be_bytes(self.input.array()?).into()),
            0xd3 => Value::Int(i64::from_be_bytes(self.input.array()?)),
            0xdc => {
                let len = u16::from_be_bytes(self.input.array()?);
                self.list(len.into())?
            }
            0xdd => {
                let len = u32::from_be_bytes(self.input.array()?);
                self.list(len as usize)?
            }
            0xde => {
                let len = u16::from_be_bytes(self.input.array()?);
                self.map(len.into())?
            }
            0xdf => {
                let len = u32::from_be_bytes(self.input.array()?);
                self.map(len as usize)?
            }
            0xe0..=0xff => Value::Int(i64::from(code) - 256),
            _ => return Err(Error::new(ErrorKind::Malformed, at, "unknown type")),
        })
    }

    fn check(&self, count: usize) -> Result<(), Error> {
        if count <= self.input.remaining() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Malformed, self.input.offset(), "more entries than bytes"))
    }

    fn list(&mut self, count: usize) -> Result<Value, Error> {
        self.check(count)?;
        (0..count).map(|_| self.value()).collect::<Result<_, _>>().map(Value::List)
    }

    fn map(&mut self, count: usize) -> Result<Value, Error> {
        self.check(count)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push((self.value()?, self.value()?));
        }
        let mark = match entries.first() {
            Some((Value::Null, mark)) => mark.clone(),
            _ => return Ok(plain(entries)),
        };
        entries.remove(0);
        Ok(match mark {
            Value::Text(class) => {
                let fields = entries.into_iter().map(|(name, value)| (bare(name), value)).collect();
                Value::object(class, Object::Fields(fields))
            }
            Value::Int(1) => plain(entries),
            // A class that wrote its own bytes.
            Value::Int(3) => match entries.into_iter().next() {
                Some((Value::Text(class), Value::Text(text))) => {
                    Value::object(class, Object::Raw(text.into_bytes()))
                }
                Some((Value::Text(class), Value::Bytes(bytes))) => Value::object(class, Object::Raw(bytes)),
                _ => Value::Opaque("object".to_owned()),
            },
            _ => Value::Opaque("reference".to_owned()),
        })
    }
}

fn bare(name: Value) -> Value {
    match &name {
        Value::Text(text) => string(bare_name(text.as_bytes())),
        Value::Bytes(bytes) => string(bare_name(bytes)),
        _ => name,
    }
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

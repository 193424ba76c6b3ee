//! Typed reads of a value, by serde.

mod collection;
mod context;
mod error;
mod number;

use serde::Deserialize;
use serde::de::value::{SeqDeserializer, StringDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::{Error, ErrorKind, Object, Value};
use collection::{Entries, Items, Variant, members};
use context::Context;

/// Whether the source system tells numbers from text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Typing {
    /// It does: a number is read from a number, and text from text.
    #[default]
    Strict,
    /// It does not, as Perl, PHP and YAML.pm: a number is also read from text that is one, and text from a number. An empty
    /// list is also an empty map.
    Lenient,
}

impl Value {
    /// Reads a type of the application. `typing` is that of the source system, such as `perl::TYPING`.
    ///
    /// Maps and the fields of objects are structs and maps; lists, tuples and sets are sequences. Symbols, moments, UUIDs, decimals and
    /// markup are text. A decimal is a number too. A value that is met again is read in each place.
    ///
    /// # Errors
    /// `Type` where a value is of another type; the error names its [`path`](Error::path). `TooDeep` for a value that holds itself or
    /// nests more than 128 levels deep; `TooMany` and `TooLarge` where values that are met again make too many or too much text.
    ///
    /// ```
    /// use session_handover::{Typing, Value};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Login {
    ///     user_id: u64,
    /// }
    ///
    /// let session = Value::Map(vec![(Value::Text("user_id".into()), Value::Text("7".into()))]);
    /// assert_eq!(session.deserialize_into::<Login>(Typing::Lenient).unwrap().user_id, 7);
    /// let error = session.deserialize_into::<Login>(Typing::Strict).map(|login| login.user_id).unwrap_err();
    /// assert_eq!(error.to_string(), "expected u64, found text at user_id");
    /// ```
    pub fn deserialize_into<'v, T: Deserialize<'v>>(&'v self, typing: Typing) -> Result<T, Error> {
        let context = Context::new(self);
        T::deserialize(Access {
            value: self,
            context: &context,
            lenient: typing == Typing::Lenient,
            depth: 0,
        })
    }
}

/// Levels of values that a typed read follows.
const DEPTH: usize = 128;

/// A value, and how it is read.
#[derive(Clone, Copy)]
struct Access<'v, 'c> {
    value: &'v Value,
    context: &'c Context<'v>,
    lenient: bool,
    depth: usize,
}

impl<'v, 'c> Access<'v, 'c> {
    /// A value inside this one.
    fn inside(self, value: &'v Value) -> Self {
        Self { value, depth: self.depth + 1, ..self }
    }

    /// A key. The systems keep numbers as text in keys, and text as numbers.
    fn key(self, value: &'v Value) -> Self {
        Self { lenient: true, ..self.inside(value) }
    }

    /// Calls `read` with the value behind references.
    fn open<R>(self, read: impl FnOnce(Self) -> Result<R, Error>) -> Result<R, Error> {
        if self.depth > DEPTH {
            return Err(Error::new(ErrorKind::TooDeep, 0, "values nest too deeply for a typed read"));
        }
        self.context.opened(self.value, |value| {
            self.context.grow(bytes(value).len())?;
            let inner = match value {
                Value::Object(object) => match &object.1 {
                    Object::Value(inner) => inner,
                    _ => return read(Self { value, ..self }),
                },
                value => return read(Self { value, ..self }),
            };
            self.inside(inner).open(read)
        })
    }

    fn any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Int(number) => visitor.visit_i64(*number),
            Value::BigInt(digits) => number::visit_whole(digits, visitor),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Value::Utf16(_) => Err(error::found("text with lone surrogates", &visitor)),
            Value::Opaque(_) | Value::Ref(_) | Value::Shared(..) | Value::Same(_) => {
                Err(error::found("a value that cannot be carried over", &visitor))
            }
            Value::List(items) | Value::Tuple(items) | Value::Set(items) => self.items(items, visitor),
            Value::Map(entries) | Value::MapWithDefault(entries, _) => self.entries(entries, visitor),
            Value::Regex { pattern, flags } => {
                let members = [("pattern", &**pattern), ("flags", &**flags)];
                visitor.visit_map(serde::de::value::MapDeserializer::new(members.into_iter()))
            }
            Value::Object(object) => match &object.1 {
                Object::Fields(entries) => self.entries(entries, visitor),
                Object::Items(items) => self.items(items, visitor),
                Object::Raw(bytes) | Object::Hook { frozen: bytes, .. } => {
                    visitor.visit_borrowed_bytes(bytes)
                }
                Object::Value(_) => Err(error::found("an object", &visitor)),
            },
            value => match text(value) {
                Some(text) => visitor.visit_borrowed_str(text),
                None => Err(error::found("a value of another type", &visitor)),
            },
        }
    }

    fn items<V: Visitor<'v>>(self, items: &'v [Value], visitor: V) -> Result<V::Value, Error> {
        let mut items = Items::new(self, items);
        let value = visitor.visit_seq(&mut items)?;
        items.end().map(|()| value)
    }

    fn entries<V: Visitor<'v>>(self, entries: &'v [(Value, Value)], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Entries::new(self, entries))
    }
}

/// The bytes that a reader may copy: of text of some kind, of bytes, and of the digits of an integer.
fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::Bytes(bytes) => bytes,
        Value::BigInt(digits) => digits.as_bytes(),
        Value::Regex { pattern, .. } => pattern.as_bytes(),
        Value::Object(object) => match &object.1 {
            Object::Raw(bytes) | Object::Hook { frozen: bytes, .. } => bytes,
            _ => b"",
        },
        value => text(value).unwrap_or_default().as_bytes(),
    }
}

/// The text of a value that is text of some kind.
fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        Value::Encoded { text, .. } | Value::Enum { case: text, .. } => Some(text),
        Value::Time(text)
        | Value::Date(text)
        | Value::DateTime(text)
        | Value::TimeOfDay(text)
        | Value::Uuid(text)
        | Value::Decimal(text)
        | Value::Markup(text)
        | Value::Symbol(text)
        | Value::Class(text) => Some(text),
        _ => None,
    }
}

macro_rules! numbers {
    ($($method:ident $whole:literal,)*) => {$(
        fn $method<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
            self.open(|access| number::read(access, $whole, visitor))
        }
    )*};
}

impl<'v> Deserializer<'v> for Access<'v, '_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        self.open(|access| access.any(visitor))
    }

    numbers! {
        deserialize_i8 true,
        deserialize_i16 true,
        deserialize_i32 true,
        deserialize_i64 true,
        deserialize_i128 true,
        deserialize_u8 true,
        deserialize_u16 true,
        deserialize_u32 true,
        deserialize_u64 true,
        deserialize_u128 true,
        deserialize_f32 false,
        deserialize_f64 false,
    }

    fn deserialize_str<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        self.open(|access| match (number::digits(access.value), access.lenient) {
            (Some(digits), true) => visitor.visit_string(digits),
            _ => access.any(visitor),
        })
    }

    fn deserialize_string<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        // A derived reader takes an integer as the place of a field.
        self.open(|access| match number::digits(access.value) {
            Some(digits) => visitor.visit_string(digits),
            None => access.any(visitor),
        })
    }

    fn deserialize_option<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        let null = self.open(|access| Ok(*access.value == Value::Null))?;
        if null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'v>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        self.open(|access| match access.value {
            Value::Bytes(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
            Value::Map(entries) if access.lenient && entries.is_empty() => access.items(&[], visitor),
            _ => access.any(visitor),
        })
    }

    fn deserialize_tuple<V: Visitor<'v>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'v>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        self.open(|access| match access.value {
            Value::List(items) if access.lenient && items.is_empty() => access.entries(&[], visitor),
            _ => access.any(visitor),
        })
    }

    fn deserialize_struct<V: Visitor<'v>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'v>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.open(|access| match (text(access.value), members(access.value)) {
            (Some(name), _) => {
                let name: StringDeserializer<Error> = name.to_owned().into_deserializer();
                visitor.visit_enum(name)
            }
            (None, Some([(name, content)])) => visitor.visit_enum(Variant::new(access, name, content)),
            _ => access.any(visitor),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'v>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <V: Visitor<'v>>
        bool char bytes byte_buf unit unit_struct
    }
}

//! The tree of values.

use compact_str::CompactString;

use crate::{Error, ErrorKind};

/// A decoded value. Names of classes are text: nothing is ever loaded or called.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `nil`, `undef`, `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer beyond 64 bits signed, in decimal digits.
    BigInt(String),
    /// A floating point number with any bits.
    Float(f64),
    /// Text. Up to 24 bytes need no memory of their own.
    Text(CompactString),
    /// Bytes that are not text, or text of an unknown encoding.
    Bytes(Vec<u8>),
    /// Text with lone surrogates, which UTF-8 cannot hold: its UTF-16 units.
    Utf16(Vec<u16>),
    /// Text that was stored in another encoding than UTF-8.
    Encoded {
        /// The text.
        text: Box<str>,
        /// The name of the encoding.
        encoding: Box<str>,
    },
    /// A list.
    List(Vec<Value>),
    /// A list of a fixed length (Python).
    Tuple(Vec<Value>),
    /// A map in the order in which it was stored, with any keys.
    Map(Vec<(Value, Value)>),
    /// A map that gives a default for keys it does not have (Ruby).
    MapWithDefault(Vec<(Value, Value)>, Box<Value>),
    /// A set.
    Set(Vec<Value>),
    /// A moment, as RFC 3339 text.
    Time(String),
    /// A day: `YYYY-MM-DD`.
    Date(String),
    /// A moment of a type that stands beside [`Time`](Value::Time), as RFC 3339 text. A moment of Python may have no zone,
    /// and a zone that the data only names follows it in brackets.
    DateTime(String),
    /// A time of day: `HH:MM:SS`, with a fraction and an offset where it has them.
    TimeOfDay(String),
    /// A UUID in its usual form.
    Uuid(String),
    /// A decimal number, in the digits that were stored.
    Decimal(String),
    /// Text that is marked as safe HTML.
    Markup(String),
    /// A symbol (Ruby).
    Symbol(String),
    /// A class or module (Ruby).
    Class(String),
    /// A regular expression.
    Regex {
        /// The pattern.
        pattern: Box<str>,
        /// Its flags, one letter each.
        flags: Box<str>,
    },
    /// A case of an enumeration (PHP).
    Enum {
        /// The enumeration.
        class: Box<str>,
        /// The case.
        case: Box<str>,
    },
    /// A reference to a single value (Perl).
    Ref(Box<Value>),
    /// A value that is met again: its name, and the value. [`Same`](Value::Same) has the name.
    Shared(u32, Box<Value>),
    /// A value that stands elsewhere as [`Shared`](Value::Shared): it may be a value around this one.
    Same(u32),
    /// Something that cannot be carried over, such as code.
    Opaque(String),
    /// An object: its class and what it holds.
    Object(Box<(String, Object)>),
}

/// The content of an object.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Object {
    /// Named variables.
    Fields(Vec<(Value, Value)>),
    /// A list.
    Items(Vec<Value>),
    /// One value.
    Value(Value),
    /// Bytes that the class wrote itself.
    Raw(Vec<u8>),
    /// Bytes that the class wrote itself, and the values that it refers to (Perl).
    Hook {
        /// The bytes.
        frozen: Vec<u8>,
        /// The values.
        refs: Vec<Value>,
    },
}

impl Value {
    #[allow(dead_code, reason = "each format uses a part")]
    pub(crate) fn object(class: String, object: Object) -> Self {
        Self::Object(Box::new((class, object)))
    }

    /// The value of a key: of a map, or of an object with fields.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let entries = match self {
            Self::Map(entries) | Self::MapWithDefault(entries, _) => entries,
            Self::Shared(_, inner) => return inner.get(key),
            Self::Object(object) => match &object.1 {
                Object::Fields(entries) => entries,
                _ => return None,
            },
            _ => return None,
        };
        // Where a key stands twice, the systems keep the last.
        let same = |name: &Value| match name {
            Self::Text(name) => name == key,
            Self::Symbol(name) => name == key,
            _ => false,
        };
        entries.iter().rev().find(|(name, _)| same(name)).map(|(_, value)| value)
    }

    /// The text of this value.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Markup(text) => Some(text),
            Self::Encoded { text, .. } => Some(text),
            Self::Shared(_, inner) => inner.as_text(),
            _ => None,
        }
    }

    /// The integer of this value. Text that is a number is not one: see [`parse_integer`](Self::parse_integer).
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Shared(_, inner) => inner.as_integer(),
            _ => None,
        }
    }

    /// The integer of this value, or of its text. For sessions of Perl, PHP and YAML.pm, which do not tell the two apart.
    pub fn parse_integer(&self) -> Option<i64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Shared(_, inner) => inner.parse_integer(),
            _ => self.as_integer(),
        }
    }

    /// [`big`](Self::big) of at most 1,024 bytes: decimal digits take a time that grows with the square.
    #[allow(dead_code, reason = "each format uses a part")]
    pub(crate) fn bounded_big(negative: bool, digits: &[u8], at: usize) -> Result<Self, Error> {
        if digits.len() > 1_024 {
            return Err(Error::new(ErrorKind::TooLarge, at, "integer of more than 1,024 bytes"));
        }
        Ok(Self::big(negative, digits))
    }

    /// An integer of little-endian bytes.
    #[allow(dead_code, reason = "each format uses a part")]
    pub(crate) fn big(negative: bool, digits: &[u8]) -> Self {
        let end = digits.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let digits = &digits[..end];
        if end <= 8 {
            let mut bytes = [0; 8];
            bytes[..end].copy_from_slice(digits);
            let number = i128::from(u64::from_le_bytes(bytes));
            if let Ok(number) = i64::try_from(if negative { -number } else { number }) {
                return Self::Int(number);
            }
        }
        // Decimal digits in groups of nine, by repeated division.
        let mut words: Vec<u32> = digits
            .chunks(4)
            .map(|chunk| chunk.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte)))
            .collect();
        let mut groups = Vec::new();
        while !words.is_empty() {
            let mut rest = 0_u64;
            for word in words.iter_mut().rev() {
                let number = rest << 32 | u64::from(*word);
                *word = u32::try_from(number / 1_000_000_000).unwrap_or(u32::MAX);
                rest = number % 1_000_000_000;
            }
            groups.push(rest);
            while words.last() == Some(&0) {
                words.pop();
            }
        }
        let mut text = if negative { "-".to_owned() } else { String::new() };
        for (index, group) in groups.iter().rev().enumerate() {
            if index == 0 {
                text.push_str(&group.to_string());
            } else {
                text.push_str(&format!("{group:09}"));
            }
        }
        if groups.is_empty() { Self::Int(0) } else { Self::BigInt(text) }
    }
}

/// Writes a value into a place that holds [`Value::Null`].
///
/// A decoder builds its tree in place, because a value that is returned through several functions is copied as often, in
/// pieces that the processor cannot read back at once. What stood there is not dropped: that would cost a branch, and a
/// `Null` has nothing to drop.
#[allow(dead_code, reason = "each format uses a part")]
#[inline(always)]
pub(crate) fn put(place: &mut Value, value: Value) {
    debug_assert_eq!(*place, Value::Null);
    std::mem::forget(std::mem::replace(place, value));
}

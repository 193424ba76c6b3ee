//! Reading values of MessagePack.

use rmp_serde::decode::{Deserializer, Error, ReadRefReader};
use serde::de::{self, Visitor};

/// The shortest text that is worth a call of its own, in bytes.
const LONG_TEXT: usize = 64;

/// A value. A long text is checked by simdutf8, at twice the speed; rmp-serde reads all else.
#[derive(Clone, Copy)]
pub(super) struct Value<'a>(&'a [u8]);

impl<'a> Value<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The text, if the value is a long text and nothing else.
    #[inline]
    fn long_text(self) -> Option<&'a str> {
        let (len, text) = match *self.0 {
            [0xd9, len, ref text @ ..] => (usize::from(len), text),
            [0xda, a, b, ref text @ ..] => (usize::from(u16::from_be_bytes([a, b])), text),
            [0xdb, a, b, c, d, ref text @ ..] => {
                (usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?, text)
            }
            _ => return None,
        };
        (text.len() == len && len >= LONG_TEXT).then(|| simdutf8::basic::from_utf8(text).ok()).flatten()
    }

    fn reader(self) -> Deserializer<ReadRefReader<'a, [u8]>, impl rmp_serde::config::SerializerConfig> {
        Deserializer::from_read_ref(self.0).with_human_readable()
    }
}

macro_rules! as_text {
    ($($method:ident)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.long_text() {
                Some(text) => visitor.visit_borrowed_str(text),
                None => self.reader().$method(visitor),
            }
        }
    )*};
}

macro_rules! as_it_is {
    ($($method:ident($($argument:ident: $type:ty),*))*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, Error> {
            self.reader().$method($($argument,)* visitor)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Value<'de> {
    type Error = Error;

    as_text! { deserialize_any deserialize_str deserialize_string }

    as_it_is! {
        deserialize_bool()
        deserialize_i8()
        deserialize_i16()
        deserialize_i32()
        deserialize_i64()
        deserialize_i128()
        deserialize_u8()
        deserialize_u16()
        deserialize_u32()
        deserialize_u64()
        deserialize_u128()
        deserialize_f32()
        deserialize_f64()
        deserialize_char()
        deserialize_bytes()
        deserialize_byte_buf()
        deserialize_option()
        deserialize_unit()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_seq()
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_identifier()
        deserialize_ignored_any()
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::{Deserialize, de::DeserializeOwned};

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Name(String);

    #[derive(Debug, PartialEq, Deserialize)]
    enum Kind {
        #[serde(rename = "1234567890123456789012345678901234567890123456789012345678901234567890")]
        Long,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Any {
        Number(u64),
        Text(String),
        List(Vec<String>),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Unit;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Fields {
        a: String,
    }

    /// Both readers agree about these bytes: the value, or the error. Returns the value.
    fn agree<T: DeserializeOwned + Debug + PartialEq>(bytes: &[u8]) -> Option<T> {
        let value = T::deserialize(Value::new(bytes)).map_err(|error| error.to_string());
        let expected = T::deserialize(&mut Value::new(bytes).reader()).map_err(|error| error.to_string());
        assert_eq!(value, expected, "{bytes:x?}");
        // The errors are equal, and most of these bytes are not a value of most types.
        value.ok()
    }

    fn agree_as_all(bytes: &[u8]) {
        agree::<String>(bytes);
        agree::<Option<Option<String>>>(bytes);
        agree::<Name>(bytes);
        agree::<Kind>(bytes);
        agree::<Any>(bytes);
        agree::<char>(bytes);
        agree::<u64>(bytes);
        agree::<()>(bytes);
        agree::<Unit>(bytes);
        agree::<Fields>(bytes);
        agree::<bool>(bytes);
        agree::<i128>(bytes);
        agree::<std::collections::BTreeMap<String, u8>>(bytes);
        let ignored = de::IgnoredAny::deserialize(Value::new(bytes)).is_ok();
        assert_eq!(
            ignored,
            de::IgnoredAny::deserialize(&mut Value::new(bytes).reader()).is_ok(),
            "{bytes:x?}"
        );
        agree::<Vec<u8>>(bytes);
        agree::<serde_bytes::ByteBuf>(bytes);
        agree::<serde_json::Value>(bytes);
        agree::<std::net::IpAddr>(bytes);
    }

    #[test]
    fn strings_are_those_of_the_library() {
        for len in [0, 1, 31, 32, LONG_TEXT - 1, LONG_TEXT, 70, 255, 256, 65_535, 65_536] {
            for unit in ["a", "7", "é", "日", "🦀"] {
                let text = unit.repeat(len.div_ceil(unit.len()));
                let mut bytes = rmp_serde::to_vec(&text).unwrap();
                agree_as_all(&bytes);
                assert_eq!(agree::<String>(&bytes).as_deref(), Some(&*text));
                assert_eq!(Value::new(&bytes).long_text().is_some(), text.len() >= LONG_TEXT);
                // Cut off, or followed by another value.
                agree_as_all(&bytes[..bytes.len() - 1]);
                bytes.push(0xc0);
                agree_as_all(&bytes);
                // Not UTF-8.
                bytes.pop();
                if let Some(last) = bytes.last_mut() {
                    *last = 0xff;
                }
                agree_as_all(&bytes);
            }
        }
        let long = rmp_serde::to_vec(&"1234567890".repeat(7)).unwrap();
        assert_eq!(agree(&long), Some(Kind::Long));
        assert_eq!(agree(&long), Some(Name("1234567890".repeat(7))));
        assert_eq!(Value::new(&[&long[..], &[0xc0]].concat()).long_text(), None);
        let damaged = [&long[..long.len() - 1], &[0xff]].concat();
        assert_eq!(Value::new(&damaged).long_text(), None);
        let address = rmp_serde::to_vec("192.0.2.1").unwrap();
        assert_eq!(agree::<std::net::IpAddr>(&address), Some([192, 0, 2, 1].into()));
    }

    #[test]
    fn other_values_are_those_of_the_library() {
        agree_as_all(&[]);
        for first in 0..=u8::MAX {
            agree_as_all(&[first]);
            for rest in [&[0; 70][..], &[0x41; 70], &[0xd9, 0x40, 0x41], &[0xff; 9]] {
                agree_as_all(&[&[first], rest].concat());
            }
        }
    }
}

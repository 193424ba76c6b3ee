//! The options of a URL as serde's data, so that each driver reads its own.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer as _, MapAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::error::{OpenError, OpenErrorKind};
use crate::scheme::{Form, OF_NEAR, counts_bytes};
use crate::suggest::list;
use crate::url::{Place, Url};

/// Reads a driver's options from a URL.
pub(crate) fn read<C: DeserializeOwned>(url: &Url) -> Result<C, OpenError> {
    let mut options = texts(url, |name| !OF_NEAR.contains(&name));
    match &url.place {
        Place::Nowhere => {}
        Place::Path(path) => options.push(("path", Value::Text(path.clone()))),
        Place::Database(url) => options.push(("url", Value::Text(url.clone()))),
        Place::Servers(urls) => options.push(("urls", Value::List(urls.clone()))),
    }
    if url.scheme.form == Form::Nodes {
        options.push(("cluster", Value::Text("true".to_owned())));
    }
    deserialized(&options)
}

/// Reads the options of the cache from a URL.
#[cfg(feature = "near")]
pub(crate) fn read_near<C: DeserializeOwned>(url: &Url) -> Result<C, OpenError> {
    deserialized(&texts(url, |name| OF_NEAR.contains(&name)))
}

fn texts(url: &Url, is_wanted: impl Fn(&str) -> bool) -> Vec<(&'static str, Value)> {
    let wanted = url.options.iter().filter(|(name, _)| is_wanted(name));
    wanted.map(|(name, text)| (*name, Value::Text(text.clone()))).collect()
}

fn deserialized<C: DeserializeOwned>(options: &[(&'static str, Value)]) -> Result<C, OpenError> {
    let pairs = Pairs { rest: options.iter(), next: None };
    C::deserialize(pairs).map_err(|Refusal(text)| OpenError::new(OpenErrorKind::InvalidValue, text))
}

enum Value {
    Text(String),
    List(Vec<String>),
}

/// Why a value is refused, in words.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl serde::de::Error for Refusal {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(format!(": {text}"))
    }
    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        takes(&list(expected, "or"))
    }
}

fn takes(what: &str) -> Refusal {
    Refusal(format!(" takes {what}"))
}

struct Pairs<'a> {
    rest: std::slice::Iter<'a, (&'static str, Value)>,
    next: Option<&'a (&'static str, Value)>,
}

impl<'de> Deserializer<'de> for Pairs<'_> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_map(self)
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Pairs<'_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        self.next = self.rest.next();
        self.next.map(|(name, _)| seed.deserialize(StrDeserializer::new(name))).transpose()
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let (name, value) = self.next.ok_or_else(|| Refusal::custom("a value comes before its name"))?;
        seed.deserialize(Given { name, value })
            .map_err(|Refusal(text)| Refusal(format!("option `{name}`{text}")))
    }
}

/// One value, whose text is parsed when the driver's options ask for a type.
struct Given<'a> {
    name: &'static str,
    value: &'a Value,
}

impl Given<'_> {
    fn text(&self) -> Result<&str, Refusal> {
        match self.value {
            Value::Text(text) => Ok(text),
            Value::List(_) => Err(takes("one value")),
        }
    }

    fn number(&self) -> Result<u64, Refusal> {
        let text = self.text()?;
        if !counts_bytes(self.name) {
            return text.parse().map_err(|_| takes("a whole number"));
        }
        let (number, unit) = [("KiB", 10), ("MiB", 20), ("GiB", 30)]
            .iter()
            .find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, 1_u64 << bits)))
            .unwrap_or((text, 1));
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        bytes.ok_or_else(|| takes("a number of bytes, such as `65536`, `64KiB`, `16MiB` or `1GiB`"))
    }
}

impl<'de> Deserializer<'de> for Given<'_> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.value {
            Value::Text(text) => visitor.visit_str(text),
            Value::List(texts) => texts.clone().into_deserializer().deserialize_any(visitor),
        }
    }
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.text()? {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(takes("`true` or `false`")),
        }
    }
    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_u64(self.number()?)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_enum(StrDeserializer::new(self.text()?))
    }
    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheme::SCHEMES;

    /// Notes the fields that serde's derive names, and fails.
    struct Fields<'a>(&'a mut Vec<&'static str>);

    impl<'de> Deserializer<'de> for Fields<'_> {
        type Error = Refusal;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refusal> {
            Err(takes("a struct"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Refusal> {
            self.0.extend(fields);
            self.deserialize_any(visitor)
        }
        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    fn assert_names<C: DeserializeOwned>(scheme: &str) {
        let mut fields = Vec::new();
        assert!(C::deserialize(Fields(&mut fields)).is_err());
        fields.retain(|field| !["path", "url", "urls", "cluster"].contains(field));
        for scheme in SCHEMES.iter().filter(|known| known.name.starts_with(scheme)) {
            let (mut names, mut fields) = (scheme.options.to_vec(), fields.clone());
            names.retain(|name| !OF_NEAR.contains(name));
            names.sort_unstable();
            fields.sort_unstable();
            assert_eq!(names, fields, "{}", scheme.name);
        }
    }

    #[test]
    fn schemes_name_the_options_of_their_drivers() {
        #[cfg(feature = "memory")]
        assert_names::<crate::memory::MemoryConfig>("memory");
        #[cfg(feature = "file")]
        assert_names::<crate::file::FileConfig>("file");
        #[cfg(feature = "mmap")]
        assert_names::<crate::mmap::MmapConfig>("mmap");
        #[cfg(feature = "sqlite")]
        assert_names::<crate::sqlite::SqliteConfig>("sqlite");
        #[cfg(feature = "postgres")]
        assert_names::<crate::postgres::PostgresConfig>("postgres");
        #[cfg(feature = "redis")]
        assert_names::<crate::redis::RedisConfig>("redis");
        #[cfg(feature = "sled")]
        assert_names::<crate::sled::SledConfig>("sled");
    }

    #[test]
    fn readme_names_every_option() {
        let readme = include_str!("../README.md");
        for scheme in &SCHEMES {
            let start = format!("| `{}:", scheme.name);
            let row = readme.lines().find(|line| line.starts_with(&start));
            let row = row.unwrap_or_else(|| panic!("the README has no row of {}", scheme.name));
            for option in scheme.options {
                assert!(row.contains(&format!("`{option}`")), "{option} of {}", scheme.name);
            }
        }
    }
}

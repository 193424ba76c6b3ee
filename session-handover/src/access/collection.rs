//! Lists, maps and enumerations.

use std::collections::HashMap;

use serde::de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

use super::Access;
use crate::{Error, Object, Value};

pub(super) struct Items<'v, 'c> {
    list: Access<'v, 'c>,
    items: &'v [Value],
    index: usize,
}

impl<'v, 'c> Items<'v, 'c> {
    pub(super) fn new(list: Access<'v, 'c>, items: &'v [Value]) -> Self {
        Self { list, items, index: 0 }
    }

    /// Fails where a tuple has left items unread.
    pub(super) fn end(&self) -> Result<(), Error> {
        match self.items.len() - self.index {
            0 => Ok(()),
            _ => {
                Err(serde::de::Error::custom(format_args!("list of {} items is too long", self.items.len())))
            }
        }
    }
}

impl<'v> SeqAccess<'v> for Items<'v, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'v>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.items.get(self.index) else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(self.list.inside(item))
            .map(Some)
            .map_err(|error| error.within(&format!("[{index}]")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.index)
    }
}

pub(super) struct Entries<'v, 'c> {
    map: Access<'v, 'c>,
    entries: &'v [(Value, Value)],
    index: usize,
    /// The last place of each key that is text. The systems keep the last value of a key that stands twice.
    last: HashMap<&'v str, usize>,
}

impl<'v, 'c> Entries<'v, 'c> {
    pub(super) fn new(map: Access<'v, 'c>, entries: &'v [(Value, Value)]) -> Self {
        let texts = entries.iter().enumerate();
        let last = texts.filter_map(|(index, (key, _))| Some((super::text(key)?, index))).collect();
        Self { map, entries, index: 0, last }
    }
}

impl<'v> MapAccess<'v> for Entries<'v, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'v>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        while let Some((key, _)) = self.entries.get(self.index) {
            if super::text(key).is_none_or(|text| self.last.get(text) == Some(&self.index)) {
                return seed
                    .deserialize(self.map.key(key))
                    .map(Some)
                    .map_err(|error| error.within(&format!(".{}", name(key))));
            }
            self.index += 1;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'v>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, value)) = self.entries.get(self.index) else {
            return Err(serde::de::Error::custom("value without a key"));
        };
        self.index += 1;
        let value = seed.deserialize(self.map.inside(value));
        value.map_err(|error| error.within(&format!(".{}", name(key))))
    }
}

/// A key in a path.
fn name(key: &Value) -> String {
    match super::text(key).map(str::to_owned).or_else(|| super::number::digits(key)) {
        // A long key is cut, so that a path can stand in a log.
        Some(name) if name.chars().count() > 64 => name.chars().take(64).chain(['…']).collect(),
        Some(name) => name,
        None => "?".to_owned(),
    }
}

/// The entries of a map or an object.
pub(super) fn members(value: &Value) -> Option<&[(Value, Value)]> {
    match value {
        Value::Map(entries) | Value::MapWithDefault(entries, _) => Some(entries),
        Value::Object(object) => match &object.1 {
            Object::Fields(entries) => Some(entries),
            _ => None,
        },
        _ => None,
    }
}

/// A map of one entry, as serde writes an enumeration.
pub(super) struct Variant<'v, 'c> {
    map: Access<'v, 'c>,
    name: &'v Value,
    content: &'v Value,
}

impl<'v, 'c> Variant<'v, 'c> {
    pub(super) fn new(map: Access<'v, 'c>, name: &'v Value, content: &'v Value) -> Self {
        Self { map, name, content }
    }

    fn within<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| error.within(&format!(".{}", name(self.name))))
    }
}

impl<'v> EnumAccess<'v> for Variant<'v, '_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'v>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant = self.within(seed.deserialize(self.map.key(self.name)))?;
        Ok((variant, self))
    }
}

impl<'v> VariantAccess<'v> for Variant<'v, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.within(serde::Deserialize::deserialize(self.map.inside(self.content)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'v>>(self, seed: T) -> Result<T::Value, Error> {
        self.within(seed.deserialize(self.map.inside(self.content)))
    }

    fn tuple_variant<V: Visitor<'v>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        let content = self.map.inside(self.content);
        self.within(serde::Deserializer::deserialize_tuple(content, length, visitor))
    }

    fn struct_variant<V: Visitor<'v>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let content = self.map.inside(self.content);
        self.within(serde::Deserializer::deserialize_struct(content, "", fields, visitor))
    }
}

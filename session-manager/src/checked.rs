//! A serializer in front of a codec's own, which refuses values that the codec would not give back.

use std::any::type_name;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::ser::{self, Serialize, Serializer};

/// How deep values may be nested. serde_json has this limit too, and every decoder is recursive.
const MAX_DEPTH: u32 = 127;

const RAW_JSON: &str = "$serde_json::private::RawValue";

/// The limits of a codec.
#[allow(clippy::struct_excessive_bools, reason = "each is one property of a codec")]
pub(crate) struct Rules {
    /// `None`, `()` and unit structs have one and the same form, and `Some` has none.
    one_nothing: bool,
    /// Numbers that are not finite have no form.
    finite: bool,
    /// Keys of maps are text.
    text_keys: bool,
    /// Fields are found by their position.
    positions: bool,
    /// Raw JSON has a form.
    raw_json: bool,
    /// The doubt that every value leaves, unless its type consists of types of the standard library.
    always: Option<Doubt>,
}

impl Rules {
    pub(crate) const MESSAGE_PACK: Self = Self {
        one_nothing: true,
        finite: false,
        text_keys: false,
        positions: false,
        raw_json: false,
        always: None,
    };
    #[cfg(feature = "json")]
    pub(crate) const JSON: Self =
        Self { finite: true, text_keys: true, raw_json: true, ..Self::MESSAGE_PACK };
    #[cfg(feature = "bincode")]
    pub(crate) const BINCODE: Self =
        Self { one_nothing: false, positions: true, always: Some(Doubt::Form), ..Self::MESSAGE_PACK };
}

/// Why a value is not encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    Nothing,
    NotFinite,
    Depth,
    Twice,
    RawJson,
    Skipped,
    /// The codec or the type itself failed.
    Failed,
}

impl Refusal {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Nothing => {
                "`Some` of an empty value would be read as `None`: use an enum in place of the two options"
            }
            Self::NotFinite => "JSON has no form for NaN and infinity: use `Codec::MessagePack`",
            Self::Depth => "the value is nested more than 127 levels deep: store a flatter one",
            Self::Twice => {
                "a flattened or tagged value has one field name twice, and would not be read: rename the field"
            }
            Self::RawJson => {
                "raw JSON is read by `Codec::Json` only: use that codec, or store a `serde_json::Value` or text"
            }
            Self::Skipped => {
                "bincode finds fields by position, and one is skipped: remove `skip_serializing_if`, or use \
                 `Codec::MessagePack`"
            }
            Self::Failed => {
                "its `Serialize` failed, or the codec has no form for it: use `Codec::MessagePack`, or another type"
            }
        }
    }
}

/// A part that some types do not read back. To read an untagged or internally tagged enum or a flattened field, serde
/// keeps the value in an intermediate form, which does not hold everything. The serialized value does not show whether
/// its type is read in this way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Doubt {
    Wide,
    Key,
    RawJson,
    #[cfg_attr(not(feature = "bincode"), allow(dead_code, reason = "only bincode leaves it"))]
    Form,
}

impl Doubt {
    /// Whether a `T` may be such a type. Types of the standard library are not.
    pub(crate) fn concerns<T: ?Sized>(self) -> bool {
        let json = !matches!(self, Self::Form);
        let of_std = |path: &str| {
            ["core::", "alloc::", "std::"].iter().any(|krate| path.starts_with(krate))
                || json && path.starts_with("serde_json::")
        };
        let mut paths = type_name::<T>().split(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
        paths.any(|path| path.contains("::") && !of_std(path))
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Wide => {
                "tagged and untagged enums and flattened fields do not read 128-bit integers back: call \
                 `insert_checked`, or store the integer as text"
            }
            Self::Key => {
                "tagged and untagged enums and flattened fields do not read JSON keys back as numbers: call \
                 `insert_checked`, or use `Codec::MessagePack`"
            }
            Self::RawJson => {
                "tagged and untagged enums and flattened fields do not read raw JSON back: call `insert_checked`, or \
                 store a `serde_json::Value` or text"
            }
            Self::Form => {
                "bincode does not read every type back: call `insert_checked`, or use `Codec::MessagePack`"
            }
        }
    }

    /// The text where the value was decoded again and did not decode.
    pub(crate) fn confirmed(self) -> &'static str {
        match self {
            Self::Wide => "its 128-bit integer cannot be decoded in this place: store the integer as text",
            Self::Key => "its keys cannot be decoded from JSON in this place: use `Codec::MessagePack`",
            Self::RawJson => {
                "its raw JSON cannot be decoded in this place: store a `serde_json::Value` or text"
            }
            Self::Form => "it cannot be decoded from bincode: use `Codec::MessagePack`",
        }
    }
}

/// The findings about one value.
pub(crate) struct Written {
    rules: &'static Rules,
    depth: Cell<u32>,
    refusal: Cell<Option<Refusal>>,
    doubt: Cell<Option<Doubt>>,
}

impl Written {
    pub(crate) fn new(rules: &'static Rules) -> Self {
        let doubt = Cell::new(rules.always);
        Self { rules, depth: Cell::new(0), refusal: Cell::new(None), doubt }
    }

    /// The serializer of the whole value.
    pub(crate) fn watch<S>(&self, inner: S) -> Watch<'_, S> {
        Watch { inner, written: self, place: Place::Any }
    }

    /// The whole value, for encoders that take no serializer.
    #[cfg(feature = "bincode")]
    pub(crate) fn item<'a, T: ?Sized>(&'a self, value: &'a T) -> Item<'a, T> {
        Item { value, written: self, place: Place::Any }
    }

    /// A refusal counts even if the type's own `Serialize` ignored the error.
    pub(crate) fn outcome(&self, encoded: bool) -> Result<Option<Doubt>, Refusal> {
        match self.refusal.get() {
            Some(refusal) => Err(refusal),
            None if !encoded => Err(Refusal::Failed),
            None => Ok(self.doubt.get()),
        }
    }

    #[cold]
    fn refuse<T, E: ser::Error>(&self, refusal: Refusal) -> Result<T, E> {
        self.refusal.set(self.refusal.get().or(Some(refusal)));
        Err(E::custom("refused"))
    }

    fn deeper<E: ser::Error>(&self, levels: u32) -> Result<(), E> {
        let depth = self.depth.get() + levels;
        self.depth.set(depth);
        if depth > MAX_DEPTH { self.refuse(Refusal::Depth) } else { Ok(()) }
    }

    fn back(&self, levels: u32) {
        self.depth.set(self.depth.get() - levels);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Any,
    /// Directly inside `Some`.
    Some,
    /// A key of a map.
    Key,
}

/// A part of the value.
pub(crate) struct Item<'a, T: ?Sized> {
    value: &'a T,
    written: &'a Written,
    place: Place,
}

impl<T: Serialize + ?Sized> Serialize for Item<'_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(Watch { inner, written: self.written, place: self.place })
    }
}

/// A serializer that hands everything on.
pub(crate) struct Watch<'a, S> {
    inner: S,
    written: &'a Written,
    place: Place,
}

impl<'a, S: Serializer> Watch<'a, S> {
    fn item<'b, T: ?Sized>(&self, value: &'b T, place: Place) -> Item<'b, T>
    where
        'a: 'b,
    {
        Item { value, written: self.written, place }
    }

    #[inline]
    fn number(&self) {
        if self.place == Place::Key && self.written.rules.text_keys {
            self.written.doubt.set(Some(Doubt::Key));
        }
    }

    fn wide(&self) {
        self.number();
        self.written.doubt.set(self.written.doubt.get().or(Some(Doubt::Wide)));
    }

    #[inline]
    fn float(&self, finite: bool) -> Result<(), S::Error> {
        self.number();
        if finite || !self.written.rules.finite { Ok(()) } else { self.written.refuse(Refusal::NotFinite) }
    }

    #[inline]
    fn nothing(&self) -> Result<(), S::Error> {
        if self.place == Place::Some && self.written.rules.one_nothing {
            return self.written.refuse(Refusal::Nothing);
        }
        Ok(())
    }

    #[inline]
    fn parts<C>(
        self,
        levels: u32,
        begin: impl FnOnce(S) -> Result<C, S::Error>,
    ) -> Result<Parts<'a, C>, S::Error> {
        self.written.deeper(levels)?;
        let inner = begin(self.inner)?;
        Ok(Parts { inner, written: self.written, levels, names: Names::Few })
    }
}

macro_rules! numbers {
    ($($method:ident $type:ty,)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
            self.number();
            self.inner.$method(value)
        }
    )*};
}

impl<'a, S: Serializer> Serializer for Watch<'a, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Parts<'a, S::SerializeSeq>;
    type SerializeTuple = Parts<'a, S::SerializeTuple>;
    type SerializeTupleStruct = Parts<'a, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Parts<'a, S::SerializeTupleVariant>;
    type SerializeMap = Parts<'a, S::SerializeMap>;
    type SerializeStruct = Parts<'a, S::SerializeStruct>;
    type SerializeStructVariant = Parts<'a, S::SerializeStructVariant>;

    numbers! {
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64,
    }

    fn serialize_i128(self, value: i128) -> Result<S::Ok, S::Error> {
        self.wide();
        self.inner.serialize_i128(value)
    }

    fn serialize_u128(self, value: u128) -> Result<S::Ok, S::Error> {
        self.wide();
        self.inner.serialize_u128(value)
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        self.float(value.is_finite())?;
        self.inner.serialize_f32(value)
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        self.float(value.is_finite())?;
        self.inner.serialize_f64(value)
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<S::Ok, S::Error> {
        self.inner.serialize_char(value)
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<S::Ok, S::Error> {
        self.inner.serialize_str(value)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.collect_str(value)
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<S::Ok, S::Error> {
        self.inner.serialize_bytes(value)
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.nothing()?;
        self.inner.serialize_none()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        let place = if self.place == Place::Any { Place::Some } else { self.place };
        let item = self.item(value, place);
        self.inner.serialize_some(&item)
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.nothing()?;
        self.inner.serialize_unit()
    }

    /// An untagged enum reads unit structs from nothing but the form of `()`, and MessagePack has another.
    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        if self.written.rules.one_nothing {
            self.serialize_unit()
        } else {
            self.inner.serialize_unit_struct(name)
        }
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        let item = self.item(value, self.place);
        self.inner.serialize_newtype_struct(name, &item)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.written.deeper(1)?;
        let item = self.item(value, Place::Any);
        let ok = self.inner.serialize_newtype_variant(name, index, variant, &item)?;
        self.written.back(1);
        Ok(ok)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.parts(1, |inner| inner.serialize_seq(len))
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.parts(1, |inner| inner.serialize_tuple(len))
    }

    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.parts(1, |inner| inner.serialize_tuple_struct(name, len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.parts(2, |inner| inner.serialize_tuple_variant(name, index, variant, len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let mut parts = self.parts(1, |inner| inner.serialize_map(len))?;
        // A struct with flattened fields is a map of unknown length.
        parts.names = if len.is_none() { Names::Seen(HashSet::new()) } else { Names::First };
        Ok(parts)
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        if name == RAW_JSON {
            if !self.written.rules.raw_json {
                return self.written.refuse(Refusal::RawJson);
            }
            self.written.doubt.set(Some(Doubt::RawJson));
        }
        let mut parts = self.parts(1, |inner| inner.serialize_struct(name, len))?;
        parts.names = Names::First;
        Ok(parts)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.parts(2, |inner| inner.serialize_struct_variant(name, index, variant, len))
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// The parts of a list, map, struct or variant.
pub(crate) struct Parts<'a, C> {
    inner: C,
    written: &'a Written,
    levels: u32,
    names: Names,
}

/// The names in a map or struct. One can occur twice only where serde puts two values into one: in flattened fields, and
/// in the variants of a tagged enum.
enum Names {
    /// All are different.
    Few,
    /// None yet.
    First,
    Tag(&'static str),
    Seen(HashSet<Vec<u8>>),
}

impl<C> Parts<'_, C> {
    #[inline]
    fn field<T: ?Sized, E: ser::Error>(&mut self, name: &'static str) -> Result<(), E> {
        match self.names {
            // The tag of an internally tagged enum: other fields have a type with a known size.
            Names::First => self.names = if is_str::<T>() { Names::Tag(name) } else { Names::Few },
            Names::Tag(tag) if tag == name => return self.written.refuse(Refusal::Twice),
            _ => {}
        }
        Ok(())
    }

    fn key<K: Serialize + ?Sized, E: ser::Error>(&mut self, key: &K) -> Result<(), E> {
        if matches!(self.names, Names::First) {
            self.names = if is_str::<K>() { Names::Seen(HashSet::new()) } else { Names::Few };
        }
        if let Names::Seen(seen) = &mut self.names
            && let Ok(key) = rmp_serde::to_vec(key)
            && !seen.insert(key)
        {
            return self.written.refuse(Refusal::Twice);
        }
        Ok(())
    }
}

fn is_str<T: ?Sized>() -> bool {
    type_name::<T>() == "str"
}

macro_rules! elements {
    ($($trait:ident $method:ident,)*) => {$(
        impl<C: ser::$trait> ser::$trait for Parts<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.inner.$method(&Item { value, written: self.written, place: Place::Any })
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.written.back(self.levels);
                self.inner.end()
            }
        }
    )*};
}

elements! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! fields {
    ($($trait:ident)*) => {$(
        impl<C: ser::$trait> ser::$trait for Parts<'_, C> {
            type Ok = C::Ok;
            type Error = C::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                self.field::<T, _>(name)?;
                self.inner.serialize_field(name, &Item { value, written: self.written, place: Place::Any })
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), C::Error> {
                if self.written.rules.positions {
                    return self.written.refuse(Refusal::Skipped);
                }
                self.inner.skip_field(name)
            }

            #[inline]
            fn end(self) -> Result<C::Ok, C::Error> {
                self.written.back(self.levels);
                self.inner.end()
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }

impl<C: ser::SerializeMap> ser::SerializeMap for Parts<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), C::Error> {
        self.key(key)?;
        self.inner.serialize_key(&Item { value: key, written: self.written, place: Place::Key })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner.serialize_value(&Item { value, written: self.written, place: Place::Any })
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.written.back(self.levels);
        self.inner.end()
    }
}

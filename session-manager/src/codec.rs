//! How one value becomes bytes.

use serde::{Serialize, de::DeserializeOwned};

use crate::checked::{Doubt, Refusal, Rules, Written};
use crate::error::{Error, ErrorKind};

mod message_pack;

/// How values are encoded. Every value carries its codec, so the default may change while sessions live.
///
/// A value that [`insert`](crate::Session::insert) accepts is read back equal, as far as the type's own `Serialize` and
/// `Deserialize` agree. Values that a codec cannot represent are refused with `Encode`, and the error says what to do.
#[doc = ""]
#[doc = include_str!("../CODECS.md")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// MessagePack with field names, and with text where a type offers a readable form: self-describing, tolerant of
    /// added fields.
    #[default]
    MessagePack,
    /// JSON: readable by anything.
    #[cfg(feature = "json")]
    Json,
    /// bincode 2: the smallest and fastest, but not self-describing. A struct whose fields changed decodes into wrong
    /// values or fails, and the crate is no longer maintained. Use it for numbers and strings, and for types that
    /// change only together with every stored session.
    ///
    /// `insert` accepts types of the standard library only, because other types may need a self-describing codec.
    /// [`insert_checked`](crate::Session::insert_checked) and `update` decode the value again and accept what is read
    /// back.
    #[cfg(feature = "bincode")]
    Bincode,
}

/// The default of the first release, in the forms that serde keeps for binary formats. Only read.
const BINARY_MESSAGE_PACK: u8 = 1;
#[cfg(feature = "json")]
const JSON: u8 = 2;
#[cfg(feature = "bincode")]
const BINCODE: u8 = 3;
const MESSAGE_PACK: u8 = 4;

impl Codec {
    /// The number in the table. It never changes.
    pub(crate) const fn id(self) -> u8 {
        match self {
            Self::MessagePack => MESSAGE_PACK,
            #[cfg(feature = "json")]
            Self::Json => JSON,
            #[cfg(feature = "bincode")]
            Self::Bincode => BINCODE,
        }
    }

    /// Appends a value that may have a type which cannot be read, such as `str`.
    pub(crate) fn encode<T: Serialize + ?Sized>(
        self,
        key: &str,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        match self.write(value, out) {
            Ok(None) => Ok(()),
            Ok(Some(doubt)) if doubt.concerns::<T>() => Err(refused::<T>(key, doubt.text())),
            Ok(Some(_)) => Ok(()),
            Err(refusal) => Err(refused::<T>(key, refusal.text())),
        }
    }

    /// Appends a value that is not stored: its encoding may leave a doubt.
    pub(crate) fn encode_unchecked<T: Serialize>(
        self,
        key: &str,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.write(value, out).map(drop).map_err(|refusal| refused::<T>(key, refusal.text()))
    }

    /// Appends a value, and decodes it again if its encoding leaves a doubt.
    pub(crate) fn encode_checked<T: Serialize + DeserializeOwned>(
        self,
        key: &str,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let start = out.len();
        match self.write(value, out) {
            Ok(None) => Ok(()),
            Ok(Some(_)) if decode::<T>(self.id(), key, &out[start..]).is_ok() => Ok(()),
            Ok(Some(doubt)) => Err(refused::<T>(key, doubt.confirmed())),
            Err(refusal) => Err(refused::<T>(key, refusal.text())),
        }
    }

    fn write<T: Serialize + ?Sized>(self, value: &T, out: &mut Vec<u8>) -> Result<Option<Doubt>, Refusal> {
        match self {
            Self::MessagePack => {
                let written = Written::new(const { &Rules::MESSAGE_PACK });
                let mut serializer = rmp_serde::Serializer::new(out).with_struct_map().with_human_readable();
                written.outcome(value.serialize(written.watch(&mut serializer)).is_ok())
            }
            #[cfg(feature = "json")]
            Self::Json => {
                let written = Written::new(const { &Rules::JSON });
                let mut serializer = serde_json::Serializer::new(out);
                written.outcome(value.serialize(written.watch(&mut serializer)).is_ok())
            }
            #[cfg(feature = "bincode")]
            Self::Bincode => {
                let written = Written::new(const { &Rules::BINCODE });
                let value = written.item(value);
                let bytes = bincode::serde::encode_to_vec(value, bincode::config::standard());
                out.extend_from_slice(bytes.as_deref().unwrap_or_default());
                written.outcome(bytes.is_ok())
            }
        }
    }
}

/// Decodes bytes that were written with the codec of this number.
pub(crate) fn decode<T: DeserializeOwned>(codec: u8, key: &str, bytes: &[u8]) -> Result<T, Error> {
    let value = match codec {
        MESSAGE_PACK => decode_readable(bytes),
        BINARY_MESSAGE_PACK => decode_binary(bytes),
        #[cfg(feature = "json")]
        JSON => serde_json::from_slice(bytes).ok(),
        #[cfg(feature = "bincode")]
        BINCODE => decode_bincode(bytes),
        _ => return Err(about::<T>(ErrorKind::Codec, key)),
    };
    value.ok_or_else(|| about::<T>(ErrorKind::Decode, key))
}

#[inline(never)]
fn decode_readable<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    T::deserialize(message_pack::Value::new(bytes)).ok()
}

/// Not inlined, so that `decode` is as large as one decoder.
#[cold]
#[inline(never)]
fn decode_binary<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    rmp_serde::from_slice(bytes).ok()
}

/// Decodes with a bound on the memory that bincode allocates for a length in the bytes, because they may be damaged or
/// of another type. The bound is 256 times their length, more than any type needs for its own encoding.
#[cfg(feature = "bincode")]
fn decode_bincode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    macro_rules! within {
        ($limit:literal) => {
            bincode::serde::decode_from_slice(bytes, bincode::config::standard().with_limit::<$limit>())
        };
    }
    let decoded = match bytes.len() {
        0..=0x100 => within!(0x1_0000),
        0x101..=0x1000 => within!(0x10_0000),
        0x1001..=0x1_0000 => within!(0x100_0000),
        0x1_0001..=0x10_0000 => within!(0x1000_0000),
        _ => within!(0x1_0000_0000),
    };
    decoded.ok().filter(|(_, read)| *read == bytes.len()).map(|(value, _)| value)
}

#[cold]
fn refused<T: ?Sized>(key: &str, why: &str) -> Error {
    let name = std::any::type_name::<T>();
    Error::new(ErrorKind::Encode).with_detail(format!("{key:?} as {name}: {why}"))
}

#[cold]
fn about<T: ?Sized>(kind: ErrorKind, key: &str) -> Error {
    Error::new(kind).with_detail(format!("{key:?} as {}", std::any::type_name::<T>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, serde::Deserialize, Debug, PartialEq)]
    struct Old {
        name: String,
    }
    #[derive(Serialize, serde::Deserialize, Debug, PartialEq)]
    struct New {
        name: String,
        #[serde(default)]
        age: u8,
    }

    #[test]
    fn added_field_keeps_the_value() {
        let mut bytes = Vec::new();
        Codec::MessagePack.encode("k", &Old { name: "a".into() }, &mut bytes).unwrap();
        assert_eq!(decode::<New>(MESSAGE_PACK, "k", &bytes).unwrap(), New { name: "a".into(), age: 0 });
    }

    #[cfg(feature = "bincode")]
    #[test]
    fn false_length_allocates_nothing() {
        for number in [1_u64 << 62, u64::MAX, 1 << 40] {
            let mut bytes = Vec::new();
            Codec::Bincode.encode("k", &number, &mut bytes).unwrap();
            assert_eq!(decode::<String>(BINCODE, "k", &bytes).unwrap_err().kind(), ErrorKind::Decode);
            assert_eq!(decode::<Vec<u64>>(BINCODE, "k", &bytes).unwrap_err().kind(), ErrorKind::Decode);
        }
        let mut bytes = Vec::new();
        let words = vec![String::from("many"); 10_000];
        Codec::Bincode.encode("k", &words, &mut bytes).unwrap();
        assert_eq!(decode::<Vec<String>>(BINCODE, "k", &bytes).unwrap(), words);
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_cause_no_panic(codec in 0_u8..6, bytes in proptest::collection::vec(0_u8.., 0..64)) {
            let _ = decode::<String>(codec, "k", &bytes);
            let _ = decode::<Vec<(u64, String)>>(codec, "k", &bytes);
            let _ = decode::<std::collections::BTreeMap<String, Option<f64>>>(codec, "k", &bytes);
        }
    }

    #[test]
    fn refusal_says_what_to_do_and_no_value() {
        let refused = |answer: Result<(), Error>| {
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Encode);
            error.to_string()
        };
        let mut out = Vec::new();
        let nested = refused(Codec::MessagePack.encode("k", &Some(None::<u8>), &mut out));
        assert!(
            nested.contains("\"k\" as core::option::Option<") && nested.contains("use an enum"),
            "{nested}"
        );
        let twice = std::collections::BTreeMap::from([("secret", Some(()))]);
        let nested = refused(Codec::MessagePack.encode("k", &twice, &mut out));
        assert!(!nested.contains("secret"), "{nested}");
        #[derive(Serialize, serde::Deserialize)]
        struct Wide {
            number: u128,
        }
        let wide = Wide { number: 5_555 };
        let doubt = refused(Codec::MessagePack.encode("k", &wide, &mut out));
        assert!(doubt.contains("call `insert_checked`") && !doubt.contains("5555"), "{doubt}");
        out.clear();
        Codec::MessagePack.encode_checked("k", &wide, &mut out).unwrap();
        assert_eq!(decode::<Wide>(MESSAGE_PACK, "k", &out).unwrap().number, 5_555);
        // An error that the type's own code ignores.
        struct Careless;
        impl Serialize for Careless {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeTuple as _;
                let mut tuple = serializer.serialize_tuple(1)?;
                let _ = tuple.serialize_element(&Some(()));
                tuple.end()
            }
        }
        refused(Codec::MessagePack.encode("k", &Careless, &mut out));
    }

    #[test]
    fn first_codec_is_read_in_its_own_forms() {
        let address: std::net::IpAddr = [192, 0, 2, 1].into();
        let old = rmp_serde::to_vec_named(&address).unwrap();
        assert_eq!(decode::<std::net::IpAddr>(BINARY_MESSAGE_PACK, "k", &old).unwrap(), address);
        assert_eq!(
            decode::<std::net::IpAddr>(MESSAGE_PACK, "k", &old).unwrap_err().kind(),
            ErrorKind::Decode
        );
    }

    #[test]
    fn error_names_key_and_type_and_no_value() {
        let mut bytes = Vec::new();
        Codec::MessagePack.encode("k", "top secret", &mut bytes).unwrap();
        let error = decode::<u64>(MESSAGE_PACK, "k", &bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert_eq!(error.to_string(), "session value could not be decoded: \"k\" as u64");
        assert!(!format!("{error:?}").contains("secret"));
        assert_eq!(decode::<u64>(200, "k", &bytes).unwrap_err().kind(), ErrorKind::Codec);
    }
}

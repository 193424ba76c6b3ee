//! The bytes of a stored session.
//!
//! | offset | length | content |
//! |---|---|---|
//! | 0 | 1 | version, 1 or 2 |
//! | 1 | 8 | the number of the request that wrote the values, little-endian |
//! | 9 | rest | in version 2, the names of the values that this request has changed, a JSON array; then the values, a JSON object |
//!
//! Version 2 is of a request whose values were joined with those of another one.
//!
//! The deadline is that of the record. actix-session's values are JSON strings whose content is JSON too, as in its own
//! store for Redis.

use bytes::Bytes;

use crate::base::{Value, Values};
use crate::error::{Error, ErrorKind};

const ALONE: u8 = 1;
const JOINED: u8 = 2;

/// A stored session.
#[derive(Debug, PartialEq)]
pub(crate) struct Stored<V> {
    pub(crate) request: u64,
    /// What the request has changed, if its values were joined with those of another one.
    pub(crate) changed: Vec<String>,
    pub(crate) values: Values<V>,
}

/// The bytes of these values.
pub(crate) fn encode<V: Value>(request: u64, changed: &[String], values: &Values<V>) -> Result<Bytes, Error> {
    if values.values().any(Value::is_too_deep) {
        return Err(Error::new(ErrorKind::Encode));
    }
    let mut bytes = vec![if changed.is_empty() { ALONE } else { JOINED }];
    bytes.extend(request.to_le_bytes());
    if !changed.is_empty() {
        serde_json::to_writer(&mut bytes, changed).map_err(|_| Error::new(ErrorKind::Encode))?;
    }
    serde_json::to_writer(&mut bytes, values).map_err(|_| Error::new(ErrorKind::Encode))?;
    Ok(bytes.into())
}

impl<V: Value> Stored<V> {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        // Without the cause, whose text could show values.
        let malformed = || Error::new(ErrorKind::Decode);
        let (&[version, ref request @ ..], mut rest) =
            bytes.split_first_chunk::<9>().ok_or_else(malformed)?;
        let request = u64::from_le_bytes(*request);
        let changed = match version {
            ALONE => Vec::new(),
            JOINED => {
                let mut names = serde_json::Deserializer::from_slice(rest).into_iter();
                let changed = names.next().ok_or_else(malformed)?.map_err(|_| malformed())?;
                rest = &rest[names.byte_offset()..];
                changed
            }
            _ => return Err(malformed()),
        };
        let values = serde_json::from_slice(rest).map_err(|_| malformed())?;
        Ok(Self { request, changed, values })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn stored() -> Stored<serde_json::Value> {
        let values = [("n".to_owned(), json!({ "a": [1, -2.5, null, true, "é"] }))].into();
        Stored { request: 0x0102_0304_0506_0708, changed: Vec::new(), values }
    }

    #[test]
    fn bytes_match_the_golden_file() {
        let golden = include_bytes!("../golden/session-v1.bin");
        let Stored { request, changed, values } = stored();
        assert_eq!(encode(request, &changed, &values).unwrap(), &golden[..]);
        assert_eq!(Stored::decode(golden).unwrap(), stored());
    }

    #[test]
    fn joined_session_matches_its_golden_file() {
        let golden = include_bytes!("../golden/session-v2.bin");
        let joined = Stored { changed: vec!["n".to_owned(), "ü\"".to_owned()], ..stored() };
        assert_eq!(encode(joined.request, &joined.changed, &joined.values).unwrap(), &golden[..]);
        assert_eq!(Stored::decode(golden).unwrap(), joined);
    }

    #[test]
    fn values_that_are_nested_too_deeply_are_refused() {
        let deep = (0..200).fold(json!([]), |inner, _| json!([inner]));
        let error = encode(1, &[], &[("a".to_owned(), deep)].into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_session_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64), at in 0usize..40) {
            let _ = Stored::<String>::decode(&bytes);
            let mut damaged = encode(1, &[], &stored().values).unwrap().to_vec();
            damaged.truncate(at);
            prop_assert!(Stored::<serde_json::Value>::decode(&damaged).is_err());
            damaged.extend(bytes);
            let _ = Stored::<serde_json::Value>::decode(&damaged);
            if let Some(version) = damaged.first_mut() {
                *version = JOINED;
            }
            let _ = Stored::<serde_json::Value>::decode(&damaged);
        }

        #[test]
        fn numbers_come_back_equal(float in proptest::num::f64::NORMAL, int in any::<i64>(), text in ".*") {
            let values: Values<_> = [("a".to_owned(), json!([float, int, text.clone()]))].into();
            for changed in [vec![], vec![text]] {
                let bytes = encode(0, &changed, &values).unwrap();
                let values = values.clone();
                prop_assert_eq!(Stored::decode(&bytes).unwrap(), Stored { request: 0, changed, values });
            }
        }
    }
}

//! The bytes of a stored session.
//!
//! | offset | length | content |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 8 | the number of the request that wrote the values, little-endian |
//! | 9 | rest | the values, a JSON object |
//!
//! The deadline is that of the record. actix-session's values are JSON strings whose content is JSON too, as in its own
//! store for Redis.

use bytes::Bytes;

use crate::base::{Value, Values};
use crate::error::{Error, ErrorKind};

const VERSION: u8 = 1;

/// A stored session.
#[derive(Debug, PartialEq)]
pub(crate) struct Stored<V> {
    pub(crate) request: u64,
    pub(crate) values: Values<V>,
}

/// The bytes of these values.
pub(crate) fn encode<V: Value>(request: u64, values: &Values<V>) -> Result<Bytes, Error> {
    if values.values().any(Value::is_too_deep) {
        return Err(Error::new(ErrorKind::Encode));
    }
    let mut bytes = vec![VERSION];
    bytes.extend(request.to_le_bytes());
    serde_json::to_writer(&mut bytes, values).map_err(|_| Error::new(ErrorKind::Encode))?;
    Ok(bytes.into())
}

impl<V: Value> Stored<V> {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let Some((&[VERSION, ref request @ ..], values)) = bytes.split_first_chunk::<9>() else {
            return Err(Error::new(ErrorKind::Decode));
        };
        let request = u64::from_le_bytes(*request);
        // Without the cause, whose text could show values.
        let values = serde_json::from_slice(values).map_err(|_| Error::new(ErrorKind::Decode))?;
        Ok(Self { request, values })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn stored() -> Stored<serde_json::Value> {
        let values = [("n".to_owned(), json!({ "a": [1, -2.5, null, true, "é"] }))].into();
        Stored { request: 0x0102_0304_0506_0708, values }
    }

    #[test]
    fn bytes_match_the_golden_file() {
        let golden = include_bytes!("../golden/session-v1.bin");
        let Stored { request, values } = stored();
        assert_eq!(encode(request, &values).unwrap(), &golden[..]);
        assert_eq!(Stored::decode(golden).unwrap(), stored());
    }

    #[test]
    fn values_that_are_nested_too_deeply_are_refused() {
        let deep = (0..200).fold(json!([]), |inner, _| json!([inner]));
        let error = encode(1, &[("a".to_owned(), deep)].into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_session_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64), at in 0usize..40) {
            let _ = Stored::<String>::decode(&bytes);
            let mut damaged = encode(1, &stored().values).unwrap().to_vec();
            damaged.truncate(at);
            prop_assert!(Stored::<serde_json::Value>::decode(&damaged).is_err());
            damaged.extend(bytes);
            let _ = Stored::<serde_json::Value>::decode(&damaged);
        }

        #[test]
        fn numbers_come_back_equal(float in proptest::num::f64::NORMAL, int in any::<i64>(), text in ".*") {
            let values: Values<_> = [("a".to_owned(), json!([float, int, text]))].into();
            let bytes = encode(0, &values).unwrap();
            prop_assert_eq!(Stored::decode(&bytes).unwrap(), Stored { request: 0, values });
        }
    }
}

//! The state that a request has loaded, carried inside the session's own values.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use session_core::Revision;

/// The name under which a loaded session holds [the state that its request has loaded](crate#what-it-refuses). An
/// application must not use it.
pub const RESERVED: &str = "session-interop";

/// The values of a session, by their names.
pub(crate) type Values<V> = HashMap<String, V>;

/// The state of the stored session that a request has loaded or created.
///
/// The traits have no place for it: their `save` gets the id, the values and the deadline. So it travels as one more
/// value, which the session of the framework hands back. The rejected alternative is a table of loaded revisions by id in
/// the store: it cannot tell two requests of one process apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Base<V> {
    revision: u64,
    /// A random number of this request. The stored session holds the number of the request that wrote it.
    pub(crate) request: u64,
    pub(crate) values: Values<V>,
}

impl<V: Value> Base<V> {
    pub(crate) fn new(revision: Revision, request: u64, values: Values<V>) -> Self {
        Self { revision: u64::from_le_bytes(revision.to_bytes()), request, values }
    }

    pub(crate) fn revision(&self) -> Revision {
        Revision::from_bytes(self.revision.to_le_bytes())
    }

    /// Puts the base into the values that the request gets.
    pub(crate) fn put_into(self, values: &mut Values<V>) {
        values.insert(RESERVED.to_owned(), V::of_base(self));
    }

    /// Takes the base out of the values that a request hands back. `None` if the application has cleared the values.
    pub(crate) fn take_from(values: &mut Values<V>) -> Option<Self> {
        values.remove(RESERVED).and_then(V::into_base)
    }
}

/// A value of a session, as one framework has it.
pub(crate) trait Value: Clone + PartialEq + Serialize + DeserializeOwned {
    fn of_base(base: Base<Self>) -> Self;
    fn into_base(self) -> Option<Base<Self>>;
    /// Whether it is nested so deeply that its text could not be read again.
    fn is_too_deep(&self) -> bool;
}

/// tower-sessions keeps decoded values.
impl Value for serde_json::Value {
    fn of_base(base: Base<Self>) -> Self {
        let mut object = serde_json::Map::new();
        object.insert("revision".to_owned(), base.revision.into());
        object.insert("request".to_owned(), base.request.into());
        object.insert("values".to_owned(), Self::Object(base.values.into_iter().collect()));
        Self::Object(object)
    }

    fn into_base(self) -> Option<Base<Self>> {
        let Self::Object(mut object) = self else { return None };
        let Some(Self::Object(values)) = object.remove("values") else { return None };
        Some(Base {
            revision: object.get("revision")?.as_u64()?,
            request: object.get("request")?.as_u64()?,
            values: values.into_iter().collect(),
        })
    }

    fn is_too_deep(&self) -> bool {
        // serde_json reads 128 levels, and the map of the values is one of them.
        fn deeper(value: &serde_json::Value, left: u8) -> bool {
            let Some(left) = left.checked_sub(1) else { return true };
            match value {
                serde_json::Value::Array(items) => items.iter().any(|item| deeper(item, left)),
                serde_json::Value::Object(items) => items.values().any(|item| deeper(item, left)),
                _ => false,
            }
        }
        deeper(self, 126)
    }
}

/// actix-session keeps values as JSON texts.
impl Value for String {
    fn of_base(base: Base<Self>) -> Self {
        serde_json::to_string(&base).expect("numbers and texts always serialize")
    }

    fn into_base(self) -> Option<Base<Self>> {
        serde_json::from_str(&self).ok()
    }

    fn is_too_deep(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn base_travels_in_the_values_of_both_frameworks() {
        fn check<V: Value + std::fmt::Debug>(value: V) {
            let revision = Revision::from_bytes([0xff; 8]);
            let base = Base::new(revision, u64::MAX, [("a".to_owned(), value.clone())].into());
            let mut values = Values::from([("b".to_owned(), value)]);
            base.clone().put_into(&mut values);
            assert_eq!(values.len(), 2);
            assert_eq!(Base::take_from(&mut values), Some(base));
            assert_eq!((values.len(), Base::take_from(&mut values)), (1, None));
        }
        check(json!({ "n": [1.5, null] }));
        check("[1.5]".to_owned());
    }

    #[test]
    fn foreign_value_under_the_reserved_name_is_no_base() {
        for value in [json!(1), json!({}), json!({ "revision": -1, "request": 1, "values": {} })] {
            assert_eq!(value.into_base(), None);
        }
        assert_eq!("{}".to_owned().into_base(), None);
    }

    #[test]
    fn depth_stops_where_the_text_could_not_be_read_again() {
        let nested = |depth: usize| (1..depth).fold(json!([]), |inner, _| json!([inner]));
        for (depth, readable) in [(1, true), (120, true), (126, true), (127, false), (500, false)] {
            let value = nested(depth);
            assert_eq!(!value.is_too_deep(), readable, "{depth}");
            let text = serde_json::to_string(&Values::from([("a".to_owned(), value)])).unwrap();
            if readable {
                assert!(serde_json::from_str::<Values<serde_json::Value>>(&text).is_ok(), "{depth}");
            }
        }
    }
}

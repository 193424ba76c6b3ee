//! The values that an import takes from an old session.

use serde::ser::{Error as _, Serialize, SerializeMap as _, Serializer};
use session_kit::handover::Value;

/// The value at a path such as `cart.items`.
pub(crate) fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}

/// The user's name: text, or the decimal text of a number.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value.as_text() {
        Some(text) => Some(text.to_owned()).filter(|text| !text.is_empty()),
        None => value.as_integer().map(|number| number.to_string()),
    }
}

/// A value as JSON would have it.
pub(crate) struct Kept<'v>(pub(crate) &'v Value);

impl Serialize for Kept<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::List(items) | Value::Tuple(items) => serializer.collect_seq(items.iter().map(Kept)),
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    let name = match key.as_text() {
                        Some(text) => text.to_owned(),
                        None => {
                            text(key).ok_or_else(|| S::Error::custom("map key of a kind that is not kept"))?
                        }
                    };
                    map.serialize_entry(&name, &Kept(value))?;
                }
                map.end()
            }
            Value::Shared(_, of) => Kept(of).serialize(serializer),
            other => match other.as_text() {
                Some(text) => serializer.serialize_str(text),
                None => Err(S::Error::custom("value of a kind that is not kept")),
            },
        }
    }
}

//! Sessions of Ruby's Rack and Rails.

/// Ruby tells numbers from text.
#[cfg(feature = "serde")]
pub const TYPING: crate::Typing = crate::Typing::Strict;

#[cfg(feature = "marshal")]
pub mod marshal;
#[cfg(feature = "rails")]
pub mod msgpack;
#[cfg(feature = "rack")]
pub mod rack;
#[cfg(feature = "rails")]
pub mod rails;
#[cfg(feature = "rails")]
pub mod rails_cache;
#[cfg(feature = "rails")]
pub mod rails_json;
#[cfg(feature = "marshal")]
pub(crate) mod time;

#[cfg(feature = "rack")]
use crate::{Object, Value};

#[cfg(feature = "rack")]
/// Rack keeps the id of a session as an object in it. Its variable is shown under the name of its reader, `public_id`.
pub(crate) fn public_id(mut value: Value) -> Value {
    let inner = match &mut value {
        Value::Shared(_, inner) => inner.as_mut(),
        other => other,
    };
    if let Value::Map(entries) = inner {
        for (_, value) in entries {
            if let Value::Object(object) = value
                && object.0 == "Rack::Session::SessionId"
                && let Object::Fields(fields) = &mut object.1
            {
                for (name, _) in fields {
                    if matches!(name, Value::Text(name) if name == "@public_id") {
                        *name = Value::Text("public_id".into());
                    }
                }
            }
        }
    }
    value
}

//! Sessions of Python's frameworks.

/// Python tells numbers from text.
#[cfg(feature = "serde")]
pub const TYPING: crate::Typing = crate::Typing::Strict;

#[cfg(feature = "beaker")]
pub mod beaker;
#[cfg(feature = "django")]
pub mod django;
#[cfg(feature = "django")]
pub mod django_cache;
#[cfg(feature = "flask")]
pub mod flask;
#[cfg(feature = "flask-session")]
pub mod flask_session;
#[cfg(any(feature = "flask", feature = "flask-session", feature = "starlette"))]
pub(crate) mod itsdangerous;
#[cfg(feature = "json")]
pub(crate) mod json;
#[cfg(any(feature = "pickle", feature = "flask"))]
pub(crate) mod moment;
#[cfg(feature = "flask-session")]
pub(crate) mod msgpack;
#[cfg(feature = "pickle")]
pub mod pickle;
#[cfg(feature = "starlette")]
pub mod starlette;

#[cfg(any(feature = "pickle", feature = "json"))]
#[allow(dead_code, reason = "the formats alone do not need it")]
/// A session is a map.
pub(crate) fn session(value: crate::Value) -> Result<crate::Value, crate::Error> {
    match &value {
        crate::Value::Map(_) => Ok(value),
        crate::Value::Shared(_, of) if matches!(**of, crate::Value::Map(_)) => Ok(value),
        _ => Err(crate::Error::new(crate::ErrorKind::Malformed, 0, "a session is a map")),
    }
}

//! CGI::Session: files and database rows in Data::Dumper's text, Storable or YAML.

use std::collections::HashSet;

use super::without::without;
use super::{dumper, storable, yaml};
use crate::{Bounds, Error, ErrorKind, Value};

/// How the session is serialized (`serializer:` of the DSN).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Serializer {
    /// The first bytes tell.
    #[default]
    Detect,
    /// `default`: Data::Dumper.
    Dumper,
    /// `storable`.
    Storable,
    /// `yaml`.
    Yaml,
}

/// Reads a file or the column `a_session`.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(bytes: &[u8], serializer: Serializer, bounds: &Bounds) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Err(Error::new(ErrorKind::Truncated, 0, "session is empty"));
    }
    let serializer = match serializer {
        Serializer::Detect if bytes.starts_with(b"$") => Serializer::Dumper,
        Serializer::Detect if matches!(bytes[0], 4 | 5) || bytes.starts_with(b"pst0") => Serializer::Storable,
        Serializer::Detect => Serializer::Yaml,
        set => set,
    };
    match serializer {
        Serializer::Storable => storable::read(bytes, bounds),
        Serializer::Yaml => yaml::read(bytes, bounds),
        _ => dumper::read(bytes, bounds),
    }
}

/// The session as CGI::Session loads it at `now`, in seconds since 1970: without the keys that have ended. `None`: the session
/// itself has ended.
pub fn live(session: Value, now: i64) -> Option<Value> {
    let life = Life::of(&session);
    if life.ended(now) {
        return None;
    }
    let end = |seconds: i64| life.accessed.unwrap_or(0).saturating_add(seconds);
    let keys = life.keys.iter().filter(|(_, seconds)| end(*seconds) <= now);
    let ended: HashSet<&str> = keys.map(|(key, _)| key.as_str()).collect();
    Some(if ended.is_empty() { session } else { without(session, |key| ended.contains(key)) })
}

/// How long a session and its keys live, in seconds from the last access.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Life {
    /// `_SESSION_ATIME`, in seconds since 1970.
    pub accessed: Option<i64>,
    /// `_SESSION_ETIME`. `None`: the session does not end, or its expiry was cancelled. Text that cannot be read as a number counts as 1.
    pub idle: Option<i64>,
    /// `_SESSION_EXPIRE_LIST`.
    pub keys: Vec<(String, i64)>,
}

impl Life {
    /// Takes the times out of a session.
    pub fn of(session: &Value) -> Self {
        let mut life = Self::default();
        let Some(entries) = map(session) else { return life };
        for (key, value) in entries {
            let Value::Text(key) = key else { continue };
            match key.as_str() {
                "_SESSION_ATIME" => life.accessed = integer(value),
                // Zero and nothing both mean that the session does not end.
                "_SESSION_ETIME" => {
                    let none = matches!(value, Value::Null);
                    let seconds = if none { 0 } else { integer(value).unwrap_or(1) };
                    life.idle = Some(seconds).filter(|seconds| *seconds != 0);
                }
                "_SESSION_EXPIRE_LIST" => {
                    life.keys = map(value)
                        .into_iter()
                        .flatten()
                        .filter_map(|(key, value)| match key {
                            Value::Text(key) => Some((key.to_string(), integer(value)?)),
                            _ => None,
                        })
                        .collect();
                }
                _ => {}
            }
        }
        life
    }

    /// Whether the session has ended at `now`, in seconds since 1970. As in Perl, a session without a time of access was
    /// accessed in 1970.
    pub fn ended(&self, now: i64) -> bool {
        self.idle.is_some_and(|idle| self.accessed.unwrap_or(0).saturating_add(idle) <= now)
    }

    /// Whether a key of the session has ended.
    pub fn key_ended(&self, key: &str, now: i64) -> bool {
        self.keys
            .iter()
            .any(|(name, seconds)| name == key && self.accessed.unwrap_or(0).saturating_add(*seconds) <= now)
    }
}

fn map(value: &Value) -> Option<&[(Value, Value)]> {
    match value {
        Value::Map(entries) => Some(entries),
        Value::Shared(_, inner) => map(inner),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}

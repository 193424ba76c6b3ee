//! From a key to an object and three of its fields.

use std::borrow::Cow;
use std::fmt;

use session_core::{Key, Prefix, Result};

/// Where the record of a key is: the id of an object, and the names of three of its fields.
///
/// `Debug` does not show the id.
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    /// The id of the object. It may hold every character that a key may hold. Bind it as a parameter; never paste it
    /// into a statement, a path or a command.
    pub id: String,
    /// The fields of the record.
    pub fields: Fields,
}

impl Location {
    /// These fields of the object `id`.
    #[must_use]
    pub fn new(id: impl Into<String>, fields: Fields) -> Self {
        Self { id: id.into(), fields }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Location").field("fields", &self.fields).finish_non_exhaustive()
    }
}

/// The names of the fields that hold one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// The field of the data: bytes.
    pub data: Cow<'static, str>,
    /// The field of the deadline: a number.
    pub expires: Cow<'static, str>,
    /// The field of the revision: 8 bytes. A record exists if this field is not empty, and the condition of a flush
    /// refers to it.
    pub revision: Cow<'static, str>,
}

impl Fields {
    /// Three fields.
    #[must_use]
    pub fn new(
        data: impl Into<Cow<'static, str>>,
        expires: impl Into<Cow<'static, str>>,
        revision: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { data: data.into(), expires: expires.into(), revision: revision.into() }
    }

    /// The fields of the records of `prefix` in [`ByPrefix`].
    #[must_use]
    pub fn of(prefix: &str) -> Self {
        if prefix == Prefix::SESSION.as_str() {
            return Self::new("session", "expires", "revision");
        }
        // A prefix has no dot, so no two prefixes share a field, and none of these is a field of the session.
        let name = |part: &str| Cow::Owned([prefix, ".", part].concat());
        Self { data: name("data"), expires: name("expires"), revision: name("revision") }
    }
}

/// Maps a key to an object and its fields.
///
/// # For applications
/// [`ByPrefix`] is the default. If your model has other names, set
/// [`DelegateConfig::mapping`](crate::DelegateConfig::mapping). A function or closure from `&Key` to `Result<Location>`
/// is a mapping.
///
/// Two keys MUST have different objects or no common field, and a key always has the same location. The id part of a key
/// may hold any character of an id, such as a colon.
pub trait Mapping: Send + Sync + 'static {
    /// The location of the record of `key`.
    ///
    /// # Errors
    /// The mapping's own, such as `Misconfigured` for a prefix that the application does not use. It MUST show no id.
    fn locate(&self, key: &Key) -> Result<Location>;
}

impl<F> Mapping for F
where
    F: Fn(&Key) -> Result<Location> + Send + Sync + 'static,
{
    fn locate(&self, key: &Key) -> Result<Location> {
        self(key)
    }
}

/// The id part of the key is the object's id. Each prefix has its own fields in that object.
///
/// | key | object | data | deadline | revision |
/// |---|---|---|---|---|
/// | `session:ID` | `ID` | `session` | `expires` | `revision` |
/// | `flash:ID` | `ID` | `flash.data` | `flash.expires` | `flash.revision` |
/// | `user:NAME` | `NAME` | `user.data` | `user.expires` | `user.revision` |
#[derive(Clone, Copy, Debug, Default)]
pub struct ByPrefix;

impl Mapping for ByPrefix {
    fn locate(&self, key: &Key) -> Result<Location> {
        Ok(Location::new(key.id(), Fields::of(key.prefix())))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn session_fields_have_plain_names() {
        let location = ByPrefix.locate(&Key::parse("session:a:b").unwrap()).unwrap();
        assert_eq!(location, Location::new("a:b", Fields::new("session", "expires", "revision")));
        let location = ByPrefix.locate(&Key::parse("flash:a:b").unwrap()).unwrap();
        assert_eq!(
            location,
            Location::new("a:b", Fields::new("flash.data", "flash.expires", "flash.revision"))
        );
    }

    #[test]
    fn no_two_prefixes_share_a_field() {
        let prefixes = ["session", "expires", "revision", "flash", "data", "session-data", "flash_expires"];
        let names: BTreeSet<_> = prefixes
            .into_iter()
            .map(Fields::of)
            .flat_map(|fields| [fields.data, fields.expires, fields.revision])
            .collect();
        assert_eq!(names.len(), 3 * prefixes.len());
    }

    #[test]
    fn debug_shows_no_id() {
        let text = format!("{:?}", Location::new("secret", Fields::of("session")));
        assert!(text.contains("revision") && !text.contains("secret"), "{text}");
    }
}

//! Which object, and which of its fields, a key stands for.

use std::borrow::Cow;
use std::fmt;

use session_core::{Key, Prefix, Result};

/// Where the record of a key is kept: the id of an object, and the names of three of its fields.
///
/// `Debug` does not show the id.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// The id of the object. It may hold anything that the id part of a key may: bind it, and never paste it into a
    /// statement, a path or a command.
    pub id: String,
    /// The fields of the record.
    pub fields: Fields,
}

impl Place {
    /// These fields of the object `id`.
    #[must_use]
    pub fn new(id: impl Into<String>, fields: Fields) -> Self {
        Self { id: id.into(), fields }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("fields", &self.fields).finish_non_exhaustive()
    }
}

/// The names of the fields that hold one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// The field of the data, bytes.
    pub data: Cow<'static, str>,
    /// The field of the deadline, a number.
    pub expires: Cow<'static, str>,
    /// The field of the revision, 8 bytes. A record is there if this is not empty, and this is what the condition of a
    /// flush speaks of.
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
        // No prefix has a dot, so that `flash.expires` is nobody's but flash's, and `expires.data` not the session's.
        let name = |part: &str| Cow::Owned([prefix, ".", part].concat());
        Self { data: name("data"), expires: name("expires"), revision: name("revision") }
    }
}

/// The way from a key to an object and its accessors.
///
/// # For applications
/// [`ByPrefix`] serves most; give [`DelegateConfig::mapping`](crate::DelegateConfig::mapping) another one where the model has a
/// calling convention of its own. A function or closure from `&Key` to `Result<Place>` is a mapping.
///
/// Two keys MUST have different objects or no field in common, and one key always the same. The id part of a key may
/// hold any character that an id is put together with, a colon for instance.
pub trait Mapping: Send + Sync + 'static {
    /// Where the record of `key` is kept.
    ///
    /// # Errors
    /// The mapping's own, as `Misconfigured` for a prefix that the application does not use. It MUST show no id.
    fn place(&self, key: &Key) -> Result<Place>;
}

impl<F> Mapping for F
where
    F: Fn(&Key) -> Result<Place> + Send + Sync + 'static,
{
    fn place(&self, key: &Key) -> Result<Place> {
        self(key)
    }
}

/// The object is that of the id part, for every prefix, and each prefix has fields of its own in it.
///
/// | key | object | data | deadline | revision |
/// |---|---|---|---|---|
/// | `session:ID` | `ID` | `session` | `expires` | `revision` |
/// | `flash:ID` | `ID` | `flash.data` | `flash.expires` | `flash.revision` |
/// | `user:NAME` | `NAME` | `user.data` | `user.expires` | `user.revision` |
#[derive(Clone, Copy, Debug, Default)]
pub struct ByPrefix;

impl Mapping for ByPrefix {
    fn place(&self, key: &Key) -> Result<Place> {
        Ok(Place::new(key.id(), Fields::of(key.prefix())))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_session_has_the_plain_names_and_an_id_may_hold_colons() {
        let place = ByPrefix.place(&Key::parse("session:a:b").unwrap()).unwrap();
        assert_eq!(place, Place::new("a:b", Fields::new("session", "expires", "revision")));
        let place = ByPrefix.place(&Key::parse("flash:a:b").unwrap()).unwrap();
        assert_eq!(place, Place::new("a:b", Fields::new("flash.data", "flash.expires", "flash.revision")));
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
        let text = format!("{:?}", Place::new("secret", Fields::of("session")));
        assert!(text.contains("revision") && !text.contains("secret"), "{text}");
    }
}

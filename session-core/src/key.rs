//! Keys of records, and their prefixes.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrayvec::ArrayString;

use crate::error::{Operation, Result, StoreError, StoreErrorKind};

/// The kind of a record: 1 to 32 characters of `a-z`, `0-9`, `_`, `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(Cow<'static, str>);

impl Prefix {
    /// The prefix of sessions.
    pub const SESSION: Self = Self(Cow::Borrowed("session"));
    /// The longest prefix, in bytes.
    pub const MAX_LEN: usize = 32;

    /// A prefix from text.
    ///
    /// # Errors
    /// `InvalidKey` for other characters or lengths.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Result<Self> {
        let text = text.into();
        if valid_prefix(&text) { Ok(Self(text)) } else { Err(invalid("a prefix is 1 to 32 of [a-z0-9_-]")) }
    }

    /// The text, without the colon.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({})", self.0)
    }
}

/// The key of a record: `prefix:id`, split at the first colon. The id part is 1 to 255 bytes of UTF-8.
///
/// Keys compare by their bytes, without case folding or trimming. `Debug` shows the prefix only, and `Display` is not
/// implemented, because the id part may be confidential.
///
/// # For driver authors
/// Store the record under [`as_str`](Self::as_str). The id part may contain any character, such as `/`, `..`, quotes,
/// line breaks and NUL. Bind, hash or escape it. Never insert it into a path, a statement or a command.
#[derive(Clone)]
pub struct Key(Text);

/// The text of a key and where its colon is. Clones are cheap, because a session layer clones keys often.
#[derive(Clone)]
enum Text {
    /// Without an allocation: the keys of sessions have this length.
    Short(u8, ArrayString<51>),
    Long(u8, Arc<str>),
}

impl Key {
    /// The longest id part, in bytes.
    pub const MAX_ID_LEN: usize = 255;
    /// The longest key, in bytes: prefix, colon, id part.
    pub const MAX_LEN: usize = Prefix::MAX_LEN + 1 + Self::MAX_ID_LEN;

    /// Joins a prefix and an id part.
    ///
    /// # Errors
    /// `InvalidKey` if the id part is empty or longer than 255 bytes.
    pub fn new(prefix: &Prefix, id: &str) -> Result<Self> {
        if id.is_empty() || id.len() > Self::MAX_ID_LEN {
            return Err(invalid("the id part of a key is 1 to 255 bytes"));
        }
        // Joined on the stack, so that a key is a single allocation.
        let mut text = [0; Self::MAX_LEN];
        let prefix = prefix.as_str();
        let (head, rest) = text.split_at_mut(prefix.len());
        head.copy_from_slice(prefix.as_bytes());
        rest[0] = b':';
        rest[1..=id.len()].copy_from_slice(id.as_bytes());
        let text = std::str::from_utf8(&text[..prefix.len() + 1 + id.len()]);
        Ok(Self::joined(text.expect("two strings joined by a colon are UTF-8"), prefix.len() as u8))
    }

    /// Parses the whole key, as returned by [`as_str`](Self::as_str).
    ///
    /// # Errors
    /// `InvalidKey` if the colon is missing or a part is invalid.
    pub fn parse(text: &str) -> Result<Self> {
        let (prefix, id) = text.split_once(':').ok_or_else(|| invalid("a key is prefix:id"))?;
        if !valid_prefix(prefix) {
            return Err(invalid("a prefix is 1 to 32 of [a-z0-9_-]"));
        }
        if id.is_empty() || id.len() > Self::MAX_ID_LEN {
            return Err(invalid("the id part of a key is 1 to 255 bytes"));
        }
        Ok(Self::joined(text, prefix.len() as u8))
    }

    /// A key of valid parts, with a colon at `colon`.
    pub(crate) fn joined(text: &str, colon: u8) -> Self {
        Self(match ArrayString::from(text) {
            Ok(text) => Text::Short(colon, text),
            Err(_) => Text::Long(colon, text.into()),
        })
    }

    /// A key of the prefix `session`, from its whole text.
    #[cfg(feature = "state")]
    pub(crate) fn of_session(text: ArrayString<51>) -> Self {
        Self(Text::Short(Prefix::SESSION.as_str().len() as u8, text))
    }

    fn colon(&self) -> usize {
        let (Text::Short(colon, _) | Text::Long(colon, _)) = self.0;
        usize::from(colon)
    }

    /// The whole key, `prefix:id`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Short(_, text) => text,
            Text::Long(_, text) => text,
        }
    }

    /// The whole key as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.as_str().as_bytes()
    }

    /// The part before the first colon.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.as_str()[..self.colon()]
    }

    /// The part after the first colon.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.as_str()[self.colon() + 1..]
    }

    /// Whether the key has this prefix.
    #[must_use]
    pub fn is_in(&self, prefix: &Prefix) -> bool {
        self.prefix() == prefix.as_str()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}:…)", self.prefix())
    }
}

fn valid_prefix(text: &str) -> bool {
    (1..=Prefix::MAX_LEN).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

fn invalid(detail: &str) -> StoreError {
    StoreError::new(StoreErrorKind::InvalidKey, Operation::Parse).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;

    #[test]
    fn a_key_splits_on_the_first_colon() {
        let key = Key::parse("user:a:b").unwrap();
        assert_eq!((key.prefix(), key.id(), key.as_str()), ("user", "a:b", "user:a:b"));
        assert_eq!(Key::new(&Prefix::new("user").unwrap(), "a:b").unwrap(), key);
        assert!(key.is_in(&Prefix::new("user").unwrap()) && !key.is_in(&Prefix::SESSION));
    }

    #[test]
    fn short_and_long_keys_compare_by_their_bytes() {
        let texts =
            ["a:b", &format!("session:{}", "k".repeat(43)), &format!("session:{}", "k".repeat(44)), "z:z"];
        let keys = texts.map(|text| Key::parse(text).unwrap());
        assert!(matches!([&keys[1].0, &keys[2].0], [Text::Short(7, _), Text::Long(7, _)]));
        let hash = |key: &dyn Fn(&mut DefaultHasher)| {
            let mut hasher = DefaultHasher::new();
            key(&mut hasher);
            hasher.finish()
        };
        for (key, text) in keys.iter().zip(texts) {
            assert_eq!((key.as_str(), key.clone()), (text, key.clone()));
            assert_eq!(hash(&|hasher| key.hash(hasher)), hash(&|hasher| text.hash(hasher)));
            for (other, other_text) in keys.iter().zip(texts) {
                assert_eq!((key.cmp(other), key == other), (text.cmp(other_text), text == other_text));
            }
        }
    }

    #[test]
    fn invalid_keys_are_rejected() {
        for text in ["", "user", ":id", "user:", "User:id", "us er:id", &format!("{}:id", "p".repeat(33))] {
            assert_eq!(Key::parse(text).unwrap_err().kind(), StoreErrorKind::InvalidKey, "{text:?}");
        }
        let long = "é".repeat(128);
        assert_eq!(Key::new(&Prefix::SESSION, &long).unwrap_err().kind(), StoreErrorKind::InvalidKey);
        assert!(Key::new(&Prefix::SESSION, &long[..254]).is_ok());
        assert!(Prefix::new("a".repeat(32)).is_ok() && Prefix::new("").is_err());
    }

    #[test]
    fn debug_hides_the_id_part() {
        assert_eq!(format!("{:?}", Key::parse("user:alice").unwrap()), "Key(user:…)");
    }
}

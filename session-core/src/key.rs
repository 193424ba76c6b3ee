//! What a driver sees instead of a session id.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::error::{Operation, Result, StoreError, StoreErrorKind};

/// The name of a kind of record: 1 to 32 characters of `a-z`, `0-9`, `_`, `-`.
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
    /// `InvalidKey` where the text is not 1 to 32 characters of the alphabet.
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

/// `prefix:id`, split on the first colon. The id part is 1 to 255 bytes of any UTF-8.
///
/// Keys compare by their bytes; nothing is folded or trimmed. `Debug` shows the prefix only, and there is no
/// `Display`.
///
/// # For driver authors
/// [`as_str`](Self::as_str) is what you store the record under. An id part may hold anything, `/`, `..`, quotes, line
/// breaks and NUL included: bind it, hash it or escape it, and never paste it into a path, a statement or a command.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    // Shared, for a session layer hands a key on with every call and a log.
    text: Arc<str>,
    colon: u8,
}

impl Key {
    /// The longest id part, in bytes.
    pub const MAX_ID_LEN: usize = 255;
    /// The longest key, in bytes: prefix, colon, id part.
    pub const MAX_LEN: usize = Prefix::MAX_LEN + 1 + Self::MAX_ID_LEN;

    /// The key of `id` among the records of `prefix`.
    ///
    /// # Errors
    /// `InvalidKey` where the id part is empty or longer than 255 bytes.
    pub fn new(prefix: &Prefix, id: &str) -> Result<Self> {
        if id.is_empty() || id.len() > Self::MAX_ID_LEN {
            return Err(invalid("the id part of a key is 1 to 255 bytes"));
        }
        Ok(Self::join(prefix, id))
    }

    /// A key from its whole text, as [`as_str`](Self::as_str) gave it.
    ///
    /// # Errors
    /// `InvalidKey` where there is no colon, or either part is not valid.
    pub fn parse(text: &str) -> Result<Self> {
        let (prefix, id) = text.split_once(':').ok_or_else(|| invalid("a key is prefix:id"))?;
        if !valid_prefix(prefix) {
            return Err(invalid("a prefix is 1 to 32 of [a-z0-9_-]"));
        }
        if id.is_empty() || id.len() > Self::MAX_ID_LEN {
            return Err(invalid("the id part of a key is 1 to 255 bytes"));
        }
        Ok(Self { text: text.into(), colon: prefix.len() as u8 })
    }

    /// `prefix` and `id` are valid. The text is put together on the stack, so that a key is one allocation.
    pub(crate) fn join(prefix: &Prefix, id: &str) -> Self {
        let prefix = prefix.as_str();
        let mut text = [0; Self::MAX_LEN];
        let (head, rest) = text.split_at_mut(prefix.len());
        head.copy_from_slice(prefix.as_bytes());
        rest[0] = b':';
        rest[1..=id.len()].copy_from_slice(id.as_bytes());
        let text = std::str::from_utf8(&text[..prefix.len() + 1 + id.len()]);
        let text = text.expect("two strings and a colon are a string");
        Self { text: text.into(), colon: prefix.len() as u8 }
    }

    /// The whole key, `prefix:id`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole key as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The part before the first colon.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.text[..usize::from(self.colon)]
    }

    /// The part after the first colon.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.text[usize::from(self.colon) + 1..]
    }

    /// Whether this key belongs to `prefix`.
    #[must_use]
    pub fn is_in(&self, prefix: &Prefix) -> bool {
        self.prefix() == prefix.as_str()
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
    use super::*;

    #[test]
    fn a_key_splits_on_the_first_colon() {
        let key = Key::parse("user:a:b").unwrap();
        assert_eq!((key.prefix(), key.id(), key.as_str()), ("user", "a:b", "user:a:b"));
        assert_eq!(Key::new(&Prefix::new("user").unwrap(), "a:b").unwrap(), key);
        assert!(key.is_in(&Prefix::new("user").unwrap()) && !key.is_in(&Prefix::SESSION));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "user", ":id", "user:", "User:id", "us er:id", &format!("{}:id", "p".repeat(33))] {
            assert_eq!(Key::parse(text).unwrap_err().kind(), StoreErrorKind::InvalidKey, "{text:?}");
        }
        let long = "é".repeat(128);
        assert_eq!(Key::new(&Prefix::SESSION, &long).unwrap_err().kind(), StoreErrorKind::InvalidKey);
        assert!(Key::new(&Prefix::SESSION, &long[..254]).is_ok());
        assert!(Prefix::new("a".repeat(32)).is_ok() && Prefix::new("").is_err());
    }

    #[test]
    fn debug_shows_no_id() {
        assert_eq!(format!("{:?}", Key::parse("user:alice").unwrap()), "Key(user:…)");
    }
}

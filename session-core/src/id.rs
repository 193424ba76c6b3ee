//! The secret that a client repeats.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::key::{Key, Prefix};

/// What is hashed before the id, so that no other use of SHA-256 over 24 bytes gives the same key. Fixed for ever.
const KEY_TAG: &[u8] = b"session-kit:session-id:v1:";

/// A session id: 192 random bits, 32 base64url characters.
///
/// It is parsed strictly, never adopted from a client (an unknown one is discarded, OWASP Session Management:
/// strict session management), never logged and never stored: drivers see [`key`](Self::key), from which the id
/// cannot be computed, so that a leaked store cannot be replayed. `Debug` shows nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; Self::BYTES]);

impl SessionId {
    /// How many random bytes an id has.
    pub const BYTES: usize = 24;
    /// How many characters its text has.
    pub const CHARS: usize = 32;

    /// A new id from the operating system's random numbers.
    ///
    /// # Errors
    /// `Entropy` where the operating system has no random bytes.
    pub fn generate() -> Result<Self> {
        let mut bytes = [0; Self::BYTES];
        crate::random::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// An id from 24 bytes that are random and secret. For tests, and for generators of one's own.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The id of this text, or `None` unless it is exactly 32 characters of the base64url alphabet.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != Self::CHARS {
            return None;
        }
        let mut bytes = [0; Self::BYTES];
        let len = BASE64URL_NOPAD.decode_mut(text, &mut bytes).ok()?;
        (len == Self::BYTES).then_some(Self(bytes))
    }

    /// The text that the client repeats. It is the secret: hand it to the client and to nobody else.
    #[must_use]
    pub fn reveal(&self) -> IdText {
        let mut text = [0; Self::CHARS];
        BASE64URL_NOPAD.encode_mut(&self.0, &mut text);
        IdText(text)
    }

    /// The key under which the session is stored: `session:` and the SHA-256 of a fixed tag and the 24 bytes, in
    /// base64url. This is fixed for ever.
    #[must_use]
    pub fn key(&self) -> Key {
        let hash = Sha256::new().chain_update(KEY_TAG).chain_update(self.0).finalize();
        let mut text = [0; 43];
        BASE64URL_NOPAD.encode_mut(&hash, &mut text);
        Key::join(&Prefix::SESSION, std::str::from_utf8(&text).expect("base64url is ASCII"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

/// The 32 characters of a session id, on the stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IdText([u8; SessionId::CHARS]);

impl IdText {
    /// The characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

impl fmt::Debug for IdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdText(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_id_are_one_to_one() {
        let id = SessionId::generate().unwrap();
        assert_eq!(SessionId::parse(id.reveal().as_str().as_bytes()), Some(id));
        assert_ne!(id, SessionId::generate().unwrap());
    }

    #[test]
    fn only_exact_length_and_alphabet_parse() {
        let good = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-_";
        assert!(SessionId::parse(good.as_bytes()).is_some());
        for bad in [
            "",
            &good[1..],
            &format!("{good}A"),
            &format!(" {}", &good[1..]),
            &format!("{}=", &good[1..]),
            &format!("{}+", &good[1..]),
            &format!("{}/", &good[1..]),
            &format!("{}\n", &good[1..]),
            &format!("{}é", &good[2..]),
            &format!("{}\0", &good[1..]),
        ] {
            assert_eq!(SessionId::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn the_key_of_an_id_is_fixed_for_ever() {
        let key = SessionId::from_bytes([7; 24]).key();
        assert_eq!(key.prefix(), "session");
        assert_eq!(key.id().len(), 43);
        assert_eq!(key.as_str(), include_str!("../golden/key-of-sevens.txt").trim_end());
    }

    #[test]
    fn debug_shows_nothing() {
        let id = SessionId::from_bytes([1; 24]);
        assert_eq!(format!("{id:?} {:?}", id.reveal()), "SessionId(…) IdText(…)");
    }
}

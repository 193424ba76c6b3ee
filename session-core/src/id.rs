//! Session ids.

use std::fmt;

use arrayvec::ArrayString;
use sha2::block_api::compress256;

use crate::base64url::{decode, encode};
use crate::error::Result;
use crate::key::Key;

/// Hashed before the id, so that other uses of SHA-256 over 24 bytes give other values. MUST NOT change.
const KEY_TAG: [u8; 26] = *b"session-kit:session-id:v1:";

/// The only block of SHA-256 that a tagged id fills, without the id: the tag, a one bit after the id, and the number of
/// bits (FIPS 180-4 §5.1.1). Hashing a block takes half of the time of hashing a message of any length.
const KEY_BLOCK: [u8; 64] = {
    let mut block = [0; 64];
    block.split_at_mut(KEY_TAG.len()).0.copy_from_slice(&KEY_TAG);
    let (bytes, bits) = (KEY_TAG.len() + SessionId::BYTES, (KEY_TAG.len() + SessionId::BYTES) * 8);
    block[bytes] = 0x80;
    (block[62], block[63]) = ((bits >> 8) as u8, bits as u8);
    block
};

/// The first hash value of SHA-256 (FIPS 180-4 §5.3.3).
const FIRST_HASH: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A session id: 192 random bits, 32 base64url characters. The secret that a client repeats with each request.
///
/// Ids are parsed strictly and never logged. The session layer never adopts an unknown id from a client (OWASP Session
/// Management: strict session management). Drivers store the [`key`](Self::key), a hash of the id, so a leaked store
/// reveals no ids. `Debug` does not show the id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
// Aligned, so that an optional id is copied in whole words: a processor that reads what it has just written in smaller
// pieces waits for them.
#[repr(align(8))]
pub struct SessionId([u8; Self::BYTES]);

impl SessionId {
    /// The length of an id in bytes.
    pub const BYTES: usize = 24;
    /// The length of its text in characters.
    pub const CHARS: usize = 32;

    /// A new random id from the operating system.
    ///
    /// # Errors
    /// `Entropy` if the operating system returns no random bytes.
    pub fn generate() -> Result<Self> {
        let mut bytes = [0; Self::BYTES];
        crate::random::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// An id from 24 random, secret bytes. For tests and for other generators.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The 24 bytes. They are secret: put them only where this client alone can read them.
    #[must_use]
    pub const fn to_bytes(&self) -> [u8; Self::BYTES] {
        self.0
    }

    /// Parses the text. Anything but exactly 32 base64url characters is `None`.
    #[must_use]
    #[inline]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::BYTES];
        decode(text.try_into().ok()?, &mut bytes).then_some(Self(bytes))
    }

    /// The text that the client repeats. It is secret: send it to this client only.
    #[must_use]
    pub fn reveal(&self) -> IdText {
        let mut text = [0; Self::CHARS];
        encode(&self.0, &mut text);
        IdText(text)
    }

    /// The key under which the session is stored: `session:` and the base64url SHA-256 of a fixed tag and the 24 bytes.
    /// This format never changes.
    #[must_use]
    pub fn key(&self) -> Key {
        let (mut block, mut hash) = (KEY_BLOCK, FIRST_HASH);
        block[KEY_TAG.len()..][..Self::BYTES].copy_from_slice(&self.0);
        compress256(&mut hash, std::slice::from_ref(&block));
        let mut text = *b"session:...........................................";
        encode(hash.map(u32::to_be_bytes).as_flattened(), &mut text["session:".len()..]);
        Key::of_session(ArrayString::from_byte_string(&text).expect("base64url is ASCII"))
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
    use std::collections::HashSet;

    use data_encoding::BASE64URL_NOPAD;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn text_parses_to_the_same_id() {
        let id = SessionId::generate().unwrap();
        assert_eq!(SessionId::parse(id.reveal().as_str().as_bytes()), Some(id));
        assert_ne!(id, SessionId::generate().unwrap());
    }

    /// Of 4,096 fair bits, 2,048 are set, with a standard deviation of 32. Eight times that is never reached by chance.
    #[test]
    fn each_bit_of_an_id_is_random() {
        let ids: HashSet<_> = (0..4_096).map(|_| SessionId::generate().unwrap().to_bytes()).collect();
        assert_eq!((ids.len(), SessionId::BYTES * 8), (4_096, 192));
        for bit in 0..192 {
            let set = ids.iter().filter(|id| id[bit / 8] >> (bit % 8) & 1 == 1).count();
            assert!(set.abs_diff(2_048) < 8 * 32, "bit {bit} is set in {set} of 4,096 ids");
        }
    }

    #[test]
    fn parse_requires_length_and_alphabet() {
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
    fn key_matches_the_golden_file() {
        let key = SessionId::from_bytes([7; 24]).key();
        assert_eq!(key.prefix(), "session");
        assert_eq!(key.id().len(), 43);
        assert_eq!(key.as_str(), include_str!("../golden/key-of-sevens.txt").trim_end());
    }

    #[test]
    fn key_has_the_hash_of_the_tagged_id() {
        for _ in 0..100 {
            let id = SessionId::generate().unwrap();
            let hash = Sha256::digest([&KEY_TAG[..], &id.to_bytes()].concat());
            assert_eq!(id.key().id(), BASE64URL_NOPAD.encode(&hash));
        }
    }

    #[test]
    fn debug_hides_the_id() {
        let id = SessionId::from_bytes([1; 24]);
        assert_eq!(format!("{id:?} {:?}", id.reveal()), "SessionId(…) IdText(…)");
    }
}

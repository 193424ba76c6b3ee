//! A key in the form in which it is kept: 32 bytes for all keys that matter.

use data_encoding::BASE64URL_NOPAD;
use session_core::{Key, Prefix};

/// A key, packed.
///
/// The key of a session is `session:` and 43 base64url characters: those are decoded to the 32 bytes they stand for.
/// Any other text of up to 32 bytes is kept as it is, and a longer one goes before the data of its record. Packing is
/// one to one: text that is not the one canonical encoding of 32 bytes is never decoded.
pub(crate) struct Packed<'a> {
    pub(crate) shape: Shape,
    pub(crate) inline: [u8; INLINE],
    /// The whole text where it is longer than fits, else nothing.
    pub(crate) long: &'a [u8],
}

/// How many bytes of a key fit into the header of a block.
pub(crate) const INLINE: usize = 32;

/// How a key is kept, and whether it is a session's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape(u16);

impl Shape {
    const SESSION: u16 = 1 << 15;
    const DECODED: u16 = 0;

    fn decoded() -> Self {
        Self(Self::DECODED | Self::SESSION)
    }

    fn text(len: usize, session: bool) -> Self {
        // A key has 3 to 288 bytes (Key::MAX_LEN), so that the length never reaches the flag and is never 0.
        Self(len as u16 | if session { Self::SESSION } else { 0 })
    }

    /// Whether the prefix of the key is `session`.
    pub(crate) fn is_session(self) -> bool {
        self.0 & Self::SESSION != 0
    }

    fn len(self) -> usize {
        usize::from(self.0 & !Self::SESSION)
    }

    /// How many bytes of the key stand before the data.
    pub(crate) fn spilled(self) -> usize {
        if self.len() > INLINE { self.len() } else { 0 }
    }

    pub(crate) fn to_bits(self) -> u16 {
        self.0
    }
}

impl<'a> Packed<'a> {
    pub(crate) fn new(key: &'a Key) -> Self {
        let session = key.prefix() == Prefix::SESSION.as_str();
        let mut inline = [0; INLINE];
        if session && key.id().len() == 43 && decode(key.id().as_bytes(), &mut inline) {
            return Self { shape: Shape::decoded(), inline, long: &[] };
        }
        let text = key.as_bytes();
        let shape = Shape::text(text.len(), session);
        inline = [0; INLINE];
        match inline.get_mut(..text.len()) {
            Some(room) => {
                room.copy_from_slice(text);
                Self { shape, inline, long: &[] }
            }
            None => Self { shape, inline, long: text },
        }
    }
}

/// The key that was packed. `None` only for what [`Packed::new`] never made.
pub(crate) fn unpack(shape: Shape, inline: &[u8; INLINE], long: &[u8]) -> Option<Key> {
    match shape.len() {
        0 => {
            let mut text = [0; 43];
            BASE64URL_NOPAD.encode_mut(inline, &mut text);
            Key::new(&Prefix::SESSION, std::str::from_utf8(&text).ok()?).ok()
        }
        len if len <= INLINE => Key::parse(std::str::from_utf8(inline.get(..len)?).ok()?).ok(),
        _ => Key::parse(std::str::from_utf8(long).ok()?).ok(),
    }
}

/// Whether a packed key belongs to `prefix`.
pub(crate) fn is_in(shape: Shape, inline: &[u8; INLINE], long: &[u8], prefix: &Prefix) -> bool {
    if shape.is_session() {
        return *prefix == Prefix::SESSION;
    }
    let text = if shape.len() > INLINE { long } else { inline };
    let prefix = prefix.as_str().as_bytes();
    text.starts_with(prefix) && text.get(prefix.len()) == Some(&b':')
}

/// Decodes canonical base64url of 32 bytes; `false` for anything else, with `out` then undefined.
fn decode(text: &[u8], out: &mut [u8; INLINE]) -> bool {
    BASE64URL_NOPAD.decode_mut(text, out).is_ok()
}

#[cfg(test)]
mod tests {
    use session_core::SessionId;

    use super::*;

    fn round(text: &str) -> (Shape, Key) {
        let key = Key::parse(text).unwrap();
        let packed = Packed::new(&key);
        let back = unpack(packed.shape, &packed.inline, packed.long).unwrap();
        assert_eq!(back, key, "{text}");
        let prefix = Prefix::new(key.prefix().to_owned()).unwrap();
        assert!(is_in(packed.shape, &packed.inline, packed.long, &prefix));
        assert!(!is_in(packed.shape, &packed.inline, packed.long, &Prefix::new("sess").unwrap()));
        (packed.shape, back)
    }

    #[test]
    fn every_key_comes_back_as_it_was() {
        let (shape, _) = round(SessionId::generate().unwrap().key().as_str());
        assert_eq!(shape.len(), 0);
        // One bit of the last character is beyond the 32 bytes: decoding it would merge two keys.
        let loose = format!("session:{}B", "A".repeat(42));
        assert_eq!(round(&loose).0.len(), 51);
        for text in [
            "session:a",
            "user:alice",
            "a:\0",
            "user:é☃",
            "session::::",
            "session:+++++++++++++++++++++++++++++++++++++++++++",
        ] {
            round(text);
        }
        for len in [1, 26, 27, 28, 43, 254, 255] {
            round(&format!("user:{}", "x".repeat(len)));
            round(&format!("session:{}", "x".repeat(len)));
            round(&format!("{}:{}", "p".repeat(32), "\0".repeat(len)));
        }
    }

    #[test]
    fn text_that_looks_like_a_packed_key_is_another_key() {
        let id = SessionId::from_bytes([3; 24]);
        let key = id.key();
        let packed = Packed::new(&key);
        let other = Key::parse("user:aaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
        let text = Packed::new(&other);
        assert_eq!(other.as_bytes().len(), INLINE);
        assert_ne!(packed.shape, text.shape);
    }
}

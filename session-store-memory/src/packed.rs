//! A key in the form in which small records keep it: 32 bytes for all keys that matter.

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
}

impl<'a> Packed<'a> {
    pub(crate) fn new(key: &'a Key) -> Self {
        let session = key.prefix() == Prefix::SESSION.as_str();
        if session
            && let Ok(id) = key.id().as_bytes().try_into()
            && let Some(inline) = decode(id)
        {
            return Self { shape: Shape::decoded(), inline, long: &[] };
        }
        let text = key.as_bytes();
        let shape = Shape::text(text.len(), session);
        let mut inline = [0; INLINE];
        match inline.get_mut(..text.len()) {
            Some(room) => {
                room.copy_from_slice(text);
                Self { shape, inline, long: &[] }
            }
            None => Self { shape, inline, long: text },
        }
    }

    /// Shows the text of the key that was packed.
    pub(crate) fn with_text<T>(&self, show: impl FnOnce(&[u8]) -> T) -> T {
        match self.shape.len() {
            0 => {
                let mut text = *b"session:...........................................";
                BASE64URL_NOPAD.encode_mut(&self.inline, &mut text[TAG..]);
                show(&text)
            }
            len if len <= INLINE => show(self.inline.get(..len).unwrap_or_default()),
            _ => show(self.long),
        }
    }
}

/// The length of `session:`.
const TAG: usize = 8;
/// How many characters 32 bytes take.
const CHARS: usize = 43;

/// Decodes canonical base64url of 32 bytes; `None` for anything else.
///
/// Written out because every operation does it: eight characters at a time without a branch, in a third of the time
/// that a general decoder takes.
fn decode(text: &[u8; CHARS]) -> Option<[u8; INLINE]> {
    // Five more characters make 36 bytes of it, of which the last four are zero if and only if the text is canonical.
    let mut sextets = [b'A'; 48];
    sextets[..CHARS].copy_from_slice(text);
    let mut wrong = 0;
    for byte in &mut sextets {
        let (sextet, bad) = value(*byte);
        *byte = sextet;
        wrong |= bad;
    }
    let mut bytes = [0; 36];
    for (eight, six) in sextets.chunks_exact(8).zip(bytes.chunks_exact_mut(6)) {
        let word = eight.iter().fold(0, |word, sextet| word << 6 | u64::from(*sextet));
        six.copy_from_slice(&word.to_be_bytes()[2..]);
    }
    let (key, rest) = bytes.split_first_chunk()?;
    (wrong == 0 && rest == [0; 4]).then_some(*key)
}

/// The value of a base64url character, and whether it is none (not 0).
fn value(byte: u8) -> (u8, u8) {
    let upper = byte.wrapping_sub(b'A');
    let lower = byte.wrapping_sub(b'a');
    let digit = byte.wrapping_sub(b'0');
    let pick = |is: bool, value: u8| if is { value } else { 0 };
    let sextet = pick(upper < 26, upper)
        | pick(lower < 26, lower.wrapping_add(26))
        | pick(digit < 10, digit.wrapping_add(52))
        | pick(byte == b'-', 62)
        | pick(byte == b'_', 63);
    let good = (upper < 26) | (lower < 26) | (digit < 10) | (byte == b'-') | (byte == b'_');
    (sextet, u8::from(!good))
}

#[cfg(test)]
mod tests {
    use session_core::SessionId;

    use super::*;

    fn round(text: &str) -> Shape {
        let key = Key::parse(text).unwrap();
        let packed = Packed::new(&key);
        packed.with_text(|text| assert_eq!(text, key.as_bytes()));
        packed.shape
    }

    #[test]
    fn every_key_comes_back_as_it_was() {
        let shape = round(SessionId::generate().unwrap().key().as_str());
        assert_eq!(shape.len(), 0);
        // One bit of the last character is beyond the 32 bytes: decoding it would merge two keys.
        let loose = format!("session:{}B", "A".repeat(42));
        assert_eq!(round(&loose).len(), 51);
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
    fn decoding_agrees_with_the_general_decoder_on_every_character_in_every_place() {
        let text: [u8; CHARS] = SessionId::from_bytes([9; 24]).key().id().as_bytes().try_into().unwrap();
        for place in 0..CHARS {
            for byte in 0..=255 {
                let mut text = text;
                text[place] = byte;
                let mut expected = [0; INLINE];
                let decoded = BASE64URL_NOPAD.decode_mut(&text, &mut expected).is_ok().then_some(expected);
                assert_eq!(decode(&text), decoded, "{byte} at {place}");
            }
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

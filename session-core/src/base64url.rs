//! The text of session ids and of their keys: base64url without padding (RFC 4648 §5).
//!
//! Both are converted at each request. A crate for all lengths and alphabets takes three times as long for one id.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The value of each character; `INVALID` for all others.
const VALUES: [u8; 256] = {
    let mut values = [INVALID; 256];
    let mut at = 0;
    while at < 64 {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

const INVALID: u8 = 0x80;

/// Writes the text of `bytes`, which has exactly the length of `text`.
#[inline]
pub(crate) fn encode(bytes: &[u8], text: &mut [u8]) {
    let at = |group: u32, shift: u32| ALPHABET[(group >> shift & 63) as usize];
    let (groups, rest) = bytes.as_chunks::<3>();
    let (quads, tail) = text.as_chunks_mut::<4>();
    for ([a, b, c], quad) in groups.iter().zip(quads) {
        let group = u32::from_be_bytes([0, *a, *b, *c]);
        *quad = [at(group, 18), at(group, 12), at(group, 6), at(group, 0)];
    }
    let group = rest.iter().fold(0, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - rest.len()));
    for (n, char) in (0..).zip(tail) {
        *char = at(group, 18 - 6 * n);
    }
}

/// Reads the text of 24 bytes. Returns whether each character is in the alphabet.
#[inline]
pub(crate) fn decode(text: &[u8; 32], bytes: &mut [u8; 24]) -> bool {
    let mut seen = 0;
    for (quad, group) in text.as_chunks::<4>().0.iter().zip(bytes.as_chunks_mut::<3>().0) {
        let [a, b, c, d] = quad.map(|char| u32::from(VALUES[usize::from(char)]));
        seen |= a | b | c | d;
        let [_, bytes @ ..] = (a << 18 | b << 12 | c << 6 | d).to_be_bytes();
        *group = bytes;
    }
    seen & u32::from(INVALID) == 0
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;

    #[test]
    fn text_is_what_the_reference_writes_and_reads() {
        for _ in 0..1_000 {
            let mut hash = [0; 32];
            crate::random::fill(&mut hash).unwrap();
            let mut text = [0; 43];
            encode(&hash, &mut text);
            assert_eq!(text, BASE64URL_NOPAD.encode(&hash).as_bytes());

            let (id, mut read) = (&hash[..24], [0; 24]);
            let text = BASE64URL_NOPAD.encode(id);
            assert!(decode(text.as_bytes().try_into().unwrap(), &mut read));
            assert_eq!(read, id);
        }
    }

    #[test]
    fn every_character_is_judged_at_every_place_as_by_the_reference() {
        for (at, char) in (0..32).flat_map(|at| (0..=u8::MAX).map(move |char| (at, char))) {
            let mut text = [b'A'; 32];
            text[at] = char;
            let mut read = [0; 24];
            let good = decode(&text, &mut read).then_some(read.to_vec());
            assert_eq!(good, BASE64URL_NOPAD.decode(&text).ok(), "{char} at {at}");
        }
    }
}

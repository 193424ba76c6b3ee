//! WTF-8: UTF-8 in which a lone surrogate has three bytes. Python's pickles and our reader of JSON use it.
#![allow(dead_code, reason = "each format uses a part")]

use crate::Value;

/// Text, or its UTF-16 units where it has lone surrogates. `None` for other bytes.
pub(crate) fn text(bytes: &[u8]) -> Option<Value> {
    let mut rest = match std::str::from_utf8(bytes) {
        Ok(text) => return Some(Value::Text(text.into())),
        Err(error) => &bytes[error.valid_up_to()..],
    };
    loop {
        let [0xed, 0xa0..=0xbf, 0x80..=0xbf, after @ ..] = rest else { return None };
        match std::str::from_utf8(after) {
            Ok(_) => return Some(Value::Utf16(units(bytes))),
            Err(error) => rest = &after[error.valid_up_to()..],
        }
    }
}

/// The UTF-16 units of text that is known to be WTF-8.
pub(crate) fn units(bytes: &[u8]) -> Vec<u16> {
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let (length, mask) = match first {
            0..=0x7f => (1, 0x7f),
            0x80..=0xdf => (2, 0x7ff),
            0xe0..=0xef => (3, 0xffff),
            _ => (4, 0x1f_ffff),
        };
        let (letter, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        let bits =
            letter[1..].iter().fold(u32::from(first), |bits, &byte| bits << 6 | u32::from(byte & 0x3f));
        match char::from_u32(bits & mask) {
            Some(letter) => units.extend_from_slice(letter.encode_utf16(&mut [0; 2])),
            None => units.push(u16::try_from(bits & mask).unwrap_or(0xfffd)),
        }
    }
    units
}

/// Appends the WTF-8 of a character or a surrogate. Returns whether it is a surrogate.
pub(crate) fn push(bytes: &mut Vec<u8>, unit: u32) -> bool {
    match char::from_u32(unit) {
        Some(letter) => bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let six = |shift: u32| 0x80 | (unit >> shift & 0x3f) as u8;
            bytes.extend_from_slice(&[0xe0 | (unit >> 12) as u8, six(6), six(0)]);
        }
    }
    (0xd800..0xe000).contains(&unit)
}

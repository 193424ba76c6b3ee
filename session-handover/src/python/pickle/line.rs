//! Values of protocol 0, which are lines of text.

use crate::{Value, wtf8};

/// An integer in decimal digits.
pub(super) fn integer(digits: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(digits).ok()?.trim();
    if let Ok(number) = text.parse() {
        return Some(Value::Int(number));
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The number is beyond 64 bits, so one digit at least is not zero.
    Some(Value::BigInt(format!("{sign}{}", digits.trim_start_matches('0'))))
}

/// A float as Python shows it.
pub(super) fn float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    text.parse().ok()
}

/// The number of a value.
pub(super) fn index(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

/// `str` of Python 2, which is text or bytes.
pub(super) fn string(bytes: Vec<u8>) -> Value {
    if !bytes.is_ascii() {
        return Value::Bytes(bytes);
    }
    String::from_utf8(bytes)
        .map_or_else(|error| Value::Bytes(error.into_bytes()), |text| Value::Text(text.into()))
}

/// `str` of Python 2 as its `repr`.
pub(super) fn quoted(line: &[u8]) -> Option<Value> {
    let line = line.trim_ascii_end();
    let [quote @ (b'\'' | b'"'), inner @ .., end] = line else { return None };
    if quote != end {
        return None;
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let letter = match rest.next()? {
            byte @ (b'\\' | b'\'' | b'"') => byte,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'v' => 11,
            b'x' => u8::try_from(number(&mut rest, 2, 16)?).ok()?,
            digit @ b'0'..=b'7' => {
                let mut code = u32::from(digit - b'0');
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = rest.clone().next() else { break };
                    rest.next();
                    code = code << 3 | u32::from(digit - b'0');
                }
                u8::try_from(code & 0xff).ok()?
            }
            other => {
                bytes.push(b'\\');
                other
            }
        };
        bytes.push(letter);
    }
    Some(string(bytes))
}

/// Text in the encoding `raw-unicode-escape`: Latin-1, and `\u` with four or `\U` with eight hexadecimal digits.
pub(super) fn unicode(line: &[u8]) -> Option<Value> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut lone = false;
    let mut rest = line.iter().copied();
    while let Some(byte) = rest.next() {
        let mut code = u32::from(byte);
        if byte == b'\\' {
            match rest.next() {
                Some(b'u') => code = number(&mut rest, 4, 16)?,
                Some(b'U') => code = number(&mut rest, 8, 16).filter(|code| *code < 0x11_0000)?,
                Some(other) => {
                    bytes.push(b'\\');
                    code = other.into();
                }
                None => {}
            }
        }
        lone |= wtf8::push(&mut bytes, code);
    }
    if lone {
        return Some(Value::Utf16(wtf8::units(&bytes)));
    }
    String::from_utf8(bytes).ok().map(|text| Value::Text(text.into()))
}

fn number(digits: &mut impl Iterator<Item = u8>, length: usize, radix: u32) -> Option<u32> {
    let mut number = 0;
    for _ in 0..length {
        number = number * radix + char::from(digits.next()?).to_digit(radix)?;
    }
    Some(number)
}

//! JSON as other systems write it: keys stay in order, integers keep all digits, and a lone surrogate does not lose the rest.
#![allow(dead_code, reason = "each system uses a part")]

use crate::keys::last_of_each;
use crate::value::put;
use crate::{Bounds, Error, ErrorKind, Reader, Value, wtf8};

/// How a system's JSON differs from that of others.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dialect {
    /// Text with lone surrogates is [`Value::Utf16`], else the bytes of WTF-8.
    pub(crate) utf16: bool,
    /// `NaN`, `Infinity` and `-Infinity` are numbers.
    pub(crate) infinite: bool,
    /// A key that stands twice keeps its place and its last value.
    pub(crate) unique: bool,
}

/// Reads one JSON text.
pub(crate) fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    read_as(Dialect::default(), bytes, bounds)
}

/// Reads one JSON text of a dialect.
pub(crate) fn read_as(dialect: Dialect, bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let mut json = Json { input: Reader::new(bytes, bounds), text: std::str::from_utf8(bytes).ok(), dialect };
    let mut value = Value::Null;
    json.value(&mut value)?;
    json.space();
    match json.input.peek() {
        None => Ok(value),
        Some(_) => Err(Error::new(ErrorKind::Trailing, json.input.offset(), "text follows the value")),
    }
}

struct Json<'a> {
    input: Reader<'a>,
    /// The whole input, so that its texts are not checked one by one. `None` where it is damaged.
    text: Option<&'a str>,
    dialect: Dialect,
}

impl<'a> Json<'a> {
    /// Reads a value into an empty place.
    fn value(&mut self, place: &mut Value) -> Result<(), Error> {
        self.input.enter()?;
        self.input.count_item()?;
        self.space();
        let at = self.input.offset();
        match self.input.peek() {
            Some(b'{') => self.map(place)?,
            Some(b'[') => self.list(place)?,
            Some(b'"') => self.text(place)?,
            Some(b't') => self.word(place, b"true", Value::Bool(true))?,
            Some(b'f') => self.word(place, b"false", Value::Bool(false))?,
            Some(b'n') => self.word(place, b"null", Value::Null)?,
            Some(b'N') if self.dialect.infinite => self.word(place, b"NaN", Value::Float(f64::NAN))?,
            Some(b'I') if self.dialect.infinite => {
                self.word(place, b"Infinity", Value::Float(f64::INFINITY))?;
            }
            Some(b'-') if self.dialect.infinite && self.input.rest().starts_with(b"-I") => {
                self.word(place, b"-Infinity", Value::Float(f64::NEG_INFINITY))?;
            }
            Some(b'-' | b'0'..=b'9') => self.number(place)?,
            Some(_) => return Err(Error::new(ErrorKind::Malformed, at, "value expected")),
            None => return Err(Error::new(ErrorKind::Truncated, at, "input ends early")),
        }
        self.input.leave();
        Ok(())
    }

    fn word(&mut self, place: &mut Value, word: &'static [u8], value: Value) -> Result<(), Error> {
        let at = self.input.offset();
        if self.input.take(word.len())? != word {
            return Err(Error::new(ErrorKind::Malformed, at, "unknown word"));
        }
        put(place, value);
        Ok(())
    }

    fn map(&mut self, place: &mut Value) -> Result<(), Error> {
        self.input.byte()?;
        let mut entries = Vec::new();
        self.space();
        if self.input.peek() == Some(b'}') {
            self.input.byte()?;
            put(place, Value::Map(entries));
            return Ok(());
        }
        loop {
            self.space();
            if self.input.peek() != Some(b'"') {
                return Err(Error::new(ErrorKind::Malformed, self.input.offset(), "key expected"));
            }
            if entries.is_empty() {
                // Most maps have at most eight entries. Growing a vector step by step takes as long as reading them.
                entries.reserve(8);
            }
            let (key, value) = entries.push_mut((Value::Null, Value::Null));
            self.text(key)?;
            self.space();
            self.expect(b':')?;
            self.value(value)?;
            if self.end(b'}')? {
                put(place, Value::Map(if self.dialect.unique { last_of_each(entries) } else { entries }));
                return Ok(());
            }
        }
    }

    fn list(&mut self, place: &mut Value) -> Result<(), Error> {
        self.input.byte()?;
        let mut items = Vec::new();
        self.space();
        if self.input.peek() == Some(b']') {
            self.input.byte()?;
            put(place, Value::List(items));
            return Ok(());
        }
        loop {
            self.value(items.push_mut(Value::Null))?;
            if self.end(b']')? {
                put(place, Value::List(items));
                return Ok(());
            }
        }
    }

    /// Takes a comma, or the end of a collection.
    fn end(&mut self, close: u8) -> Result<bool, Error> {
        self.space();
        let at = self.input.offset();
        match self.input.byte()? {
            b',' => Ok(false),
            byte if byte == close => Ok(true),
            _ => Err(Error::new(ErrorKind::Malformed, at, "comma or end of a collection expected")),
        }
    }

    fn number(&mut self, place: &mut Value) -> Result<(), Error> {
        if let Some((number, length)) = small(self.input.rest()) {
            self.input.take(length)?;
            put(place, Value::Int(number));
            return Ok(());
        }
        let at = self.input.offset();
        let bad = || Error::new(ErrorKind::Malformed, at, "number");
        let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
        let length = self.input.rest().iter().take_while(|byte| is_part(byte)).count();
        let Ok(text) = std::str::from_utf8(self.input.take(length)?) else { return Err(bad()) };
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty()
            || (digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit())
        {
            return Err(bad());
        }
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            put(place, text.parse().map_or_else(|_| Value::BigInt(text.to_owned()), Value::Int));
            return Ok(());
        }
        let dangling = digits.contains(".e") || digits.contains(".E");
        if dangling || digits.starts_with('.') || digits.ends_with(['.', 'e', 'E', '-', '+']) {
            return Err(bad());
        }
        put(place, Value::Float(text.parse().map_err(|_| bad())?));
        Ok(())
    }

    /// Reads a text into an empty place.
    fn text(&mut self, place: &mut Value) -> Result<(), Error> {
        let start = self.input.offset();
        let damaged = || Error::new(ErrorKind::Malformed, start, "text is not UTF-8");
        self.input.byte()?;
        let from = self.input.offset();
        let plain = self.plain()?;
        if self.input.peek() == Some(b'"') {
            self.input.byte()?;
            self.input.grow(plain.len())?;
            let text = self.text.and_then(|text| text.get(from..from + plain.len()));
            let text = text.map_or_else(|| std::str::from_utf8(plain).map_err(|_| damaged()), Ok)?;
            put(place, Value::Text(text.into()));
            return Ok(());
        }
        let mut bytes = plain.to_vec();
        let mut lone = false;
        loop {
            let at = self.input.offset();
            match self.input.byte()? {
                b'"' => break,
                b'\\' => match self.input.byte()? {
                    byte @ (b'"' | b'\\' | b'/') => bytes.push(byte),
                    b'b' => bytes.push(8),
                    b'f' => bytes.push(12),
                    b'n' => bytes.push(b'\n'),
                    b'r' => bytes.push(b'\r'),
                    b't' => bytes.push(b'\t'),
                    b'u' => lone |= self.escape(at, &mut bytes)?,
                    _ => return Err(Error::new(ErrorKind::Malformed, at, "unknown escape")),
                },
                byte => {
                    bytes.push(byte);
                    bytes.extend_from_slice(self.plain()?);
                }
            }
        }
        self.input.grow(bytes.len())?;
        let value = match lone {
            true if self.dialect.utf16 => Value::Utf16(wtf8::units(&bytes)),
            true => Value::Bytes(bytes),
            false => Value::Text(String::from_utf8(bytes).map_err(|_| damaged())?.into()),
        };
        put(place, value);
        Ok(())
    }

    /// The bytes up to a quote or a backslash.
    fn plain(&mut self) -> Result<&'a [u8], Error> {
        let length = until_quote(self.input.rest());
        self.input.take(length)
    }

    /// The character of an escape. Returns whether it is a lone surrogate.
    fn escape(&mut self, at: usize, bytes: &mut Vec<u8>) -> Result<bool, Error> {
        let mut lone = false;
        let mut unit = self.unit(at)?;
        // A high surrogate without a low one stands alone, and what follows it may begin a pair.
        while (0xd800..0xdc00).contains(&unit) && self.input.rest().starts_with(b"\\u") {
            self.input.take(2)?;
            let next = self.unit(at)?;
            if (0xdc00..0xe000).contains(&next) {
                unit = 0x10000 + ((unit - 0xd800) << 10) + (next - 0xdc00);
            } else {
                lone |= wtf8::push(bytes, unit);
                unit = next;
            }
        }
        Ok(lone | wtf8::push(bytes, unit))
    }

    fn unit(&mut self, at: usize) -> Result<u32, Error> {
        std::str::from_utf8(self.input.take(4)?)
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| Error::new(ErrorKind::Malformed, at, "escape of a character"))
    }

    fn expect(&mut self, byte: u8) -> Result<(), Error> {
        let at = self.input.offset();
        if self.input.byte()? == byte {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Malformed, at, "unexpected text"))
        }
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.input.peek() {
            if self.input.byte().is_err() {
                return;
            }
        }
    }
}

/// An integer without a sign of at most nine digits, and how many they are. Most numbers are such.
fn small(text: &[u8]) -> Option<(i64, usize)> {
    let mut number = 0;
    for (at, &byte) in text.iter().enumerate().take(10) {
        match byte {
            b'0'..=b'9' if at < 9 => number = number * 10 + i64::from(byte - b'0'),
            b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-' => return None,
            // A zero before other digits is damage.
            _ => return (at == 1 || (at > 1 && text[0] != b'0')).then_some((number, at)),
        }
    }
    None
}

/// How many bytes stand before the first quote or backslash. Eight bytes are looked at in one step.
fn until_quote(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    // The lowest mark is the first zero byte; marks above it may be wrong.
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let (words, rest) = text.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let marks =
            zero_bytes(word ^ (ONES * u64::from(b'"'))) | zero_bytes(word ^ (ONES * u64::from(b'\\')));
        if marks != 0 {
            return at * 8 + marks.trailing_zeros() as usize / 8;
        }
    }
    let ends = |byte: &u8| matches!(byte, b'"' | b'\\');
    text.len() - rest.len() + rest.iter().position(ends).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::until_quote;

    #[test]
    fn until_quote_finds_the_first() {
        for length in 0..40 {
            for at in 0..length {
                for end in *b"\"\\" {
                    // Neighbours in value, and bytes whose marks may run over.
                    let mut text: Vec<u8> = (0..length).map(|at| b"!#[]\xff\x00\x80a\xa2"[at % 9]).collect();
                    assert_eq!(until_quote(&text), length);
                    text[at] = end;
                    assert_eq!(until_quote(&text), at, "{text:?}");
                    text[length - 1] = end;
                    assert_eq!(until_quote(&text), at, "{text:?}");
                }
            }
        }
    }
}

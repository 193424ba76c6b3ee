//! Reads the text of PHP's `serialize()` into a [`Target`].

use super::target::{Numbered, Target, Tree};
use super::{key, may_be_integer, string};
use crate::value::put;
use crate::{Bounds, Error, ErrorKind, Reader, Value};

/// Reads a text as a tree, and from its start as numbered values if a reference is met.
pub(crate) fn read_with<'a>(
    bytes: &'a [u8],
    bounds: &Bounds,
    tree: impl FnOnce(&mut Text<'a, Tree>) -> Result<Value, Error>,
    numbered: impl FnOnce(&mut Text<'a, Numbered>) -> Result<Value, Error>,
) -> Result<Value, Error> {
    let mut text = Text::new(bytes, bounds);
    match tree(&mut text) {
        Err(_) if text.target.stopped => numbered(&mut Text::new(bytes, bounds)),
        read => read,
    }
}

/// A text and what its values become.
pub(crate) struct Text<'a, T> {
    pub(crate) input: Reader<'a>,
    /// The whole input, so that its strings are not checked one by one. `None` where one is not UTF-8.
    whole: Option<&'a str>,
    pub(crate) target: T,
}

impl<'a, T: Target> Text<'a, T> {
    fn new(bytes: &'a [u8], bounds: &Bounds) -> Self {
        let whole = std::str::from_utf8(bytes).ok();
        Self { input: Reader::new(bytes, bounds), whole, target: T::default() }
    }

    /// One value with all its parts, into an empty place.
    pub(crate) fn value(&mut self, place: &mut T::Item) -> Result<(), Error> {
        self.input.enter()?;
        self.input.count_item()?;
        let at = self.input.offset();
        match self.input.byte()? {
            b'N' => {
                self.expect(*b";")?;
                self.target.leaf(place, Value::Null);
            }
            code => {
                self.expect(*b":")?;
                self.typed(place, code, at)?;
            }
        }
        self.input.leave();
        Ok(())
    }

    fn typed(&mut self, place: &mut T::Item, code: u8, at: usize) -> Result<(), Error> {
        match code {
            b'b' => {
                let truth = self.truth()?;
                self.target.leaf(place, Value::Bool(truth));
            }
            b'i' => {
                let number = self.number(b';')?;
                self.target.leaf(place, Value::Int(number));
            }
            b'd' => {
                let number = self.float()?;
                self.target.leaf(place, Value::Float(number));
            }
            b's' => {
                let piece = self.string()?;
                match piece.text {
                    Some(text) => self.target.leaf(place, Value::Text(text.into())),
                    None => self.target.leaf(place, string(piece.bytes)),
                }
            }
            b'S' => {
                let bytes = self.escaped()?;
                self.target.leaf(place, string(&bytes));
            }
            b'E' => {
                let case = self.case()?;
                self.target.leaf(place, case);
            }
            b'a' => self.array(place)?,
            b'O' => self.object(place)?,
            b'C' => self.raw(place)?,
            b'R' | b'r' => {
                let number = self.number(b';')?;
                *place = self.target.reference(number, code == b'r', at)?;
            }
            _ => return Err(Error::new(ErrorKind::Malformed, at, "unknown type")),
        }
        Ok(())
    }

    fn truth(&mut self) -> Result<bool, Error> {
        match self.until(b';')? {
            b"0" => Ok(false),
            b"1" => Ok(true),
            _ => Err(self.malformed("boolean expected")),
        }
    }

    fn case(&mut self) -> Result<Value, Error> {
        let name = self.class()?;
        self.expect(*b";")?;
        let Some((class, case)) = name.split_once(':') else {
            return Err(self.malformed("case expected"));
        };
        Ok(Value::Enum { class: class.into(), case: case.into() })
    }

    /// A list if the keys count from zero, else a map.
    fn array(&mut self, place: &mut T::Item) -> Result<(), Error> {
        let id = self.target.begin();
        let count = self.count()?;
        let mut items = Vec::new();
        let mut first = None;
        for index in 0..count {
            if !self.takes_index(index)? {
                let mut key = Value::Null;
                self.key(&mut key, true)?;
                if !matches!(&key, Value::Int(key) if usize::try_from(*key) == Ok(index)) {
                    first = Some(key);
                    break;
                }
            }
            if index == 0 {
                items.reserve(count.min(64));
            }
            self.value(items.push_mut(T::nothing()))?;
        }
        let Some(first) = first else {
            self.expect(*b"}")?;
            *place = self.target.list(id, items);
            return Ok(());
        };
        let mut entries = Vec::with_capacity(count.min(64));
        entries.extend((0..).map(Value::Int).zip(items));
        self.value(&mut entries.push_mut((first, T::nothing())).1)?;
        while entries.len() < count {
            self.entry(&mut entries, true)?;
        }
        self.expect(*b"}")?;
        *place = self.target.map(id, entries);
        Ok(())
    }

    fn entry(&mut self, entries: &mut Vec<(Value, T::Item)>, of_array: bool) -> Result<(), Error> {
        let (key, value) = entries.push_mut((Value::Null, T::nothing()));
        self.key(key, of_array)?;
        self.value(value)
    }

    /// Takes the key of a list's item, if it is this one and has at most two digits. Most keys are such.
    fn takes_index(&mut self, index: usize) -> Result<bool, Error> {
        let digit = |byte: u8| usize::from(byte.wrapping_sub(b'0'));
        let len = match *self.input.rest() {
            [b'i', b':', one, b';', ..] if digit(one) < 10 && digit(one) == index => 4,
            [b'i', b':', ten @ b'1'..=b'9', one @ b'0'..=b'9', b';', ..]
                if 10 * digit(ten) + digit(one) == index =>
            {
                5
            }
            _ => return Ok(false),
        };
        self.input.count_item()?;
        self.input.take(len)?;
        Ok(true)
    }

    fn object(&mut self, place: &mut T::Item) -> Result<(), Error> {
        let class = self.class()?;
        self.expect(*b":")?;
        let id = self.target.begin();
        let count = self.count()?;
        let mut entries = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            self.entry(&mut entries, false)?;
        }
        self.expect(*b"}")?;
        *place = self.target.object(id, class, entries);
        Ok(())
    }

    fn raw(&mut self, place: &mut T::Item) -> Result<(), Error> {
        let class = self.class()?;
        self.expect(*b":")?;
        let len: usize = self.number(b':')?;
        self.expect(*b"{")?;
        let raw = self.input.take(len)?.to_vec();
        self.expect(*b"}")?;
        *place = self.target.raw(class, raw);
        Ok(())
    }

    /// The number of entries, up to the brace.
    fn count(&mut self) -> Result<usize, Error> {
        let count: usize = self.number(b':')?;
        self.expect(*b"{")?;
        // Each entry has at least six bytes.
        if count > self.input.remaining() / 4 {
            return Err(self.malformed("more entries than bytes"));
        }
        Ok(count)
    }

    /// A key of an array, or the name of a variable of an object, into an empty place.
    fn key(&mut self, place: &mut Value, of_array: bool) -> Result<(), Error> {
        self.input.count_item()?;
        let at = self.input.offset();
        let code = self.input.byte()?;
        self.expect(*b":")?;
        match code {
            b'i' => put(place, Value::Int(self.number(b';')?)),
            b's' => match self.string()? {
                Piece { bytes, .. } if of_array && may_be_integer(bytes) => put(place, key(bytes)),
                Piece { text: Some(text), .. } => put(place, Value::Text(text.into())),
                Piece { bytes, .. } => put(place, string(bytes)),
            },
            b'S' if of_array => put(place, key(&self.escaped()?)),
            b'S' => put(place, string(&self.escaped()?)),
            _ => return Err(Error::new(ErrorKind::Malformed, at, "key expected")),
        }
        Ok(())
    }

    fn class(&mut self) -> Result<String, Error> {
        let name = self.quoted(*b"\"")?;
        Ok(String::from_utf8_lossy(name.bytes).into_owned())
    }

    fn string(&mut self) -> Result<Piece<'a>, Error> {
        self.quoted(*b"\";")
    }

    /// A length, a colon, a quote, as many bytes, and their end.
    #[inline]
    fn quoted<const N: usize>(&mut self, end: [u8; N]) -> Result<Piece<'a>, Error> {
        let len: usize = self.number(b':')?;
        self.expect(*b"\"")?;
        let from = self.input.offset();
        let bytes = self.input.take(len)?;
        self.expect(end)?;
        Ok(Piece { bytes, text: self.whole.and_then(|whole| whole.get(from..from + len)) })
    }

    /// A string whose bytes may be written as a backslash and two digits; its length counts the decoded bytes.
    fn escaped(&mut self) -> Result<Vec<u8>, Error> {
        let len: usize = self.number(b':')?;
        self.expect(*b"\"")?;
        if len > self.input.remaining() {
            return Err(Error::new(ErrorKind::Truncated, self.input.offset(), "input ends early"));
        }
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let byte = self.input.byte()?;
            if byte != b'\\' {
                bytes.push(byte);
                continue;
            }
            let digits: [u8; 2] = self.input.array()?;
            let decoded =
                std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
            match decoded {
                Some(byte) => bytes.push(byte),
                None => return Err(self.malformed("two hexadecimal digits expected")),
            }
        }
        self.expect(*b"\";")?;
        Ok(bytes)
    }

    fn float(&mut self) -> Result<f64, Error> {
        let at = self.input.offset();
        Ok(match self.until(b';')? {
            b"INF" => f64::INFINITY,
            b"-INF" => f64::NEG_INFINITY,
            b"NAN" => f64::NAN,
            text => {
                let plain = text.len() <= 400
                    && text.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte));
                let number =
                    std::str::from_utf8(text).ok().filter(|_| plain).and_then(|text| text.parse().ok());
                number.ok_or_else(|| Error::new(ErrorKind::Malformed, at, "number expected"))?
            }
        })
    }

    /// A number up to a character, which is consumed.
    fn number<N: TryFrom<u32> + std::str::FromStr>(&mut self, end: u8) -> Result<N, Error> {
        // Most numbers are lengths, of one or two digits.
        let digit = |byte: u8| u32::from(byte.wrapping_sub(b'0'));
        let (small, len) = match *self.input.rest() {
            [one, after, ..] if after == end && digit(one) < 10 => (digit(one), 2),
            [ten, one, after, ..] if after == end && digit(ten) < 10 && digit(one) < 10 => {
                (10 * digit(ten) + digit(one), 3)
            }
            _ => (0, 0),
        };
        if len > 0
            && let Ok(number) = N::try_from(small)
        {
            self.input.take(len)?;
            return Ok(number);
        }
        let at = self.input.offset();
        let text = self.until(end)?;
        let number = std::str::from_utf8(text)
            .ok()
            .filter(|text| text.len() <= 400)
            .and_then(|text| text.parse().ok());
        number.ok_or_else(|| Error::new(ErrorKind::Malformed, at, "number expected"))
    }

    /// The text up to a character, which is consumed.
    fn until(&mut self, end: u8) -> Result<&'a [u8], Error> {
        let Some(len) = self.input.rest().iter().position(|&byte| byte == end) else {
            return Err(Error::new(ErrorKind::Truncated, self.input.offset(), "input ends early"));
        };
        let text = self.input.take(len)?;
        self.input.byte()?;
        Ok(text)
    }

    #[inline]
    fn expect<const N: usize>(&mut self, wanted: [u8; N]) -> Result<(), Error> {
        let at = self.input.offset();
        if self.input.array()? == wanted {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Malformed, at, "another character expected"))
    }

    fn malformed(&self, what: &'static str) -> Error {
        Error::new(ErrorKind::Malformed, self.input.offset(), what)
    }
}

/// The bytes of a string, and the same as text where the whole input is UTF-8.
struct Piece<'a> {
    bytes: &'a [u8],
    text: Option<&'a str>,
}

//! `ActiveSupport::MessagePack`: MessagePack behind the bytes `CC 80`, with extensions for Ruby's types.

use super::time;
use crate::pack::{Token, token};
use crate::{Bounds, Error, ErrorKind, Object, Reader, Value};

/// What such a text begins with: the integer 128.
pub(crate) const SIGNATURE: &[u8] = b"\xcc\x80";

/// Reads one text with its signature.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let mut pack = Unpack { input: Reader::new(bytes, bounds) };
    if pack.input.take(2)? != SIGNATURE {
        return Err(Error::new(ErrorKind::Version, 0, "no signature of MessagePack"));
    }
    let value = pack.value()?;
    pack.input.end()?;
    Ok(value)
}

struct Unpack<'a> {
    input: Reader<'a>,
}

impl Unpack<'_> {
    fn value(&mut self) -> Result<Value, Error> {
        self.input.enter()?;
        self.input.count_item()?;
        let value = self.value_at()?;
        self.input.leave();
        Ok(value)
    }

    fn value_at(&mut self) -> Result<Value, Error> {
        Ok(match token(&mut self.input)? {
            Token::Scalar(value) => value,
            Token::Text(length) => self.text(length)?,
            Token::Bytes(length) => Value::Bytes(self.input.take(length)?.to_vec()),
            Token::List(count) => Value::List(self.items(count)?),
            Token::Map(count) => self.map(count)?,
            Token::Extension(length) => self.extension(length)?,
        })
    }

    fn text(&mut self, length: usize) -> Result<Value, Error> {
        let bytes = self.input.take(length)?.to_vec();
        Ok(String::from_utf8(bytes)
            .map_or_else(|error| Value::Bytes(error.into_bytes()), |text| Value::Text(text.into())))
    }

    fn items(&mut self, count: usize) -> Result<Vec<Value>, Error> {
        let mut items = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            items.push(self.value()?);
        }
        Ok(items)
    }

    fn map(&mut self, count: usize) -> Result<Value, Error> {
        let mut entries = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            let key = self.value()?;
            entries.push((key, self.value()?));
        }
        Ok(Value::Map(entries))
    }

    /// An extension. The parts of most types are MessagePack values themselves.
    fn extension(&mut self, length: usize) -> Result<Value, Error> {
        let at = self.input.offset();
        let kind = self.input.byte()?;
        let end = self.input.offset() + length;
        if length > self.input.remaining() {
            return Err(Error::new(ErrorKind::Truncated, at, "length beyond the input"));
        }
        let bad = || Error::new(ErrorKind::Malformed, at, "extension");
        let value = match kind {
            0 => Value::Symbol(self.name(length)?),
            1 => self.big(length)?,
            2 => {
                let text = self.name(length)?;
                Value::Decimal(text.split_once(':').map_or(text.clone(), |(_, number)| number.to_owned()))
            }
            3 => {
                let parts = self.rational()?;
                Value::object("Rational".to_owned(), Object::Value(Value::List(parts)))
            }
            4 => {
                let parts = vec![self.value()?, self.value()?];
                Value::object("Complex".to_owned(), Object::Value(Value::List(parts)))
            }
            5 => self.date_time().and_then(|moment| moment.ok_or_else(bad))?,
            6 => {
                let day = self.integer()?;
                Value::Date(time::date_of_julian_day(day, time::REFORM).ok_or_else(bad)?)
            }
            7 => Value::Time(self.time()?.ok_or_else(bad)?),
            8 => {
                let moment = Value::Time(self.time()?.ok_or_else(bad)?);
                let zone = self.value()?;
                Value::object("ActiveSupport::TimeWithZone".to_owned(), Object::Items(vec![moment, zone]))
            }
            9 => Value::object(
                "ActiveSupport::TimeZone".to_owned(),
                Object::Value(Value::Text(self.name(length)?.into())),
            ),
            10 => {
                let parts = vec![self.value()?, self.value()?];
                Value::object("ActiveSupport::Duration".to_owned(), Object::Items(parts))
            }
            11 => {
                let (begin, last, open) = (self.value()?, self.value()?, self.value()?);
                let field = |name: &str, value| (Value::Text(name.into()), value);
                Value::object(
                    "Range".to_owned(),
                    Object::Fields(vec![field("excl", open), field("begin", begin), field("end", last)]),
                )
            }
            12 => match self.value()? {
                Value::List(items) => Value::Set(items),
                _ => return Err(bad()),
            },
            13 => Value::object(
                "URI::Generic".to_owned(),
                Object::Value(Value::Text(self.name(length)?.into())),
            ),
            14 => Value::object("IPAddr".to_owned(), Object::Value(self.value()?)),
            15 => Value::object("Pathname".to_owned(), Object::Value(Value::Text(self.name(length)?.into()))),
            16 => regex(&self.name(length)?),
            17 => match self.value()? {
                Value::Map(entries) => Value::object(
                    "ActiveSupport::HashWithIndifferentAccess".to_owned(),
                    Object::Fields(entries),
                ),
                _ => return Err(bad()),
            },
            127 => {
                self.value()?;
                let (class, content) = (self.value()?, self.value()?);
                let Value::Text(class) = class else { return Err(bad()) };
                Value::object(class.into(), Object::Value(content))
            }
            _ => Value::object(format!("extension {kind}"), Object::Raw(self.input.take(length)?.to_vec())),
        };
        if self.input.offset() != end {
            return Err(Error::new(ErrorKind::Malformed, at, "length of an extension"));
        }
        Ok(value)
    }

    fn name(&mut self, length: usize) -> Result<String, Error> {
        let at = self.input.offset();
        String::from_utf8(self.input.take(length)?.to_vec())
            .map_err(|_| Error::new(ErrorKind::Malformed, at, "name is not text"))
    }

    fn integer(&mut self) -> Result<i64, Error> {
        let at = self.input.offset();
        match self.value()? {
            Value::Int(number) => Ok(number),
            _ => Err(Error::new(ErrorKind::Malformed, at, "integer expected")),
        }
    }

    /// A sign byte and words of 32 bits, the lowest first, each big-endian.
    fn big(&mut self, length: usize) -> Result<Value, Error> {
        let at = self.input.offset();
        let bytes = self.input.take(length)?;
        let (&sign, words) =
            bytes.split_first().ok_or_else(|| Error::new(ErrorKind::Malformed, at, "big integer"))?;
        if words.len() % 4 != 0 {
            return Err(Error::new(ErrorKind::Malformed, at, "big integer"));
        }
        let digits: Vec<u8> = words.chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
        Value::bounded_big(sign != 0, &digits, at)
    }

    fn rational(&mut self) -> Result<Vec<Value>, Error> {
        let numerator = self.value()?;
        // The denominator of zero is left out.
        let denominator = if numerator == Value::Int(0) { Value::Int(1) } else { self.value()? };
        Ok(vec![numerator, denominator])
    }

    fn time(&mut self) -> Result<Option<String>, Error> {
        let (seconds, nano, offset) = (self.integer()?, self.integer()?, self.integer()?);
        Ok(u32::try_from(nano).ok().and_then(|nano| time::moment(seconds, nano, offset)))
    }

    fn date_time(&mut self) -> Result<Option<Value>, Error> {
        let (day, hour, minute, second) =
            (self.integer()?, self.integer()?, self.integer()?, self.integer()?);
        let fraction = self.rational()?;
        let offset = self.rational()?;
        let scaled = |parts: &[Value], scale: i64| match parts {
            &[Value::Int(number), Value::Int(of)] if of != 0 => {
                number.checked_mul(scale).map(|number| number / of)
            }
            _ => None,
        };
        Ok((|| {
            let offset = scaled(&offset, 86_400).filter(|offset| time::OFFSETS.contains(offset))?;
            let nano = u32::try_from(scaled(&fraction, 1_000_000_000)?).ok()?;
            let day = day.checked_sub(2_440_588).filter(|day| (-4_000_000..4_000_000).contains(day))?;
            if !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..61).contains(&second) {
                return None;
            }
            // The clock shows local time.
            let seconds = day * 86_400 + hour * 3600 + minute * 60 + second - offset;
            time::moment(seconds, nano, offset).map(Value::DateTime)
        })())
    }
}

/// A pattern as `Regexp#to_s` shows it: `(?i-mx:a.b)`.
fn regex(text: &str) -> Value {
    let parts = || {
        let (flags, pattern) = text.strip_prefix("(?")?.strip_suffix(')')?.split_once(':')?;
        let flags = flags.split('-').next().unwrap_or_default();
        flags.bytes().all(|flag| b"mix".contains(&flag)).then(|| (pattern.into(), flags.into()))
    };
    let (pattern, flags) = parts().unwrap_or_else(|| (text.into(), "".into()));
    Value::Regex { pattern, flags }
}

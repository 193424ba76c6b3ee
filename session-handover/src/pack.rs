//! The tokens of MessagePack, which PHP's extension and Rails dress differently.

use crate::{Error, ErrorKind, Reader, Value};

/// A value without parts, or what kind of value follows and how long it is.
pub(crate) enum Token {
    Scalar(Value),
    /// Text of this many bytes.
    Text(usize),
    /// Bytes.
    Bytes(usize),
    /// Items.
    List(usize),
    /// Pairs.
    Map(usize),
    /// Bytes after the type of an extension.
    Extension(
        #[cfg_attr(
            not(any(feature = "rails", feature = "flask-session", feature = "tower-sessions")),
            expect(dead_code, reason = "PHP has none")
        )]
        usize,
    ),
}

/// Reads a token. No length is beyond the input.
pub(crate) fn token(input: &mut Reader<'_>) -> Result<Token, Error> {
    let at = input.offset();
    let code = input.byte()?;
    let scalar = match code {
        0x00..=0x7f => Value::Int(code.into()),
        0xe0..=0xff => Value::Int(i64::from(code) - 256),
        0xc0 => Value::Null,
        0xc2 => Value::Bool(false),
        0xc3 => Value::Bool(true),
        0xca => Value::Float(f32::from_be_bytes(input.array()?).into()),
        0xcb => Value::Float(f64::from_be_bytes(input.array()?)),
        0xcc => Value::Int(input.byte()?.into()),
        0xcd => Value::Int(u16::from_be_bytes(input.array()?).into()),
        0xce => Value::Int(u32::from_be_bytes(input.array()?).into()),
        0xcf => Value::big(false, &u64::from_be_bytes(input.array()?).to_le_bytes()),
        0xd0 => Value::Int(i8::from_be_bytes(input.array()?).into()),
        0xd1 => Value::Int(i16::from_be_bytes(input.array()?).into()),
        0xd2 => Value::Int(i32::from_be_bytes(input.array()?).into()),
        0xd3 => Value::Int(i64::from_be_bytes(input.array()?)),
        0xc1 => return Err(Error::new(ErrorKind::Malformed, at, "unknown type code")),
        _ => return compound(code, input),
    };
    Ok(Token::Scalar(scalar))
}

/// Reads a value whose text is UTF-8. `extension` reads an extension of some bytes after its type.
#[cfg(any(feature = "flask-session", feature = "tower-sessions"))]
pub(crate) fn value(
    input: &mut Reader<'_>,
    extension: fn(&mut Reader<'_>, usize) -> Result<Value, Error>,
) -> Result<Value, Error> {
    input.enter()?;
    input.count_item()?;
    let at = input.offset();
    let read = match token(input)? {
        Token::Scalar(value) => value,
        Token::Text(length) => {
            let text = std::str::from_utf8(input.take(length)?);
            let text = text.map_err(|_| Error::new(ErrorKind::Malformed, at, "text is not UTF-8"))?;
            Value::Text(text.into())
        }
        Token::Bytes(length) => Value::Bytes(input.take(length)?.to_vec()),
        Token::List(count) => {
            Value::List((0..count).map(|_| value(input, extension)).collect::<Result<_, _>>()?)
        }
        Token::Map(count) => {
            let entries = (0..count).map(|_| Ok((value(input, extension)?, value(input, extension)?)));
            Value::Map(entries.collect::<Result<_, Error>>()?)
        }
        Token::Extension(length) => extension(input, length)?,
    };
    input.leave();
    Ok(read)
}

fn compound(code: u8, input: &mut Reader<'_>) -> Result<Token, Error> {
    let at = input.offset();
    Ok(match code {
        0x80..=0x8f => Token::Map(within(usize::from(code & 0xf), at, input)?),
        0x90..=0x9f => Token::List(within(usize::from(code & 0xf), at, input)?),
        0xa0..=0xbf => Token::Text(within(usize::from(code & 0x1f), at, input)?),
        0xc4..=0xc6 => Token::Bytes(length(code - 0xc4, input)?),
        0xc7..=0xc9 => Token::Extension(length(code - 0xc7, input)?),
        0xd4..=0xd8 => Token::Extension(within(1 << (code - 0xd4), at, input)?),
        0xd9..=0xdb => Token::Text(length(code - 0xd9, input)?),
        0xdc | 0xdd => Token::List(length(code - 0xdc + 1, input)?),
        _ => Token::Map(length(code - 0xde + 1, input)?),
    })
}

/// A length of one, two or four bytes.
fn length(width: u8, input: &mut Reader<'_>) -> Result<usize, Error> {
    let at = input.offset();
    let length = match width {
        0 => u32::from(input.byte()?),
        1 => u16::from_be_bytes(input.array()?).into(),
        _ => u32::from_be_bytes(input.array()?),
    };
    within(usize::try_from(length).unwrap_or(usize::MAX), at, input)
}

/// Each item has at least one byte.
fn within(length: usize, at: usize, input: &Reader<'_>) -> Result<usize, Error> {
    if length <= input.remaining() {
        return Ok(length);
    }
    Err(Error::new(ErrorKind::Truncated, at, "length beyond the input"))
}

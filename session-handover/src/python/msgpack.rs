//! MessagePack as the package msgspec writes it: a moment with a zone is the extension -1, and keys may be of any type.

use crate::{Bounds, Error, ErrorKind, Object, Reader, Value, calendar, pack};

/// Reads one value.
pub(crate) fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    let mut input = Reader::new(bytes, bounds);
    let value = pack::value(&mut input, extension)?;
    input.end()?;
    Ok(value)
}

fn extension(input: &mut Reader<'_>, length: usize) -> Result<Value, Error> {
    let at = input.offset();
    let kind = i8::from_be_bytes(input.array()?);
    let content = input.take(length)?;
    if kind != -1 {
        return Ok(Value::object(format!("extension {kind}"), Object::Raw(content.to_vec())));
    }
    let bad = || Error::new(ErrorKind::Malformed, at, "moment");
    let (seconds, nano) = match *content {
        [a, b, c, d] => (u32::from_be_bytes([a, b, c, d]).into(), 0),
        [a, b, c, d, e, f, g, h] => {
            let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            let nano = u32::try_from(both >> 34).map_err(|_| bad())?;
            (i64::try_from(both & 0x3_ffff_ffff).map_err(|_| bad())?, nano)
        }
        [a, b, c, d, ref seconds @ ..] => {
            let seconds = seconds.try_into().map_err(|_| bad())?;
            (i64::from_be_bytes(seconds), u32::from_be_bytes([a, b, c, d]))
        }
        _ => return Err(bad()),
    };
    let whole = calendar::moment(seconds, 0, 0).ok_or_else(bad)?;
    // Python's moments have microseconds.
    let micro = nano / 1_000;
    Ok(Value::DateTime(match whole.strip_suffix('Z') {
        _ if nano > 999_999_999 => return Err(bad()),
        Some(clock) if micro != 0 => format!("{clock}.{micro:06}Z"),
        _ => whole,
    }))
}

//! JSON as Python's `json` reads and writes it.
#![allow(dead_code, reason = "each system uses a part")]

use crate::json::{Dialect, read_as};
use crate::{Bounds, Error, ErrorKind, Value};

/// Reads a JSON text.
pub(crate) fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    read_as(Dialect { utf16: true, infinite: true, unique: true }, bytes, bounds)
}

/// The text that `json.dumps` gives a value with `separators=(",", ":")`.
pub(crate) fn write(value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    put(value, &mut text, 0)?;
    Ok(text)
}

fn put(value: &Value, out: &mut String, depth: usize) -> Result<(), Error> {
    // Python reads some more levels, depending on its stack.
    if depth > 200 {
        return Err(unwritable("values nest too deeply"));
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        // Python reads no more digits.
        Value::BigInt(digits) if digits.len() <= 4_300 => out.push_str(digits),
        Value::Float(number) => put_float(*number, out),
        Value::Text(text) => put_text(text.encode_utf16(), out),
        Value::Utf16(units) => put_text(units.iter().copied(), out),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                put(item, out, depth + 1)?;
            }
            out.push(']');
        }
        Value::Map(entries) => put_map(entries, out, depth)?,
        _ => return Err(unwritable("type that JSON does not have")),
    }
    Ok(())
}

fn put_map(entries: &[(Value, Value)], out: &mut String, depth: usize) -> Result<(), Error> {
    let mut names = std::collections::HashSet::new();
    out.push('{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let start = out.len();
        match key {
            Value::Text(text) => put_text(text.encode_utf16(), out),
            Value::Utf16(units) => put_text(units.iter().copied(), out),
            _ => return Err(unwritable("key is not text")),
        }
        if !names.insert(out[start..].to_owned()) {
            return Err(unwritable("key stands twice"));
        }
        out.push(':');
        put(value, out, depth + 1)?;
    }
    out.push('}');
    Ok(())
}

/// Text in ASCII.
fn put_text(units: impl Iterator<Item = u16>, out: &mut String) {
    out.push('"');
    for unit in units {
        match u8::try_from(unit) {
            Ok(b'"') => out.push_str("\\\""),
            Ok(b'\\') => out.push_str("\\\\"),
            Ok(b'\n') => out.push_str("\\n"),
            Ok(b'\r') => out.push_str("\\r"),
            Ok(b'\t') => out.push_str("\\t"),
            Ok(8) => out.push_str("\\b"),
            Ok(12) => out.push_str("\\f"),
            Ok(letter @ b' '..=b'~') => out.push(char::from(letter)),
            _ => out.push_str(&format!("\\u{unit:04x}")),
        }
    }
    out.push('"');
}

/// A float as Python shows it: the shortest digits, with an exponent outside 1e-4 to 1e16.
fn put_float(number: f64, out: &mut String) {
    let size = number.abs();
    if number.is_nan() {
        out.push_str("NaN");
    } else if size.is_infinite() {
        out.push_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
    } else if size == 0.0 || (1e-4..1e16).contains(&size) {
        out.push_str(&format!("{number:?}"));
    } else {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        out.push_str(&format!("{digits}e{sign}{exponent:0>2}"));
    }
}

fn unwritable(what: &'static str) -> Error {
    Error::new(ErrorKind::Unwritable, 0, what)
}

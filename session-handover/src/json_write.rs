//! Writing JSON as another system does, byte by byte.

use std::collections::HashSet;

#[cfg(any(feature = "rails", feature = "django"))]
use crate::float::Decimal;
use crate::{Error, ErrorKind, Value};

/// How a system writes JSON.
pub(crate) struct Style {
    /// Levels that the system reads.
    pub(crate) depth: usize,
    /// The text of an integer or a float. `None`: the system has no such number.
    pub(crate) number: fn(&Value) -> Option<String>,
    /// Whether a character is escaped beside quotation marks, backslashes and control characters.
    pub(crate) escaped: fn(char) -> bool,
    /// Whether the system reads lone surrogates.
    pub(crate) surrogates: bool,
    /// The place of a key among the others, which stay in their order where it is the same.
    pub(crate) place: fn(&Value) -> u32,
}

/// Writes a value.
///
/// # Errors
/// `Unwritable` for types that JSON does not have, keys that are not text or stand twice, and too many levels.
pub(crate) fn write(value: &Value, style: &Style) -> Result<String, Error> {
    let mut out = String::new();
    put(value, style, &mut out, 0)?;
    Ok(out)
}

fn put(value: &Value, style: &Style, out: &mut String, depth: usize) -> Result<(), Error> {
    if depth > style.depth {
        return Err(unwritable("values nest too deeply"));
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(_) | Value::BigInt(_) | Value::Float(_) => {
            let number = (style.number)(value);
            out.push_str(&number.ok_or_else(|| unwritable("number that the system does not have"))?);
        }
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                put(item, style, out, depth + 1)?;
            }
            out.push(']');
        }
        Value::Map(entries) => put_map(entries, style, out, depth)?,
        _ if put_text(value, style, out) => {}
        _ => return Err(unwritable("type that the system's JSON does not have")),
    }
    Ok(())
}

fn put_map(entries: &[(Value, Value)], style: &Style, out: &mut String, depth: usize) -> Result<(), Error> {
    let mut names = HashSet::with_capacity(entries.len());
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|(key, _)| (style.place)(key));
    out.push('{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let start = out.len();
        if !put_text(key, style, out) {
            return Err(unwritable("key is not text"));
        }
        if !names.insert(out[start..].to_owned()) {
            return Err(unwritable("key stands twice"));
        }
        out.push(':');
        put(value, style, out, depth + 1)?;
    }
    out.push('}');
    Ok(())
}

/// Writes text. Returns whether the value is text that the system reads.
fn put_text(value: &Value, style: &Style, out: &mut String) -> bool {
    match value {
        Value::Text(text) => quote(text, style, out),
        Value::Utf16(units) if style.surrogates => {
            out.push('"');
            for letter in char::decode_utf16(units.iter().copied()) {
                match letter {
                    Ok(letter) => put_letter(letter, style, out),
                    Err(lone) => out.push_str(&format!("\\u{:04x}", lone.unpaired_surrogate())),
                }
            }
            out.push('"');
        }
        _ => return false,
    }
    true
}

/// Writes text between quotation marks.
pub(crate) fn quote(text: &str, style: &Style, out: &mut String) {
    out.push('"');
    text.chars().for_each(|letter| put_letter(letter, style, out));
    out.push('"');
}

fn put_letter(letter: char, style: &Style, out: &mut String) {
    match letter {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        letter if letter < ' ' || (style.escaped)(letter) => {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
        letter => out.push(letter),
    }
}

/// A float as Python and Ruby show it: the shortest digits, with an exponent outside 1e-4 to 1e16. `point` is put behind digits
/// without a fraction before an exponent.
#[cfg(any(feature = "rails", feature = "django"))]
pub(crate) fn float(number: f64, point: &str) -> String {
    let (size, decimal) = (number.abs(), Decimal::of(number));
    if size == 0.0 || (1e-4..1e16).contains(&size) {
        let text = decimal.plain();
        return if text.contains('.') { text } else { text + ".0" };
    }
    let (digits, exponent) = (decimal.mantissa(), decimal.exponent);
    let point = if digits.contains('.') { "" } else { point };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}{point}e{sign}{:02}", exponent.abs())
}

pub(crate) fn unwritable(what: &'static str) -> Error {
    Error::new(ErrorKind::Unwritable, 0, what)
}

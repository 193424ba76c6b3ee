//! Writing a session as `JSON.stringify` does.

use std::collections::HashSet;

use crate::{Error, ErrorKind, Value};

/// Express copies no key into its session that this object already has.
const MEMBERS: [&str; 20] = [
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
    "__proto__",
    "constructor",
    "destroy",
    "hasOwnProperty",
    "id",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "regenerate",
    "reload",
    "req",
    "resetMaxAge",
    "save",
    "toLocaleString",
    "toString",
    "touch",
    "valueOf",
];

/// `JSON.stringify` is recursive.
const DEPTH: usize = 512;

pub(super) fn session(session: &Value) -> Result<Vec<u8>, Error> {
    let Value::Map(entries) = session else { return Err(unwritable("session is not a map")) };
    let hidden = |key: &Value| matches!(key, Value::Text(key) if MEMBERS.contains(&key.as_str()));
    if entries.iter().any(|(key, _)| hidden(key)) {
        return Err(unwritable("key hides behind a member of Express' session"));
    }
    let cookie = session.get("cookie").filter(|cookie| matches!(cookie, Value::Map(_)));
    let cookie = cookie.ok_or_else(|| unwritable("session has no cookie"))?;
    if !matches!(cookie.get("expires"), None | Some(Value::Null | Value::Bool(false) | Value::Text(_))) {
        return Err(unwritable("end of the cookie is not text"));
    }
    let mut out = String::new();
    put(session, &mut out, 0)?;
    Ok(out.into_bytes())
}

fn put(value: &Value, out: &mut String, depth: usize) -> Result<(), Error> {
    if depth > DEPTH {
        return Err(unwritable("values nest too deeply"));
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => whole(&number.to_string(), out)?,
        Value::BigInt(digits) => whole(digits, out)?,
        // JSON.stringify writes -0 as 0, and numbers without an end as null.
        Value::Float(number) if number.is_finite() && (*number != 0.0 || number.is_sign_positive()) => {
            out.push_str(&digits(*number));
        }
        Value::Text(_) | Value::Utf16(_) => text(value, out)?,
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
        Value::Map(entries) => {
            out.push('{');
            for (index, (key, value)) in in_order(entries)?.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                text(key, out)?;
                out.push(':');
                put(value, out, depth + 1)?;
            }
            out.push('}');
        }
        _ => return Err(unwritable("type or number that JavaScript's JSON does not have")),
    }
    Ok(())
}

/// Entries in the order of a JavaScript object: indices of arrays by their number, then the other keys.
fn in_order(entries: &[(Value, Value)]) -> Result<Vec<(&Value, &Value)>, Error> {
    let mut names = HashSet::with_capacity(entries.len());
    for (key, _) in entries {
        let units: Vec<u16> = match key {
            Value::Text(text) => text.encode_utf16().collect(),
            Value::Utf16(units) => units.clone(),
            _ => return Err(unwritable("key is not text")),
        };
        if !names.insert(units) {
            return Err(unwritable("key stands twice"));
        }
    }
    let index = |key: &Value| match key {
        Value::Text(text) => {
            text.parse::<u32>().ok().filter(|number| *number != u32::MAX && number.to_string() == *text)
        }
        _ => None,
    };
    let mut ordered: Vec<_> = entries.iter().map(|(key, value)| (key, value)).collect();
    ordered.sort_by_key(|(key, _)| index(key).map_or((true, 0), |number| (false, number)));
    Ok(ordered)
}

/// An integer that is a number of JavaScript: its digits are those that JavaScript gives this number.
fn whole(decimal: &str, out: &mut String) -> Result<(), Error> {
    let number: f64 = decimal.parse().map_err(|_| unwritable("number"))?;
    if digits(number) != decimal {
        return Err(unwritable("integer that JavaScript rounds"));
    }
    out.push_str(decimal);
    Ok(())
}

/// A number as `Number.prototype.toString` shows it: the shortest digits, and an exponent from 1e21 and below 1e-6.
fn digits(number: f64) -> String {
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // How many digits stand before the point.
    let point = exponent + 1;
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    match point {
        1..=21 if length <= point => format!("{sign}{digits}{}", zeros(point - length)),
        1..=21 => {
            let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
            format!("{sign}{whole}.{fraction}")
        }
        -5..=0 => format!("{sign}0.{}{digits}", zeros(-point)),
        _ => format!("{sign}{mantissa}e{}{}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

fn text(value: &Value, out: &mut String) -> Result<(), Error> {
    out.push('"');
    match value {
        Value::Text(text) => text.chars().for_each(|letter| put_letter(letter, out)),
        Value::Utf16(units) => char::decode_utf16(units.iter().copied()).for_each(|letter| match letter {
            Ok(letter) => put_letter(letter, out),
            Err(lone) => out.push_str(&format!("\\u{:04x}", lone.unpaired_surrogate())),
        }),
        _ => return Err(unwritable("key is not text")),
    }
    out.push('"');
    Ok(())
}

fn put_letter(letter: char, out: &mut String) {
    match letter {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\0'..='\x1f' => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
        letter => out.push(letter),
    }
}

fn unwritable(what: &'static str) -> Error {
    Error::new(ErrorKind::Unwritable, 0, what)
}

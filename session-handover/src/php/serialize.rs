//! The text of PHP's `serialize()`.
//!
//! Lengths are bytes. Values are numbered from 1, keys are not: `R:` names a number and takes none, `r:` names one and
//! takes one itself. Classes are names here, and nothing is loaded.

use std::collections::HashSet;

use super::target::Target;
use super::text::{Text, read_with};
use super::{as_map, key};
use crate::float::Decimal;
use crate::{Bounds, Error, ErrorKind, Value};

/// Reads one value.
///
/// # Errors
/// A kind and the offset of the damage.
pub fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    read_with(bytes, bounds, |text| whole(text, bounds), |text| whole(text, bounds))
}

fn whole<T: Target>(text: &mut Text<'_, T>, bounds: &Bounds) -> Result<Value, Error> {
    let mut root = T::nothing();
    text.value(&mut root)?;
    text.input.end()?;
    text.target.take(root, bounds)
}

/// Reads the whole session of `session.serialize_handler = php_serialize`, of Laravel and of others: an array.
///
/// # Errors
/// As [`read`]; `Malformed` for another value than an array.
pub fn read_session(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Ok(Value::Map(Vec::new()));
    }
    as_map(read(bytes, bounds)?)
}

/// Writes a value as PHP writes it.
///
/// # Errors
/// `Unwritable` for values that PHP would not read back as they were: objects, whose private names a [`Value`] does not
/// keep, shared values, moments, and others that PHP does not have.
pub fn write(value: &Value) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    put(value, &mut out, DEEPEST)?;
    Ok(out)
}

pub(crate) fn unwritable() -> Error {
    Error::new(ErrorKind::Unwritable, 0, "PHP would not read this value back")
}

/// How deeply values that are written may nest.
pub(crate) const DEEPEST: usize = 512;

pub(crate) fn put(value: &Value, out: &mut Vec<u8>, depth: usize) -> Result<(), Error> {
    let depth = depth.checked_sub(1).ok_or_else(unwritable)?;
    match value {
        Value::Null => out.extend_from_slice(b"N;"),
        Value::Bool(truth) => out.extend_from_slice(if *truth { b"b:1;" } else { b"b:0;" }),
        Value::Int(number) => out.extend_from_slice(format!("i:{number};").as_bytes()),
        Value::Float(number) => out.extend_from_slice(format!("d:{};", float(*number)).as_bytes()),
        Value::Text(text) => put_string(text.as_bytes(), out),
        Value::Bytes(bytes) => put_string(bytes, out),
        Value::List(items) => {
            put_array(items.len(), out, depth, (0..).map(Value::Int).zip(items))?;
        }
        Value::Map(entries) => {
            put_array(entries.len(), out, depth, entries.iter().map(|(key, value)| (key.clone(), value)))?;
        }
        Value::Enum { class, case } => {
            let name = format!("{class}:{case}");
            out.extend_from_slice(format!("E:{}:\"{name}\";", name.len()).as_bytes());
        }
        _ => return Err(unwritable()),
    }
    Ok(())
}

fn put_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("s:{}:\"", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\";");
}

fn put_array<'v>(
    len: usize,
    out: &mut Vec<u8>,
    depth: usize,
    entries: impl Iterator<Item = (Value, &'v Value)>,
) -> Result<(), Error> {
    out.extend_from_slice(format!("a:{len}:{{").as_bytes());
    let mut names = HashSet::new();
    for (name, value) in entries {
        let from = out.len();
        // PHP would read `"5"` as the integer 5.
        match &name {
            Value::Int(number) => out.extend_from_slice(format!("i:{number};").as_bytes()),
            Value::Text(text) if key(text.as_bytes()) == name => put_string(text.as_bytes(), out),
            Value::Bytes(bytes) if key(bytes) == name => put_string(bytes, out),
            _ => return Err(unwritable()),
        }
        if !names.insert(out[from..].to_vec()) {
            return Err(unwritable());
        }
        put(value, out, depth)?;
    }
    out.push(b'}');
    Ok(())
}

/// A float as PHP writes it with `serialize_precision = -1`: the shortest digits that give it back.
pub(crate) fn float(number: f64) -> String {
    if number.is_nan() {
        return "NAN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "INF" } else { "-INF" }.to_owned();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let decimal = Decimal::of(number);
    let exponent = decimal.exponent;
    // The decimal point stands after `exponent + 1` digits. PHP changes to exponents below -3 and above 17.
    if (-4..17).contains(&exponent) {
        return decimal.plain();
    }
    let mut mantissa = decimal.mantissa();
    if !mantissa.contains('.') {
        mantissa.push_str(".0");
    }
    format!("{mantissa}E{}{}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

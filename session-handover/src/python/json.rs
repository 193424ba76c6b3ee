//! JSON as Python's `json` reads and writes it.
#![allow(dead_code, reason = "each system uses a part")]

use crate::json::{Dialect, read_as};
use crate::{Bounds, Error, Value};

/// Reads a JSON text.
pub(crate) fn read(bytes: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    read_as(Dialect { utf16: true, infinite: true, unique: true }, bytes, bounds)
}

/// The text that `json.dumps` gives a value with `separators=(",", ":")`.
#[cfg(feature = "django")]
pub(crate) fn write(value: &Value) -> Result<String, Error> {
    use crate::json_write::{Style, float, write};
    let style = Style {
        // Python reads some more levels, depending on its stack.
        depth: 200,
        number: |number| match number {
            Value::Int(number) => Some(number.to_string()),
            // Python reads no more digits.
            Value::BigInt(digits) => (digits.len() <= 4_300).then(|| digits.clone()),
            Value::Float(number) if number.is_nan() => Some("NaN".to_owned()),
            Value::Float(f64::INFINITY) => Some("Infinity".to_owned()),
            Value::Float(f64::NEG_INFINITY) => Some("-Infinity".to_owned()),
            Value::Float(number) => Some(float(*number, "")),
            _ => None,
        },
        escaped: |letter| letter > '~',
        surrogates: true,
        place: |_| 0,
    };
    write(value, &style)
}

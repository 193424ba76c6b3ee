//! Writing a session as `JSON.stringify` does.

use crate::float::Decimal;
use crate::json_write::{self, Style, unwritable};
use crate::{Error, Value};

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

const STYLE: Style = Style {
    // `JSON.stringify` is recursive.
    depth: 512,
    number: |number| match number {
        Value::Int(number) => whole(&number.to_string()),
        Value::BigInt(digits) => whole(digits),
        // JSON.stringify writes -0 as 0, and numbers without an end as null.
        Value::Float(number) if number.is_finite() && (*number != 0.0 || number.is_sign_positive()) => {
            Some(digits(*number))
        }
        _ => None,
    },
    escaped: |_| false,
    surrogates: true,
    // Indices of arrays stand by their number before all other keys.
    place: |key| match key {
        Value::Text(text) => {
            text.parse().ok().filter(|number: &u32| number.to_string() == *text).unwrap_or(u32::MAX)
        }
        _ => u32::MAX,
    },
};

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
    json_write::write(session, &STYLE).map(String::into_bytes)
}

/// An integer that is a number of JavaScript: its digits are those that JavaScript gives this number.
fn whole(decimal: &str) -> Option<String> {
    let number: f64 = decimal.parse().ok()?;
    (digits(number) == decimal).then(|| decimal.to_owned())
}

/// A number as `Number.prototype.toString` shows it: the shortest digits, and an exponent from 1e21 and below 1e-6.
fn digits(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let decimal = Decimal::of(number);
    match decimal.exponent {
        -6..=20 => decimal.plain(),
        exponent => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{}e{sign}{}", decimal.mantissa(), exponent.abs())
        }
    }
}

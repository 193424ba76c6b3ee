//! Writing a session as `JSON.stringify` does.

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

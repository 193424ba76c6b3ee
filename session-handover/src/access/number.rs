//! Numbers, and text that is one.

use serde::de::Visitor;

use super::{Access, error};
use crate::{Error, Value};

/// Reads a number: `whole` of an integer type. Text of a decimal is a number, and other text in a lenient read.
pub(super) fn read<'v, V: Visitor<'v>>(
    access: Access<'v, '_>,
    whole: bool,
    visitor: V,
) -> Result<V::Value, Error> {
    match access.value {
        Value::BigInt(digits) if !whole => match digits.parse() {
            Ok(number) => visitor.visit_f64(number),
            Err(_) => Err(error::found("an integer", &visitor)),
        },
        Value::Float(number) if whole && access.lenient => visit_float(*number, true, visitor),
        Value::Decimal(text) => visit_text(text, whole, visitor),
        Value::Text(text) if access.lenient => visit_text(text.trim(), whole, visitor),
        _ => access.any(visitor),
    }
}

/// The text of a number.
pub(super) fn digits(value: &Value) -> Option<String> {
    match value {
        Value::Int(number) => Some(number.to_string()),
        Value::BigInt(digits) => Some(digits.clone()),
        Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Gives an integer of any length. One beyond 128 bits is not a number of serde.
pub(super) fn visit_whole<'v, V: Visitor<'v>>(digits: &str, visitor: V) -> Result<V::Value, Error> {
    if let Ok(number) = digits.parse() {
        return visitor.visit_i64(number);
    }
    if let Ok(number) = digits.parse() {
        return visitor.visit_u64(number);
    }
    if let Ok(number) = digits.parse() {
        return visitor.visit_i128(number);
    }
    match digits.parse() {
        Ok(number) => visitor.visit_u128(number),
        Err(_) => Err(error::found("an integer beyond 128 bits", &visitor)),
    }
}

fn visit_text<'v, V: Visitor<'v>>(text: &str, whole: bool, visitor: V) -> Result<V::Value, Error> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if whole && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return visit_whole(text.strip_prefix('+').unwrap_or(text), visitor);
    }
    // Rust also parses "inf" and "nan".
    let numeric = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    match text.parse::<f64>() {
        Ok(number) if numeric && number.is_finite() => visit_float(number, whole, visitor),
        _ => Err(error::found("text that is not a number", &visitor)),
    }
}

/// Gives a float, as an integer where that is wanted and it is one without loss.
fn visit_float<'v, V: Visitor<'v>>(number: f64, whole: bool, visitor: V) -> Result<V::Value, Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if whole && number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "an integer of at most 2^53")]
        return visitor.visit_i64(number as i64);
    }
    visitor.visit_f64(number)
}

//! Maps whose values are JSON texts.

use crate::{Bounds, Error, ErrorKind, Value, json};

/// Decodes the texts of a map. Other text stays: an application may have put it there in raw form.
pub(super) fn decoded(map: Value, bounds: &Bounds) -> Result<Value, Error> {
    let Value::Map(entries) = map else {
        return Err(Error::new(ErrorKind::Malformed, 0, "session is not a map"));
    };
    // The bounds of the texts that follow.
    let mut left = Bounds { depth: bounds.depth.saturating_sub(1), ..*bounds };
    let entries = entries.into_iter().map(|(key, value)| {
        let Value::Text(text) = value else { return Ok((key, value)) };
        let value = match json::read(text.as_bytes(), &left) {
            Err(error) if beyond(&error) => return Err(error),
            Err(_) => Value::Text(text),
            Ok(value) => {
                left.count = left.count.saturating_sub(count(&value));
                left.size = left.size.saturating_sub(text.len());
                value
            }
        };
        Ok((key, value))
    });
    Ok(Value::Map(entries.collect::<Result<_, _>>()?))
}

fn beyond(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TooDeep | ErrorKind::TooMany | ErrorKind::TooLarge)
}

/// How many values JSON has made.
fn count(value: &Value) -> usize {
    match value {
        Value::List(items) => items.iter().map(count).fold(1, usize::saturating_add),
        Value::Map(entries) => entries.iter().map(|(_, value)| count(value)).fold(1, usize::saturating_add),
        _ => 1,
    }
}

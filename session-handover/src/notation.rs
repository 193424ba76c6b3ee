//! A value as JSON for people and tests: what JSON does not have is a map with one key that begins with `$`.
//!
//! | written as | is |
//! |---|---|
//! | `{"$float": "1.5"}` | a float; also `inf`, `-inf`, `nan` |
//! | `{"$int": "…"}` | an integer beyond 64 bits |
//! | `{"$bytes": "hex"}` | bytes |
//! | `{"$utf16": "d800"}` | text with lone surrogates |
//! | `{"$map": [[key, value], …]}` | a map whose keys are not all text |
//! | `{"$tuple": […]}`, `{"$set": […]}` | a fixed list, a set |
//! | `{"$object": "Class", "fields" / "items" / "value" / "raw" / "hook": …}` | an object |
//! | `{"$id": 1, "of": …}`, `{"$same": 1}` | a value that is met again |
//! | `{"$ref": …}`, `{"$symbol": …}`, `{"$time": …}`, … | what the name says |

use std::fmt::Write as _;

use crate::{Object, Value};

/// Writes a value. The text holds the whole session: it may be a secret.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    put(value, &mut out);
    out
}

fn put(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Value::BigInt(digits) => tag("$int", digits, out),
        Value::Float(number) => tag("$float", &float(*number), out),
        Value::Text(text) => string(text, out),
        Value::Bytes(bytes) => tag("$bytes", &hex(bytes), out),
        Value::Utf16(units) => {
            let units: String = units.iter().map(|unit| format!("{unit:04x}")).collect();
            tag("$utf16", &units, out);
        }
        Value::Encoded { text, encoding } => {
            out.push_str("{\"$text\":");
            string(text, out);
            out.push_str(",\"encoding\":");
            string(encoding, out);
            out.push('}');
        }
        Value::List(items) => list(items, out),
        Value::Map(entries) => map(entries, None, out),
        Value::MapWithDefault(entries, default) => map(entries, Some(default), out),
        Value::Set(items) => tagged_list("$set", items, out),
        Value::Tuple(items) => tagged_list("$tuple", items, out),
        Value::Time(text) | Value::TimeOfDay(text) => tag("$time", text, out),
        Value::Uuid(text) => tag("$uuid", text, out),
        Value::Date(text) => tag("$date", text, out),
        Value::DateTime(text) => tag("$datetime", text, out),
        Value::Decimal(text) => tag("$decimal", text, out),
        Value::Markup(text) => tag("$markup", text, out),
        Value::Symbol(text) => tag("$symbol", text, out),
        Value::Class(text) => tag("$class", text, out),
        Value::Opaque(text) => tag("$opaque", text, out),
        Value::Regex { pattern, flags } => {
            out.push_str("{\"$regex\":");
            string(pattern, out);
            out.push_str(",\"flags\":");
            string(flags, out);
            out.push('}');
        }
        Value::Enum { class, case } => {
            out.push_str("{\"$enum\":");
            string(class, out);
            out.push_str(",\"case\":");
            string(case, out);
            out.push('}');
        }
        Value::Ref(of) => {
            out.push_str("{\"$ref\":");
            put(of, out);
            out.push('}');
        }
        Value::Shared(name, of) => {
            let _ = write!(out, "{{\"$id\":{name},\"of\":");
            put(of, out);
            out.push('}');
        }
        Value::Same(name) => {
            let _ = write!(out, "{{\"$same\":{name}}}");
        }
        Value::Object(object) => {
            out.push_str("{\"$object\":");
            string(&object.0, out);
            match &object.1 {
                Object::Fields(entries) => {
                    out.push_str(",\"fields\":");
                    map(entries, None, out);
                }
                Object::Items(items) => {
                    out.push_str(",\"items\":");
                    list(items, out);
                }
                Object::Value(value) => {
                    out.push_str(",\"value\":");
                    put(value, out);
                }
                Object::Raw(bytes) => {
                    out.push_str(",\"raw\":");
                    text_or_bytes(bytes, out);
                }
                Object::Hook { frozen, refs } => {
                    out.push_str(",\"hook\":{\"frozen\":");
                    text_or_bytes(frozen, out);
                    out.push_str(",\"refs\":");
                    list(refs, out);
                    out.push('}');
                }
            }
            out.push('}');
        }
    }
}

fn list(items: &[Value], out: &mut String) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        put(item, out);
    }
    out.push(']');
}

fn tagged_list(name: &str, items: &[Value], out: &mut String) {
    let _ = write!(out, "{{\"{name}\":");
    list(items, out);
    out.push('}');
}

/// Entries with text keys are a JSON map, others a list of pairs. A key that looks like a mark makes pairs too.
fn map(entries: &[(Value, Value)], default: Option<&Value>, out: &mut String) {
    let plain = default.is_none()
        && entries.iter().all(|(key, _)| matches!(key, Value::Text(key) if !key.starts_with('$')));
    out.push_str(if plain { "{" } else { "{\"$map\":[" });
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if !plain {
            out.push('[');
        }
        put(key, out);
        out.push(if plain { ':' } else { ',' });
        put(value, out);
        if !plain {
            out.push(']');
        }
    }
    if !plain {
        out.push(']');
    }
    if let Some(default) = default {
        out.push_str(",\"default\":");
        put(default, out);
    }
    out.push('}');
}

fn tag(name: &str, text: &str, out: &mut String) {
    let _ = write!(out, "{{\"{name}\":");
    string(text, out);
    out.push('}');
}

fn text_or_bytes(bytes: &[u8], out: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => string(text, out),
        Err(_) => tag("$bytes", &hex(bytes), out),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn float(number: f64) -> String {
    if number.is_nan() { "nan".to_owned() } else { format!("{number:?}") }
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            letter if letter < ' ' || letter == '\x7f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

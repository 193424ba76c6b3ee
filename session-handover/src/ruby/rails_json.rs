//! Writing a session back into Rails' cookie, where its serializer is JSON.

use super::rails::{Cookie, Envelope, Protection};
use crate::seal;
use crate::{Error, ErrorKind, Value};

impl Cookie {
    /// Writes a session in the envelope that a cookie was read from. Gives the value of the cookie, escaped for a header.
    ///
    /// `iv` is the initialization vector: random bytes that were never used before, 12 for AES-GCM and 16 for AES-CBC.
    /// A signed cookie needs none.
    ///
    /// # Errors
    /// [`ErrorKind::Unwritable`] for a value that Rails could not read back as it is: only JSON's types can be written, and only
    /// where the cookie held JSON.
    pub fn write(&self, value: &Value, envelope: &Envelope, iv: &[u8]) -> Result<String, Error> {
        if !envelope.json {
            return Err(unwritable("cookie does not hold JSON"));
        }
        let mut message = String::new();
        encode(value, &mut message, 0)?;
        let plain = match &envelope.metadata {
            None => message,
            Some(metadata) => {
                let mut text = "{\"_rails\":{".to_owned();
                for (index, name) in metadata.order.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    encode_text(name, &mut text);
                    text.push(':');
                    let member = match name.as_str() {
                        "message" => Some(seal::to_base64(message.as_bytes())),
                        "exp" => metadata.expires.clone(),
                        "pur" => metadata.purpose.clone(),
                        "data" => {
                            text.push_str(&message);
                            continue;
                        }
                        _ => None,
                    };
                    match member {
                        Some(member) => encode_text(&member, &mut text),
                        None => text.push_str("null"),
                    }
                }
                text.push_str("}}");
                text
            }
        };
        let keys = self
            .keys(envelope.protection, envelope.digest, envelope.secret)
            .ok_or_else(|| unwritable("secret is not set"))?;
        let wrong_iv = || unwritable("initialization vector of a wrong length");
        let signed = |data: String| {
            let mac = seal::hmac(envelope.signer, &keys.signature, &[data.as_bytes()]);
            format!("{data}--{}", seal::hex(&mac))
        };
        let cookie = match envelope.protection {
            Protection::Gcm => {
                let iv: &[u8; 12] = iv.try_into().map_err(|_| wrong_iv())?;
                let (sealed, tag) = seal::seal_gcm(&keys.cipher, iv, plain.as_bytes())?;
                format!("{}--{}--{}", seal::to_base64(&sealed), seal::to_base64(iv), seal::to_base64(&tag))
            }
            Protection::Cbc => {
                let iv: &[u8; 16] = iv.try_into().map_err(|_| wrong_iv())?;
                let sealed = seal::seal_cbc(&keys.cipher, iv, plain.as_bytes())?;
                let inner = format!("{}--{}", seal::to_base64(&sealed), seal::to_base64(iv));
                signed(seal::to_base64(inner.as_bytes()))
            }
            Protection::Signed => signed(seal::to_base64(plain.as_bytes())),
        };
        Ok(escape(&cookie))
    }
}

/// The text that Rails' JSON encoder gives a value.
///
/// # Errors
/// [`ErrorKind::Unwritable`] where the value has a type that JSON does not have.
pub fn to_json(value: &Value) -> Result<String, Error> {
    let mut text = String::new();
    encode(value, &mut text, 0)?;
    Ok(text)
}

fn encode(value: &Value, out: &mut String, depth: usize) -> Result<(), Error> {
    // Rails reads at most 100 levels.
    if depth > 100 {
        return Err(unwritable("values nest too deeply"));
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::BigInt(digits) => out.push_str(digits),
        Value::Float(number) if number.is_finite() => out.push_str(&float(*number)),
        Value::Text(text) => encode_text(text, out),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                encode(item, out, depth + 1)?;
            }
            out.push(']');
        }
        Value::Map(entries) => {
            let mut names = std::collections::HashSet::new();
            out.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                let Value::Text(key) = key else { return Err(unwritable("key is not text")) };
                if !names.insert(key) {
                    return Err(unwritable("key stands twice"));
                }
                if index > 0 {
                    out.push(',');
                }
                encode_text(key, out);
                out.push(':');
                encode(value, out, depth + 1)?;
            }
            out.push('}');
        }
        _ => return Err(unwritable("type that JSON does not have")),
    }
    Ok(())
}

/// JSON text with the letters escaped that Rails escapes for HTML and JavaScript.
fn encode_text(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                out.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// A float as Ruby shows it: the shortest digits, with an exponent outside 1e-4 to 1e16.
fn float(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{number:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let point = if digits.contains('.') { "" } else { ".0" };
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        return format!("{digits}{point}e{sign}{exponent:0>2}");
    }
    format!("{number:?}")
}

/// Escapes as Rack does for a cookie.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unwritable(what: &'static str) -> Error {
    Error::new(ErrorKind::Unwritable, 0, what)
}

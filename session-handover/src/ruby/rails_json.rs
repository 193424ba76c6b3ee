//! Writing a session back into Rails' cookie, where its serializer is JSON.

use super::rails::{Cookie, Envelope, Protection};
use crate::json_write::{self, Style, unwritable};
use crate::{Error, Value, seal};

impl Cookie {
    /// Writes a session in the envelope that a cookie was read from. Gives the value of the cookie, escaped for a header.
    ///
    /// `iv` is the initialization vector: random bytes that were never used before, 12 for AES-GCM and 16 for AES-CBC.
    /// A signed cookie needs none.
    ///
    /// # Errors
    /// [`ErrorKind::Unwritable`](crate::ErrorKind::Unwritable) for a value that Rails could not read back as it is: only JSON's types can be written, and only
    /// where the cookie held JSON.
    pub fn write(&self, value: &Value, envelope: &Envelope, iv: &[u8]) -> Result<String, Error> {
        if !envelope.json {
            return Err(unwritable("cookie does not hold JSON"));
        }
        let message = to_json(value)?;
        let plain = match &envelope.metadata {
            None => message,
            Some(metadata) => {
                let mut text = "{\"_rails\":{".to_owned();
                for (index, name) in metadata.order.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    json_write::quote(name, &STYLE, &mut text);
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
                        Some(member) => json_write::quote(&member, &STYLE, &mut text),
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

/// Rails escapes the letters that HTML and JavaScript take as marks. It reads at most 100 levels.
const STYLE: Style = Style {
    depth: 100,
    number: |number| match number {
        Value::Int(number) => Some(number.to_string()),
        Value::BigInt(digits) => Some(digits.clone()),
        Value::Float(number) if number.is_finite() => Some(json_write::float(*number, ".0")),
        _ => None,
    },
    escaped: |letter| matches!(letter, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
    surrogates: false,
    place: |_| 0,
};

/// The text that Rails' JSON encoder gives a value.
///
/// # Errors
/// [`ErrorKind::Unwritable`](crate::ErrorKind::Unwritable) where the value has a type that JSON does not have.
pub fn to_json(value: &Value) -> Result<String, Error> {
    json_write::write(value, &STYLE)
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

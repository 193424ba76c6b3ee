//! actix-session: JSON in Redis, or in the cookie itself.
//!
//! | store | what to read |
//! |---|---|
//! | `RedisSessionStore` | [`read`] of the value of the key, which is the text of the cookie; the TTL counts |
//! | `CookieSessionStore` | [`read`] of the text of the cookie; it has no end |

use super::cookie::{Cookie, Order, Security};
use super::texts;
use crate::{Bounds, Error, Value, json};

/// The cookie of the default name `id`. `cookie_content_security` is private by default. Of several cookies of a name only the
/// first counts.
pub fn cookie(security: Security) -> Cookie {
    Cookie::new("id", security, Order::First)
}

/// Reads a session: a JSON map of JSON texts.
///
/// # Errors
/// A kind and the offset of the damage.
pub fn read(text: &[u8], bounds: &Bounds) -> Result<Value, Error> {
    texts::decoded(json::read(text, bounds)?, bounds)
}

//! A token in the session, for forms: the synchronizer token pattern.
//!
//! Write [`token`] into a hidden field of each form and compare the submitted value with [`is_valid`]. Where a
//! `SameOriginLayer` stands in front of the application, it needs no token: see its documentation for the difference.

use crate::{Error, Session};
use session_core::SessionId;

const KEY: &str = "csrf";

/// The token of this session: 192 random bits as text. The first call stores a new one under the key `csrf`, with all
/// changes of this request so far ([`Session::update_now`]): of two first requests at once, both get the same token. In a
/// session that the client keeps, each gets a token of its own, and that of the last response is valid.
///
/// It stays the same at a login, so forms in other tabs keep working.
///
/// # Errors
/// As [`Session::get`] and [`Session::update_now`]; `Entropy` where the operating system has no random bytes.
///
/// # Cancellation
/// As [`Session::commit`].
pub async fn token(session: &Session) -> Result<String, Error> {
    if let Some(token) = session.get::<String>(KEY)? {
        return Ok(token);
    }
    let new = SessionId::generate()?.reveal().as_str().to_owned();
    session.update_now(KEY, move |old: Option<String>| old.unwrap_or_else(|| new.clone())).await
}

/// Whether `submitted` is the token of this session. The time of the comparison depends on no byte of the token.
///
/// # Errors
/// As [`Session::get`].
pub fn is_valid(session: &Session, submitted: &str) -> Result<bool, Error> {
    let Some(token) = session.get::<String>(KEY)? else { return Ok(false) };
    let differences = token.bytes().zip(submitted.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
    Ok(token.len() == submitted.len() && std::hint::black_box(differences) == 0)
}

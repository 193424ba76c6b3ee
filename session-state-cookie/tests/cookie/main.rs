//! The headers, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod config;
#[cfg(feature = "signed")]
mod keys;
mod lifetime;
mod random;
mod reading;
mod response;
#[cfg(feature = "sealed")]
mod sealed;

use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use session_core::{Persistence, SessionId, State, Timestamp};
use session_state_cookie::{CookieConfig, CookieState, Lifetime, SameSite};

/// 6 November 1994, 08:49:37 UTC.
const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);
const SEVENS: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
const DEFAULTS: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax";
const GONE: &str = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";

fn id(n: u8) -> SessionId {
    SessionId::from_bytes([n; 24])
}

fn text(n: u8) -> String {
    id(n).reveal().as_str().to_owned()
}

fn in_seconds(seconds: u64) -> Option<Timestamp> {
    Some(NOW.saturating_add(Duration::from_secs(seconds)))
}

fn set_cookies(response: &HeaderMap) -> Vec<&str> {
    response.get_all(SET_COOKIE).iter().map(|header| header.to_str().unwrap()).collect()
}

/// The header for the id of sevens.
fn written(state: &CookieState, deadline: Option<Timestamp>) -> String {
    let mut response = HeaderMap::new();
    state.write(&id(7), deadline, Persistence::Configured, NOW, &mut response).unwrap();
    assert_eq!(response.len(), 1);
    set_cookies(&response).concat()
}

fn erased(state: &CookieState) -> String {
    let mut response = HeaderMap::new();
    state.erase(&mut response).unwrap();
    assert_eq!(response.len(), 1);
    set_cookies(&response).concat()
}

fn with_cookies<T: TryInto<HeaderValue, Error: std::fmt::Debug>>(
    headers: impl IntoIterator<Item = T>,
) -> HeaderMap {
    let mut request = HeaderMap::new();
    for header in headers {
        request.append(COOKIE, header.try_into().unwrap());
    }
    request
}

/// The ids of these `Cookie` headers, and how many were malformed.
fn read<T: TryInto<HeaderValue, Error: std::fmt::Debug>>(
    headers: impl IntoIterator<Item = T>,
) -> (Vec<SessionId>, usize) {
    let found = CookieState::default().read(&with_cookies(headers));
    (found.iter().copied().collect(), found.malformed())
}

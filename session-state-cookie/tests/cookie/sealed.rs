//! Sealed cookies, below the session layer.

use session_core::{Carrier, Outgoing, Parts, Record, Revision};
use session_state_cookie::{KeyRing, SealedCookie, SecretKey};

use super::*;

fn sealed_cookie() -> SealedCookie {
    let ring = KeyRing::new(SecretKey::generate().unwrap());
    CookieConfig::new().build_sealed(&ring).unwrap()
}

/// The request of a client that keeps this session.
fn request_with(cookie: &SealedCookie, record: &Record) -> HeaderMap {
    let mut response = HeaderMap::new();
    cookie.write(Outgoing::new(&id(7), record, NOW), Parts::default(), &mut response).unwrap();
    with_cookies(set_cookies(&response).iter().map(|header| header.split(';').next().unwrap()))
}

/// Base64 is decoded into one buffer, and the seal is opened in it.
#[test]
fn opening_holds_the_session_once() {
    let cookie = sealed_cookie();
    let record = Record::new(vec![b'x'; cookie.max_data_bytes()], None, Revision::random().unwrap());
    let request = request_with(&cookie, &record);
    let opening = allocation_counter::measure(|| {
        assert_eq!(cookie.open(&request).sessions, [(id(7), record.clone())]);
    });
    assert!(opening.bytes_total < 3_072 + 1_024, "{} bytes", opening.bytes_total);
}

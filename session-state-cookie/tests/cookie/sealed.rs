//! Sealed cookies, below the session layer.

use session_core::{Carrier, Outgoing, Parts, Record, Revision};
use session_state_cookie::{KeyRing, SealedCookie, SecretKey};

use super::*;

fn sealed_cookie() -> SealedCookie {
    let ring = KeyRing::new(SecretKey::generate().unwrap());
    CookieConfig::new().build_sealed(&ring).unwrap()
}

fn record(bytes: usize) -> Record {
    Record::new(vec![b'x'; bytes], None, Revision::random().unwrap())
}

/// The request of a client that keeps this session.
fn request_with(cookie: &SealedCookie, record: &Record) -> HeaderMap {
    let mut response = HeaderMap::new();
    cookie.write(Outgoing::new(&id(7), record, NOW), Parts::default(), &mut response).unwrap();
    with_cookies(set_cookies(&response).iter().map(|header| header.split(';').next().unwrap()))
}

/// The names of the cookies that an answer to this request deletes, if it writes a small session and if it erases it.
fn deleted(cookie: &SealedCookie, request: &HeaderMap) -> [Vec<String>; 2] {
    let parts = cookie.open(request).parts;
    let (mut written, mut erased) = (HeaderMap::new(), HeaderMap::new());
    cookie.write(Outgoing::new(&id(7), &record(10), NOW), parts, &mut written).unwrap();
    cookie.erase(parts, &mut erased).unwrap();
    [written, erased].map(|response| {
        let gone = set_cookies(&response).into_iter().filter(|header| header.ends_with(GONE));
        gone.map(|header| header.split('=').next().unwrap().to_owned()).collect()
    })
}

#[test]
fn cookies_of_the_application_are_not_deleted() {
    let cookie = sealed_cookie();
    let (first, second) = ("__Host-session".to_owned(), "__Host-session.1".to_owned());
    for bytes in [None, Some(10)] {
        let mut request = bytes.map_or_else(HeaderMap::new, |bytes| request_with(&cookie, &record(bytes)));
        request.append(COOKIE, "__Host-session.1=the application's".parse().unwrap());
        assert_eq!(deleted(&cookie, &request), [vec![], vec![first.clone()]]);
        let several = cookie.clone().max_cookies(2);
        let both = vec![first.clone(), second.clone()];
        assert_eq!(deleted(&several, &request), [vec![second.clone()], both], "the name is reserved");
    }
    let larger = request_with(&cookie.clone().max_cookies(4), &record(10_000));
    let further: Vec<_> = (1..4).map(|at| format!("__Host-session.{at}")).collect();
    let all = [&[first][..], &further].concat();
    assert_eq!(deleted(&cookie, &larger), [further, all], "a session of an earlier configuration");
}

/// Base64 is decoded into one buffer, and the seal is opened in it.
#[test]
fn opening_holds_the_session_once() {
    let cookie = sealed_cookie();
    let record = record(cookie.max_data_bytes());
    let request = request_with(&cookie, &record);
    let opening = allocation_counter::measure(|| {
        assert_eq!(cookie.open(&request).sessions, [(id(7), record.clone())]);
    });
    assert!(opening.bytes_total < 3_072 + 1_024, "{} bytes", opening.bytes_total);
}

#[test]
fn cookie_of_the_name_is_sent_whether_or_not_it_opens() {
    let cookie = sealed_cookie();
    for (header, sent) in [
        ("a=b; __Host-session=1AAAA", true),
        ("__Host-session=", true),
        ("__Host-session.1=AAAA; __Host-sessions=a", false),
        ("", false),
    ] {
        assert_eq!(cookie.is_sent(&with_cookies([header])), sent, "{header}");
    }
    assert!(!cookie.is_sent(&HeaderMap::new()));
}

#[test]
fn erasing_others_deletes_each_further_cookie_in_each_scope() {
    let ring = KeyRing::new(SecretKey::generate().unwrap());
    let former = CookieConfig::new().name("sid").secure(false);
    let config = CookieConfig::new().domain("example.org").path("/shop").former(former);
    let cookie = config.build_sealed(&ring).unwrap().max_cookies(2);
    let mut response = HeaderMap::new();
    cookie.erase_others(Parts::default(), &mut response).unwrap();
    let mut expected = Vec::new();
    for end in ["", ".1"] {
        for scope in ["/shop", "/; Domain=example.org", "/"] {
            expected
                .push(format!("__Secure-session{end}=; Path={scope}; Secure; HttpOnly; SameSite=Lax{GONE}"));
        }
        expected.push(format!("sid{end}=; Path=/; HttpOnly; SameSite=Lax{GONE}"));
    }
    assert_eq!(set_cookies(&response), expected);
    let mut response = HeaderMap::new();
    sealed_cookie().max_cookies(4).erase_others(Parts::default(), &mut response).unwrap();
    assert!(response.is_empty(), "the default cookie has one scope");
}

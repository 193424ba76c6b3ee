//! The response headers after writing and erasing.

use http::header::CACHE_CONTROL;
use session_core::StoreErrorKind;

use super::*;

#[test]
fn other_headers_are_unchanged() {
    let state = CookieState::default();
    let others = [
        "theme=dark".to_owned(),
        format!("__Host-session={SEVENS}; Path=/other"),
        format!("__Host-session={SEVENS}; Domain=example.org; Path=/"),
        format!("__Host-session={SEVENS}; Path=/; Partitioned"),
        format!("__Host-session={SEVENS}"),
        format!("__host-session={SEVENS}; Path=/"),
        "__Host-session; Path=/".to_owned(),
        "=; ; =;;".to_owned(),
        String::new(),
    ];
    let mut response = HeaderMap::new();
    response.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    for other in &others {
        response.append(SET_COOKIE, other.try_into().unwrap());
    }
    response.append(SET_COOKIE, HeaderValue::from_bytes(b"\xff=\xff; Path=/\xff").unwrap());

    let cookies = |response: &HeaderMap| -> Vec<_> { response.get_all(SET_COOKIE).iter().cloned().collect() };
    let before = cookies(&response);
    for round in 0..2 {
        state.write(&id(round), None, Persistence::Configured, NOW, &mut response).unwrap();
        let mut expected = before.clone();
        expected.push(format!("__Host-session={}{DEFAULTS}", text(round)).try_into().unwrap());
        assert_eq!(cookies(&response), expected);
        assert_eq!(response[CACHE_CONTROL], "private");
    }
}

#[test]
fn a_later_call_replaces_the_header() {
    let state = CookieConfig::new().domain("example.org").path("/shop").build().unwrap();
    let attributes = "; Path=/shop; Domain=example.org; Secure; HttpOnly; SameSite=Lax";
    let mut response = HeaderMap::new();
    for by_hand in [
        "__Secure-session=a; path=/shop; domain=.EXAMPLE.org",
        "b=c",
        "__Secure-session=d; Path=/; Domain=example.org; Path=/shop",
    ] {
        response.append(SET_COOKIE, HeaderValue::from_static(by_hand));
    }
    state.write(&id(1), None, Persistence::Configured, NOW, &mut response).unwrap();
    let line = format!("__Secure-session={}{attributes}", text(1));
    assert_eq!(set_cookies(&response), ["b=c", line.as_str()]);
    state.erase(&mut response).unwrap();
    let gone = format!("__Secure-session={attributes}{GONE}");
    assert_eq!(set_cookies(&response), ["b=c", gone.as_str()]);
    state.write(&id(1), None, Persistence::Configured, NOW, &mut response).unwrap();
    assert_eq!(set_cookies(&response), ["b=c", line.as_str()]);
}

/// Adds headers until the map is full.
fn fill(response: &mut HeaderMap) {
    let mut names = (0..).map(|n| http::HeaderName::try_from(format!("x-{n}")).unwrap());
    while response.try_insert(names.next().unwrap(), HeaderValue::from_static("")).is_ok() {}
}

#[test]
fn a_full_header_map_is_an_error() {
    let mut response = HeaderMap::new();
    fill(&mut response);
    let full = response.clone();
    let state = CookieState::default();
    for result in
        [state.write(&id(1), None, Persistence::Configured, NOW, &mut response), state.erase(&mut response)]
    {
        assert_eq!(result.unwrap_err().kind(), StoreErrorKind::TooLarge);
        assert_eq!(response, full);
    }
}

#[test]
fn replacing_works_in_a_full_header_map() {
    let state = CookieState::default();
    let mut response = HeaderMap::new();
    response.append(SET_COOKIE, HeaderValue::from_static("a=b"));
    state.write(&id(1), None, Persistence::Configured, NOW, &mut response).unwrap();
    response.append(SET_COOKIE, HeaderValue::from_static("c=d"));
    fill(&mut response);
    let before = response.len();
    state.erase(&mut response).unwrap();
    assert_eq!(set_cookies(&response), ["a=b", "c=d", &format!("__Host-session={DEFAULTS}{GONE}")]);
    assert_eq!(response.len(), before);
}

#[test]
fn debug_hides_the_id() {
    let state = CookieState::default();
    let mut response = HeaderMap::new();
    state.write(&id(7), None, Persistence::Configured, NOW, &mut response).unwrap();
    assert!(response[SET_COOKIE].is_sensitive());
    assert!(!format!("{response:?} {state:?}").contains(SEVENS));
}

//! What stands in the headers, byte for byte.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use cookie::Cookie;
use http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use session_core::{DurationError, Error, ErrorKind, SessionId, State, Timestamp};
use session_state_cookie::{ConfigError, CookieConfig, CookieState, Lifetime, SameSite};

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
    state.write(&id(7), deadline, NOW, &mut response).unwrap();
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

#[test]
fn the_defaults_are_what_owasp_wants() {
    let state = CookieState::default();
    assert_eq!(written(&state, in_seconds(60)), format!("__Host-session={SEVENS}{DEFAULTS}"));
    assert_eq!(erased(&state), format!("__Host-session={DEFAULTS}{GONE}"));
    assert!(!state.follows_deadline());
    assert_eq!(state.varies_on(), COOKIE);
}

#[test]
fn each_setting_has_its_attribute_and_the_deletion_repeats_it() {
    let new = CookieConfig::new;
    let cases = [
        (new().name("sid"), "sid", "; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (
            new().domain("example.org"),
            "__Secure-session",
            "; Path=/; Domain=example.org; Secure; HttpOnly; SameSite=Lax",
        ),
        (
            new().domain(".Example.ORG"),
            "__Secure-session",
            "; Path=/; Domain=example.org; Secure; HttpOnly; SameSite=Lax",
        ),
        (new().path("/shop"), "__Secure-session", "; Path=/shop; Secure; HttpOnly; SameSite=Lax"),
        (new().path("/"), "__Host-session", "; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (new().name("sid").secure(false), "sid", "; Path=/; HttpOnly; SameSite=Lax"),
        (new().http_only(false), "__Host-session", "; Path=/; Secure; SameSite=Lax"),
        (new().same_site(SameSite::Strict), "__Host-session", "; Path=/; Secure; HttpOnly; SameSite=Strict"),
        (new().same_site(SameSite::None), "__Host-session", "; Path=/; Secure; HttpOnly; SameSite=None"),
        (
            new().same_site(SameSite::None).partitioned(true),
            "__Host-session",
            "; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
        ),
        (
            CookieConfig::development(([127, 0, 0, 1], 3000).into()),
            "session",
            "; Path=/; HttpOnly; SameSite=Lax",
        ),
        (
            CookieConfig::development(([127, 0, 0, 1], 3000).into()).path("/app"),
            "session",
            "; Path=/app; HttpOnly; SameSite=Lax",
        ),
    ];
    for (config, name, attributes) in cases {
        let state = config.build().unwrap();
        assert_eq!(state.name(), name);
        assert_eq!(written(&state, None), format!("{name}={SEVENS}{attributes}"));
        assert_eq!(erased(&state), format!("{name}={attributes}{GONE}"));
    }
}

#[test]
fn same_site_is_read_in_any_case_and_other_text_is_an_error() {
    for (text, same_site) in [("Lax", SameSite::Lax), ("strict", SameSite::Strict), ("NONE", SameSite::None)]
    {
        assert_eq!(text.parse(), Ok(same_site));
        assert!(
            written(&CookieConfig::new().same_site(same_site).build().unwrap(), None)
                .ends_with(&format!("; SameSite={}", same_site.as_str()))
        );
    }
    for text in ["", "Lax ", "laxer", "1", "Ｌax"] {
        assert_eq!(text.parse::<SameSite>(), Err(ConfigError::UnknownSameSite), "{text:?}");
    }
}

#[test]
fn a_fixed_lifetime_counts_from_now_and_not_from_the_deadline() {
    for (text, max_age, expires) in [
        ("42", 42, "Sun, 06 Nov 1994 08:50:19 GMT"),
        ("+36h", 129_600, "Mon, 07 Nov 1994 20:49:37 GMT"),
        ("2 hours", 7_200, "Sun, 06 Nov 1994 10:49:37 GMT"),
        ("400 days", 34_560_000, "Mon, 11 Dec 1995 08:49:37 GMT"),
    ] {
        let config = CookieConfig::new().lifetime(text.parse().unwrap());
        let state = config.clone().build().unwrap();
        assert!(state.follows_deadline());
        let line = format!("__Host-session={SEVENS}{DEFAULTS}; Max-Age={max_age}");
        assert_eq!(written(&state, None), line);
        assert_eq!(written(&state, in_seconds(9)), line);
        let state = config.expires(true).build().unwrap();
        assert_eq!(written(&state, None), format!("{line}; Expires={expires}"));
        assert_eq!(erased(&state), format!("__Host-session={DEFAULTS}{GONE}"));
    }
}

#[test]
fn the_cookie_follows_the_session_and_is_rounded_up_to_the_second() {
    let config = CookieConfig::new().lifetime(Lifetime::FollowSession);
    let state = config.clone().build().unwrap();
    assert!(state.follows_deadline());
    let line = format!("__Host-session={SEVENS}{DEFAULTS}");
    for (millis, max_age) in [(1, 1), (999, 1), (1_000, 1), (1_001, 2), (7_200_000, 7_200)] {
        let deadline = Some(NOW.saturating_add(Duration::from_millis(millis)));
        assert_eq!(written(&state, deadline), format!("{line}; Max-Age={max_age}"), "{millis} ms");
    }
    // Longer than any browser keeps a cookie.
    for deadline in [None, in_seconds(34_560_001), Some(Timestamp::from_millis(u64::MAX))] {
        assert_eq!(written(&state, deadline), format!("{line}; Max-Age=34560000"));
    }
    let state = config.expires(true).build().unwrap();
    let deadline = Some(NOW.saturating_add(Duration::from_millis(1_500)));
    assert_eq!(
        written(&state, deadline),
        format!("{line}; Max-Age=2; Expires=Sun, 06 Nov 1994 08:49:39 GMT")
    );
}

#[test]
fn what_has_expired_already_is_deleted_and_its_id_is_not_told() {
    let state = CookieConfig::new().lifetime(Lifetime::FollowSession).build().unwrap();
    for deadline in [NOW, NOW.saturating_sub(Duration::from_secs(1)), Timestamp::EPOCH] {
        assert_eq!(written(&state, Some(deadline)), format!("__Host-session={DEFAULTS}{GONE}"));
    }
}

#[test]
fn a_clock_beyond_the_calendar_is_written_as_its_last_second() {
    let config = CookieConfig::new().lifetime(Lifetime::FollowSession).expires(true);
    for config in [config.clone(), config.lifetime(Lifetime::Fixed(Duration::from_secs(1)))] {
        let mut response = HeaderMap::new();
        let last = Timestamp::from_millis(u64::MAX);
        config.build().unwrap().write(&id(7), None, last, &mut response).unwrap();
        assert!(set_cookies(&response).concat().ends_with("; Expires=Fri, 31 Dec 9999 23:59:59 GMT"));
    }
}

#[test]
fn what_browsers_refuse_is_refused_when_it_is_built() {
    let new = CookieConfig::new;
    let needs = |prefix, needs| ConfigError::PrefixNeeds { prefix, needs };
    let address = |text: &str| text.parse().unwrap();
    let cases = [
        (
            new().name("sid").secure(false).same_site(SameSite::None),
            ConfigError::NeedsSecure { setting: "SameSite=None" },
        ),
        (
            new().name("sid").secure(false).partitioned(true),
            ConfigError::NeedsSecure { setting: "Partitioned" },
        ),
        (new().secure(false), needs("__Host-", "Secure")),
        (new().secure(false).domain("example.org"), needs("__Secure-", "Secure")),
        (new().name("__Host-sid").domain("example.org"), needs("__Host-", "no Domain")),
        (new().name("__Host-sid").path("/shop"), needs("__Host-", "Path=/")),
        (new().name("__hOST-sid").path("/shop"), needs("__Host-", "Path=/")),
        (new().name("__secure-sid").secure(false), needs("__Secure-", "Secure")),
        (new().name("__Http-sid").http_only(false), needs("__Http-", "HttpOnly")),
        (new().name("__Http-sid").secure(false), needs("__Http-", "Secure")),
        (new().name("__Host-Http-sid").http_only(false), needs("__Host-Http-", "HttpOnly")),
        (new().name("__host-http-sid").path("/a"), needs("__Host-Http-", "Path=/")),
        (new().name("__HostHttp-sid").domain("a.b"), needs("__HostHttp-", "no Domain")),
        (new().lifetime(Lifetime::Fixed(Duration::ZERO)), ConfigError::LifetimeTooShort),
        (new().lifetime(Lifetime::Fixed(Duration::from_millis(999))), ConfigError::LifetimeTooShort),
        (
            new().lifetime(Lifetime::Fixed(Lifetime::MAX + Duration::from_nanos(1))),
            ConfigError::LifetimeTooLong,
        ),
        (new().lifetime(Lifetime::Fixed(Duration::MAX)), ConfigError::LifetimeTooLong),
        (
            new().path(format!("/{}", "a".repeat(1_024))),
            ConfigError::AttributeTooLong { attribute: "Path", len: 1_025 },
        ),
    ];
    for (config, error) in cases {
        assert_eq!(config.clone().build().unwrap_err(), error, "{config:?}");
    }
    for name in
        ["", " sid", "s id", "sid=", "sid;", "s,id", "\"sid\"", "sïd", "sid\n", "s/d", "(sid)", "s\0d"]
    {
        assert_eq!(new().name(name).build().unwrap_err(), ConfigError::InvalidName, "{name:?}");
    }
    for path in ["", "shop", " /", "/a;b", "/a; Domain=b", "/a\r\nX: y", "/ä", "/a ", "/\0", "/\t", "/\x7f"]
    {
        assert_eq!(new().path(path).build().unwrap_err(), ConfigError::InvalidPath, "{path:?}");
    }
    let long_label = format!("{}.org", "a".repeat(64));
    let long = format!("a{}.org", ["a"; 125].join("."));
    for domain in [
        "",
        ".",
        "..a",
        "a..b",
        "example.org.",
        "-a.org",
        "a-.org",
        "exämple.org",
        "a b",
        "a;b",
        "a:80",
        "[::1]",
        "*.org",
        "a_b.org",
        "a\n",
        &long_label,
        &long,
    ] {
        assert_eq!(new().domain(domain).build().unwrap_err(), ConfigError::InvalidDomain, "{domain:?}");
    }
    for listen in ["0.0.0.0:80", "192.168.1.2:3000", "[::]:3000", "[2001:db8::1]:80", "[::ffff:10.0.0.1]:80"]
    {
        assert_eq!(
            CookieConfig::development(address(listen)).build().unwrap_err(),
            ConfigError::NotLoopback(address(listen))
        );
    }
    for listen in ["127.0.0.1:0", "127.9.8.7:3000", "[::1]:3000", "[::ffff:127.0.0.1]:3000"] {
        assert!(CookieConfig::development(address(listen)).build().is_ok(), "{listen}");
    }
    for (text, error) in [
        ("0", DurationError::Zero),
        ("-1", DurationError::NoNumber),
        ("1 month", DurationError::NoFixedLength),
        ("soon", DurationError::NoNumber),
    ] {
        assert_eq!(text.parse::<Lifetime>(), Err(ConfigError::Duration(error)), "{text}");
    }
}

#[test]
fn what_is_just_allowed_is_allowed() {
    let new = CookieConfig::new;
    for config in [
        new().name("!#$%&'*+-.^_`|~09azAZ"),
        new().name("__Host").secure(false),
        new().name("x__Host-sid").secure(false),
        new().name("__Host-Http-sid"),
        new().name("__Secure-sid").domain("a.b").path("/c"),
        new().path(format!("/{}", "a".repeat(1_023))),
        new().path("/a b/~%3B,=\"c\""),
        new().domain("xn--exmple-cua.org"),
        new().domain(format!("{}.org", ["a"; 125].join("."))),
        new().lifetime(Lifetime::Fixed(Duration::from_secs(1))),
        new().lifetime(Lifetime::Fixed(Lifetime::MAX)),
    ] {
        assert!(config.clone().build().is_ok(), "{config:?}");
    }
}

#[test]
fn name_and_value_of_exactly_4096_bytes_pass_and_one_more_does_not() {
    let name = "n".repeat(4_096 - SessionId::CHARS);
    let state = CookieConfig::new().name(&name).build().unwrap();
    assert_eq!(written(&state, None), format!("{name}={SEVENS}{DEFAULTS}"));
    let mut request = HeaderMap::new();
    request.insert(COOKIE, format!("{name}={SEVENS}").try_into().unwrap());
    assert!(state.read(&request).iter().eq([&id(7)]));

    let error = CookieConfig::new().name(format!("{name}n")).build().unwrap_err();
    assert_eq!(error, ConfigError::TooLarge { len: 4_097 });
}

#[test]
fn a_configuration_error_is_misconfigured_with_its_reason() {
    let error = Error::from(CookieConfig::new().secure(false).build().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "a cookie whose name begins with __Host- needs Secure"
    );
}

#[test]
fn ids_are_found_in_every_header_in_their_order_and_once() {
    let (one, two, three, four, five) = (text(1), text(2), text(3), text(4), text(5));
    let name = "__Host-session";
    assert_eq!(read::<&str>([]), (vec![], 0));
    assert_eq!(read([format!("{name}={one}")]), (vec![id(1)], 0));
    assert_eq!(read([format!("a=b; {name}={one}; c=d")]), (vec![id(1)], 0));
    assert_eq!(read([format!("a=b;\t  {name}={one};c;;=;")]), (vec![id(1)], 0));
    assert_eq!(read([format!("{name}={two}; {name}={one}; {name}={two}")]), (vec![id(2), id(1)], 0));
    assert_eq!(
        read([
            format!("{name}={five}"),
            format!("a=b; {name}={three}; {name}=; {name}={one}"),
            format!("{name}={two}; {name}={four}; {name}=x"),
        ]),
        (vec![id(5), id(3), id(1), id(2)], 2)
    );
}

#[test]
fn only_the_very_name_counts() {
    let id = text(1);
    for other in [
        format!("__host-session={id}"),
        format!("session={id}"),
        format!("x__Host-session={id}"),
        format!("__Host-sessions={id}"),
        format!("__Host-session ={id}"),
        format!("a={id}; b=__Host-session={id}"),
        format!("=__Host-session={id}"),
        format!("\"__Host-session={id}"),
        format!("a=b, __Host-session={id}"),
        format!("\u{a0}__Host-session={id}"),
        format!("\u{2028}__Host-session={id}"),
        "__Host-session".to_owned(),
        String::new(),
    ] {
        assert_eq!(read([other.as_bytes()]), (vec![], 0), "{other:?}");
    }
}

#[test]
fn what_is_no_id_is_counted_and_never_trimmed_or_unquoted() {
    let id = text(1);
    for bad in [
        String::new(),
        "x".to_owned(),
        format!("\"{id}\""),
        format!(" {id}"),
        format!("{id} "),
        format!("{id}\t"),
        format!("{id}="),
        format!("{}+", &id[1..]),
        format!("{id}{id}"),
        format!("={id}"),
        format!("{}%3D", &id[3..]),
        "é".repeat(16),
        "A".repeat(100_000),
    ] {
        // The pair after it ends the value: the end of a header would be trimmed by HTTP itself.
        let header = format!("__Host-session={bad}; a=b");
        assert_eq!(read([header.as_bytes()]), (vec![], 1), "{bad:?}");
    }
    assert_eq!(read([&b"__Host-session=\xff\xfe\x80; \xff=\xff"[..]]), (vec![], 1));
    let header = [&b"\xff=\xc3\x28; __Host-session="[..], id.as_bytes()].concat();
    assert_eq!(read([&header[..]]).0.len(), 1);
}

#[test]
fn other_headers_stay_as_they_are() {
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
        state.write(&id(round), None, NOW, &mut response).unwrap();
        let mut expected = before.clone();
        expected.push(format!("__Host-session={}{DEFAULTS}", text(round)).try_into().unwrap());
        assert_eq!(cookies(&response), expected);
        assert_eq!(response[CACHE_CONTROL], "private");
    }
}

#[test]
fn a_response_has_one_header_for_the_cookie_and_the_last_call_decides() {
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
    state.write(&id(1), None, NOW, &mut response).unwrap();
    let line = format!("__Secure-session={}{attributes}", text(1));
    assert_eq!(set_cookies(&response), ["b=c", line.as_str()]);
    state.erase(&mut response).unwrap();
    let gone = format!("__Secure-session={attributes}{GONE}");
    assert_eq!(set_cookies(&response), ["b=c", gone.as_str()]);
    state.write(&id(1), None, NOW, &mut response).unwrap();
    assert_eq!(set_cookies(&response), ["b=c", line.as_str()]);
}

/// Adds headers until no more fit.
fn fill(response: &mut HeaderMap) {
    let mut names = (0..).map(|n| http::HeaderName::try_from(format!("x-{n}")).unwrap());
    while response.try_insert(names.next().unwrap(), HeaderValue::from_static("")).is_ok() {}
}

#[test]
fn a_response_that_can_take_no_more_headers_is_an_error_and_stays_as_it_is() {
    let mut response = HeaderMap::new();
    fill(&mut response);
    let full = response.clone();
    let state = CookieState::default();
    for result in [state.write(&id(1), None, NOW, &mut response), state.erase(&mut response)] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(response, full);
    }
}

#[test]
fn replacing_needs_no_room_and_loses_nothing() {
    let state = CookieState::default();
    let mut response = HeaderMap::new();
    response.append(SET_COOKIE, HeaderValue::from_static("a=b"));
    state.write(&id(1), None, NOW, &mut response).unwrap();
    response.append(SET_COOKIE, HeaderValue::from_static("c=d"));
    fill(&mut response);
    let before = response.len();
    state.erase(&mut response).unwrap();
    assert_eq!(set_cookies(&response), ["a=b", "c=d", &format!("__Host-session={DEFAULTS}{GONE}")]);
    assert_eq!(response.len(), before);
}

#[test]
fn the_id_is_not_shown_by_debug() {
    let state = CookieState::default();
    let mut response = HeaderMap::new();
    state.write(&id(7), None, NOW, &mut response).unwrap();
    assert!(response[SET_COOKIE].is_sensitive());
    assert!(!format!("{response:?} {state:?}").contains(SEVENS));
}

#[test]
fn reading_allocates_nothing_and_writing_once() {
    let state = CookieConfig::new().lifetime(Lifetime::FollowSession).expires(true).build().unwrap();
    let request = with_cookies([
        format!("a=b; __Host-session={}; __Host-session=x", text(1)),
        format!("c=d; __Host-session={}", text(2)),
    ]);
    let reading = allocation_counter::measure(|| {
        assert_eq!(state.read(&request).iter().count(), 2);
    });
    assert_eq!(reading.count_total, 0);

    let mut response = HeaderMap::with_capacity(4);
    let writing = allocation_counter::measure(|| {
        state.write(&id(7), in_seconds(7_200), NOW, &mut response).unwrap();
    });
    assert_eq!(writing.count_total, 1);
    assert_eq!(set_cookies(&response).concat().len() as u64, writing.bytes_total);
}

/// What is in cookies, in good order and in bad.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"__Host-session=".to_vec()),
        Just(b"__Host-session".to_vec()),
        Just(b"; ".to_vec()),
        prop::sample::select(b";= \t\",".to_vec()).prop_map(|byte| vec![byte]),
        (0..6_u8).prop_map(|n| text(n).into_bytes()),
        prop::collection::vec(
            any::<u8>().prop_filter("HTTP forbids it", |byte| *byte > 31 && *byte != 127),
            0..40
        ),
    ]
}

proptest! {
    #[test]
    fn no_header_panics_and_what_is_read_is_what_an_independent_reading_finds(
        headers in prop::collection::vec(prop::collection::vec(piece(), 0..24), 0..4)
    ) {
        let headers: Vec<Vec<u8>> = headers.into_iter().map(|pieces| pieces.concat()).collect();
        let mut request = HeaderMap::new();
        let (mut ids, mut malformed) = (Vec::new(), 0);
        for header in &headers {
            request.append(COOKIE, HeaderValue::from_bytes(header).unwrap());
            for pair in header.split(|byte| *byte == b';') {
                let start = pair.iter().position(|byte| *byte != b' ' && *byte != b'\t').unwrap_or(pair.len());
                let mut sides = pair[start..].splitn(2, |byte| *byte == b'=');
                if sides.next() != Some(b"__Host-session") {
                    continue;
                }
                let Some(value) = sides.next() else { continue };
                match SessionId::parse(value) {
                    Some(id) if ids.contains(&id) => {}
                    Some(id) => ids.push(id),
                    None => malformed += 1,
                }
            }
        }
        ids.truncate(4);
        let found = CookieState::default().read(&request);
        prop_assert!(found.iter().eq(&ids));
        prop_assert_eq!(found.malformed(), malformed);
        for id in found.iter() {
            let literally = format!("__Host-session={}", id.reveal().as_str()).into_bytes();
            prop_assert!(headers.iter().any(|header| header.windows(literally.len()).any(|at| at == literally)));
        }
    }

    #[test]
    fn no_set_cookie_of_others_panics_or_gets_lost(
        others in prop::collection::vec(prop::collection::vec(piece(), 0..12), 0..4)
    ) {
        let mut response = HeaderMap::new();
        for other in others {
            // A path of its own makes it a cookie of its own.
            let other = [other.concat(), b"; Path=/elsewhere".to_vec()].concat();
            response.append(SET_COOKIE, HeaderValue::from_bytes(&other).unwrap());
        }
        let before: Vec<_> = response.get_all(SET_COOKIE).iter().cloned().collect();
        let state = CookieState::default();
        state.erase(&mut response).unwrap();
        state.write(&id(7), None, NOW, &mut response).unwrap();
        let after: Vec<_> = response.get_all(SET_COOKIE).iter().cloned().collect();
        prop_assert_eq!(&after[..after.len() - 1], &before[..]);
        prop_assert_eq!(after.last().unwrap(), &format!("__Host-session={SEVENS}{DEFAULTS}"));
    }

    #[test]
    fn what_is_written_is_what_another_parser_reads(
        name in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}",
        path in "/[a-z0-9/%,=~]{0,20}",
        domain in prop::option::of("[a-z0-9]{1,8}(\\.[a-z0-9]{1,8}){0,3}"),
        bytes in any::<[u8; 24]>(),
        (secure, http_only, partitioned, expires) in any::<(bool, bool, bool, bool)>(),
        same_site in prop::sample::select(vec![SameSite::Strict, SameSite::Lax, SameSite::None]),
        lifetime in prop_oneof![
            Just(Lifetime::BrowserSession),
            Just(Lifetime::FollowSession),
            (1..=34_560_000_u64).prop_map(|seconds| Lifetime::Fixed(Duration::from_secs(seconds))),
        ],
        seconds in 1..=34_560_000_u64,
    ) {
        let mut config = CookieConfig::new().name(&name).path(&path).secure(secure).http_only(http_only);
        config = config.partitioned(partitioned).expires(expires).same_site(same_site).lifetime(lifetime);
        if let Some(domain) = &domain {
            config = config.domain(domain);
        }
        let Ok(state) = config.build() else {
            prop_assert!(!secure || name.starts_with("__"));
            return Ok(());
        };
        let id = SessionId::from_bytes(bytes);
        let value = id.reveal();
        let mut response = HeaderMap::new();
        state.write(&id, in_seconds(seconds), NOW, &mut response).unwrap();
        let line = response[SET_COOKIE].to_str().unwrap();
        let cookie = Cookie::parse(line).unwrap();
        prop_assert_eq!(cookie.name_value(), (name.as_str(), value.as_str()));
        prop_assert_eq!(cookie.path(), Some(path.as_str()));
        prop_assert_eq!(cookie.domain(), domain.as_deref());
        prop_assert_eq!(cookie.secure().unwrap_or(false), secure);
        prop_assert_eq!(cookie.http_only().unwrap_or(false), http_only);
        prop_assert_eq!(cookie.partitioned().unwrap_or(false), partitioned);
        prop_assert_eq!(cookie.same_site().unwrap().to_string(), same_site.as_str());
        let age = match lifetime {
            Lifetime::BrowserSession => None,
            Lifetime::FollowSession => Some(seconds),
            Lifetime::Fixed(time) => Some(time.as_secs()),
        };
        prop_assert_eq!(cookie.max_age().map(|age| age.whole_seconds().unsigned_abs()), age);
        let until = cookie.expires_datetime().map(|until| until.unix_timestamp().unsigned_abs());
        prop_assert_eq!(until, age.filter(|_| expires).map(|age| NOW.as_millis() / 1_000 + age));

        // And the browser's answer is read back.
        let (name, value) = cookie.name_value();
        let request = with_cookies([format!("{name}={value}")]);
        prop_assert!(state.read(&request).iter().eq([&id]));
    }
}

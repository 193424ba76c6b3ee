//! Random headers and settings.

use cookie::Cookie;
use proptest::prelude::*;

use super::*;

/// Parts of cookies, well-formed or not.
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
    fn reading_agrees_with_a_second_parser(
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
    fn other_set_cookie_headers_survive(
        others in prop::collection::vec(prop::collection::vec(piece(), 0..12), 0..4)
    ) {
        let mut response = HeaderMap::new();
        for other in others {
            // Another path makes it another cookie.
            let other = [other.concat(), b"; Path=/elsewhere".to_vec()].concat();
            response.append(SET_COOKIE, HeaderValue::from_bytes(&other).unwrap());
        }
        let before: Vec<_> = response.get_all(SET_COOKIE).iter().cloned().collect();
        let state = CookieState::default();
        state.erase(&mut response).unwrap();
        state.write(&id(7), None, Persistence::Configured, NOW, &mut response).unwrap();
        let after: Vec<_> = response.get_all(SET_COOKIE).iter().cloned().collect();
        prop_assert_eq!(&after[..after.len() - 1], &before[..]);
        prop_assert_eq!(after.last().unwrap(), &format!("__Host-session={SEVENS}{DEFAULTS}"));
    }

    #[test]
    fn the_cookie_crate_reads_what_we_write(
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
        state.write(&id, in_seconds(seconds), Persistence::Configured, NOW, &mut response).unwrap();
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

        // The state reads the browser's cookie.
        let (name, value) = cookie.name_value();
        let request = with_cookies([format!("{name}={value}")]);
        prop_assert!(state.read(&request).iter().eq([&id]));
    }
}

//! The attributes of each setting, and the settings that are rejected.

use session_core::{DurationError, StoreError, StoreErrorKind};
use session_state_cookie::ConfigError;

use super::*;

#[test]
fn deletion_repeats_the_attributes() {
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
            "session-3000",
            "; Path=/; HttpOnly; SameSite=Lax",
        ),
        (
            CookieConfig::development(([127, 0, 0, 1], 0).into()),
            "session",
            "; Path=/; HttpOnly; SameSite=Lax",
        ),
        (
            CookieConfig::development(([127, 0, 0, 1], 4000).into()).name("shop"),
            "shop",
            "; Path=/; HttpOnly; SameSite=Lax",
        ),
        (
            CookieConfig::development(([127, 0, 0, 1], 3001).into()).path("/app"),
            "session-3001",
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
fn same_site_parses_in_any_case() {
    for (text, same_site) in [("Lax", SameSite::Lax), ("strict", SameSite::Strict), ("NONE", SameSite::None)]
    {
        assert_eq!(text.parse(), Ok(same_site));
    }
    for text in ["", "Lax ", "laxer", "1", "Ｌax"] {
        assert_eq!(text.parse::<SameSite>(), Err(ConfigError::UnknownSameSite), "{text:?}");
    }
}

#[test]
fn build_rejects_what_browsers_reject() {
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
fn build_accepts_the_limits() {
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
fn name_and_value_may_have_4096_bytes() {
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
fn a_config_error_converts_to_misconfigured() {
    let error = StoreError::from(CookieConfig::new().secure(false).build().unwrap_err());
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "a cookie whose name begins with __Host- needs Secure"
    );
}

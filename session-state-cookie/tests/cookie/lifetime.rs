//! The lifetime of the cookie in the browser.

use super::*;

#[test]
fn the_defaults_follow_owasp() {
    let state = CookieState::default();
    assert_eq!(written(&state, in_seconds(60)), format!("__Host-session={SEVENS}{DEFAULTS}"));
    assert_eq!(erased(&state), format!("__Host-session={DEFAULTS}{GONE}"));
    assert!(!state.follows_deadline(Persistence::Configured));
    assert_eq!(state.varies_on(), COOKIE);
}

#[test]
fn a_fixed_lifetime_counts_from_now() {
    for (text, max_age, expires) in [
        ("42", 42, "Sun, 06 Nov 1994 08:50:19 GMT"),
        ("+36h", 129_600, "Mon, 07 Nov 1994 20:49:37 GMT"),
        ("2 hours", 7_200, "Sun, 06 Nov 1994 10:49:37 GMT"),
        ("400 days", 34_560_000, "Mon, 11 Dec 1995 08:49:37 GMT"),
    ] {
        let config = CookieConfig::new().lifetime(text.parse().unwrap());
        let state = config.clone().build().unwrap();
        assert!(state.follows_deadline(Persistence::Configured));
        let line = format!("__Host-session={SEVENS}{DEFAULTS}; Max-Age={max_age}");
        assert_eq!(written(&state, None), line);
        assert_eq!(written(&state, in_seconds(9)), line);
        let state = config.expires(true).build().unwrap();
        assert_eq!(written(&state, None), format!("{line}; Expires={expires}"));
        assert_eq!(erased(&state), format!("__Host-session={DEFAULTS}{GONE}"));
    }
}

#[test]
fn follow_session_rounds_up_to_the_second() {
    let config = CookieConfig::new().lifetime(Lifetime::FollowSession);
    let state = config.clone().build().unwrap();
    assert!(state.follows_deadline(Persistence::Configured));
    let line = format!("__Host-session={SEVENS}{DEFAULTS}");
    for (millis, max_age) in [(1, 1), (999, 1), (1_000, 1), (1_001, 2), (7_200_000, 7_200)] {
        let deadline = Some(NOW.saturating_add(Duration::from_millis(millis)));
        assert_eq!(written(&state, deadline), format!("{line}; Max-Age={max_age}"), "{millis} ms");
    }
    // Longer than browsers keep a cookie.
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
fn an_expired_session_erases_the_cookie() {
    let state = CookieConfig::new().lifetime(Lifetime::FollowSession).build().unwrap();
    for deadline in [NOW, NOW.saturating_sub(Duration::from_secs(1)), Timestamp::EPOCH] {
        assert_eq!(written(&state, Some(deadline)), format!("__Host-session={DEFAULTS}{GONE}"));
    }
}

#[test]
fn expires_ends_with_the_year_9999() {
    let config = CookieConfig::new().lifetime(Lifetime::FollowSession).expires(true);
    for config in [config.clone(), config.lifetime(Lifetime::Fixed(Duration::from_secs(1)))] {
        let mut response = HeaderMap::new();
        let last = Timestamp::from_millis(u64::MAX);
        config.build().unwrap().write(&id(7), None, Persistence::Configured, last, &mut response).unwrap();
        assert!(set_cookies(&response).concat().ends_with("; Expires=Fri, 31 Dec 9999 23:59:59 GMT"));
    }
}

#[test]
fn the_choice_of_a_session_replaces_the_configured_lifetime() {
    for lifetime in
        [Lifetime::BrowserSession, Lifetime::FollowSession, Lifetime::Fixed(Duration::from_secs(9))]
    {
        let state = CookieConfig::new().lifetime(lifetime).expires(true).build().unwrap();
        let line = |persistence, deadline| {
            let mut response = HeaderMap::new();
            state.write(&id(7), deadline, persistence, NOW, &mut response).unwrap();
            set_cookies(&response).concat()
        };
        let line_of_sevens = format!("__Host-session={SEVENS}{DEFAULTS}");
        assert_eq!(line(Persistence::Browser, in_seconds(60)), line_of_sevens);
        let kept = format!("{line_of_sevens}; Max-Age=60; Expires=Sun, 06 Nov 1994 08:50:37 GMT");
        assert_eq!(line(Persistence::Session, in_seconds(60)), kept);
        assert!(line(Persistence::Session, in_seconds(60_000_000)).contains("; Max-Age=34560000;"));
        assert_eq!(line(Persistence::Session, in_seconds(0)), format!("__Host-session={DEFAULTS}{GONE}"));
        assert!(
            !state.follows_deadline(Persistence::Browser) && state.follows_deadline(Persistence::Session)
        );
    }
}

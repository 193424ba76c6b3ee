//! Schemes whose feature is off. With every feature, this program is empty.
#![cfg(not(all(
    feature = "file",
    feature = "memory",
    feature = "mmap",
    feature = "postgres-tls",
    feature = "redis-cluster",
    feature = "redis-tls",
    feature = "sled",
    feature = "sqlite"
)))]
#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use session_kit::{OpenErrorKind, StoreUrl};

#[test]
fn scheme_without_its_feature_names_the_feature() {
    let on = |feature| match feature {
        "file" => cfg!(feature = "file"),
        "memory" => cfg!(feature = "memory"),
        "mmap" => cfg!(feature = "mmap"),
        "postgres" => cfg!(feature = "postgres"),
        "redis" => cfg!(feature = "redis"),
        "redis-cluster" => cfg!(feature = "redis-cluster"),
        "redis-tls" => cfg!(feature = "redis-tls"),
        "sled" => cfg!(feature = "sled"),
        _ => cfg!(feature = "sqlite"),
    };
    let mut off = 0;
    for (url, features) in [
        ("memory:", &["memory"][..]),
        ("file:sessions", &["file"]),
        ("mmap:sessions.map", &["mmap"]),
        ("sqlite:sessions.db", &["sqlite"]),
        ("postgres://app@127.0.0.1/app", &["postgres"]),
        ("redis://127.0.0.1", &["redis"]),
        ("redis+unix:///run/redis.sock", &["redis"]),
        ("rediss://127.0.0.1", &["redis-tls"]),
        ("redis-cluster://127.0.0.1", &["redis-cluster"]),
        ("rediss-cluster://127.0.0.1", &["redis-cluster", "redis-tls"]),
        ("sled:sessions", &["sled"]),
    ] {
        let parsed = url.parse::<StoreUrl>();
        let missing: Vec<_> = features.iter().filter(|feature| !on(**feature)).collect();
        if missing.is_empty() {
            assert!(parsed.is_ok(), "{url}: {parsed:?}");
            continue;
        }
        off += 1;
        let error = parsed.unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::MissingFeature);
        let scheme = url.split(':').next().unwrap();
        let expected = match missing[..] {
            [one] => format!("scheme `{scheme}` needs the feature `{one}` of session-kit"),
            _ => format!(
                "scheme `{scheme}` needs the features `{}` and `{}` of session-kit",
                missing[0], missing[1]
            ),
        };
        assert_eq!(error.to_string(), expected);
    }
    assert!(off > 0);
}

#[test]
fn tls_of_postgres_without_its_feature_names_the_feature() {
    let url = |options: &str| format!("postgres://app@127.0.0.1/app?{options}").parse::<StoreUrl>();
    if cfg!(not(feature = "postgres")) {
        return;
    }
    for fine in ["sslmode=disable", "sslmode=prefer"] {
        assert!(url(fine).is_ok(), "{fine}");
    }
    for (option, shown) in [
        ("sslmode=require", "sslmode=require"),
        ("sslmode=verify-ca", "sslmode=verify-ca"),
        ("sslmode=verify-full", "sslmode=verify-full"),
        ("sslrootcert=ca.pem", "sslrootcert"),
        ("sslcert=a.pem&sslkey=b.pem", "sslcert"),
    ] {
        let parsed = url(option);
        if cfg!(feature = "postgres-tls") {
            assert!(parsed.is_ok(), "{option}");
            continue;
        }
        let error = parsed.unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::MissingFeature);
        assert_eq!(
            error.to_string(),
            format!("option `{shown}` needs the feature `postgres-tls` of session-kit")
        );
    }
}

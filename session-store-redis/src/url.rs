//! The URLs of servers. The redis crate parses them; the checks here come first, because it ignores unknown options and
//! takes a part of a password for a host.

use redis::{ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult};

const ENCODE: &str = "in a user name or password write `%40` for `@`, `%2F` for `/`, `%3F` for `?`, `%23` for `#` and \
                      `%25` for `%`, or use RedisConfig::password";

/// Reads a URL. `password` replaces the URL's. Errors contain no part of the URL except the name of an option.
pub(crate) fn parse(url: &str, password: Option<&str>) -> RedisResult<ConnectionInfo> {
    check(url).map_err(|hint| RedisError::from((ErrorKind::InvalidClientConfig, "malformed URL", hint)))?;
    let node = url.into_connection_info()?;
    Ok(match password {
        Some(password) => {
            let settings = node.redis_settings().clone().set_password(password);
            node.set_redis_settings(settings)
        }
        None => node,
    })
}

fn check(url: &str) -> Result<(), String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err("a URL begins with `redis://`".into());
    };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let is_socket = scheme.ends_with("unix");
    if !is_socket && rest.contains('@') {
        return Err(format!("`@` stands after the host; {ENCODE}"));
    }
    let is_encoded = |part: &str| {
        part.as_bytes().first_chunk::<2>().is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    };
    if !url.split('%').skip(1).all(is_encoded) {
        return Err(format!("`%` stands without two hexadecimal digits; {ENCODE}"));
    }
    if let Some((_, port)) = host(authority).rsplit_once(':')
        && port.parse::<u16>().is_err()
    {
        return Err(format!("the port is not a number; {ENCODE}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    if !["", "insecure"].contains(&fragment) {
        return Err(format!("`#` stands after the host; {ENCODE}"));
    }
    let options = rest.split_once('?').map_or("", |(_, options)| options).split('&');
    let names = options.map(|pair| pair.split('=').next().unwrap_or_default());
    for name in names.filter(|name| !name.is_empty()) {
        let hint = match name {
            "protocol" => continue,
            "db" | "user" | "pass" if is_socket => continue,
            "db" | "database" => "write the database as `redis://host/3`",
            "user" | "username" | "pass" | "password" => "write `redis://user:password@host`",
            _ => "the URL takes `protocol` only; other options are methods of RedisConfig",
        };
        return Err(format!("option `{name}` is unknown; {hint}"));
    }
    Ok(())
}

/// `host:port`, without user and password. An IPv6 address keeps only what follows its brackets.
fn host(authority: &str) -> &str {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.rsplit_once(']').map_or(host, |(_, port)| port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_urls_have_hints_without_secrets() {
        for (url, hint) in [
            ("127.0.0.1:6379", "begins with `redis://`"),
            ("redis://app:hun/ter2@host", "%2F"),
            ("redis://app:hun?ter2@host", "%3F"),
            ("redis://app:12#ter2@host", "%23"),
            ("redis://app:hun%ter2@host", "%25"),
            ("redis://app:hun/ter2", "port is not a number"),
            ("redis://host:port", "port is not a number"),
            ("redis://host#hunter2", "`#` stands after the host"),
            ("redis://host?timeout=2s", "option `timeout` is unknown; the URL takes `protocol` only"),
            ("redis://host/0?protocol=resp3&namespace=hunter2", "option `namespace` is unknown"),
            ("redis://host?db=3", "redis://host/3"),
            ("redis://host?password=hunter2", "redis://user:password@host"),
            ("redis+unix:///run/redis.sock?timeout=2s", "option `timeout` is unknown"),
        ] {
            let error = format!("{:?}", parse(url, None).unwrap_err());
            assert!(error.contains(hint), "{url}: {error}");
            assert!(!error.contains("ter2"), "{url}: {error}");
        }
    }

    #[test]
    fn wellformed_urls_are_read() {
        for url in [
            "redis://host",
            "redis://[::1]",
            "redis://app:hun%2Fter2@[::1]:7000/3",
            "redis://host?protocol=resp3",
            #[cfg(unix)]
            "redis+unix:///run/redis.sock?db=3&user=app&pass=hunter2",
        ] {
            assert!(parse(url, None).is_ok(), "{url}");
        }
        let node = parse("redis://app:old@host/3", Some("p@ss/word%")).unwrap();
        let settings = node.redis_settings();
        assert_eq!(
            (settings.username(), settings.password(), settings.db()),
            (Some("app"), Some("p@ss/word%"), 3)
        );
    }
}

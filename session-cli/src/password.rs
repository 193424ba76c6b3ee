//! Passwords that stand in a file or an environment variable, because other users see the arguments of a process.

use std::ffi::OsString;
use std::path::Path;

use crate::failure::{Failure, Result};

/// Reads an environment variable.
pub(crate) type Variable = fn(&str) -> Option<OsString>;

/// The password that the options name, if they name one.
pub(crate) fn read(env: Option<&str>, file: Option<&Path>, variable: Variable) -> Result<Option<String>> {
    let password = match (env, file) {
        (Some(name), _) => match variable(name).map(OsString::into_string) {
            Some(Ok(text)) => text,
            Some(Err(_)) => return Err(Failure::usage(format!("environment variable {name} is not UTF-8"))),
            None => return Err(Failure::usage(format!("environment variable {name} is not set"))),
        },
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(Failure::file(path.display().to_string()))?;
            text.lines().next().unwrap_or_default().to_owned()
        }
        (None, None) => return Ok(None),
    };
    if password.is_empty() { Err(Failure::usage("the password is empty")) } else { Ok(Some(password)) }
}

/// The URL with an option of this name, percent-encoded.
pub(crate) fn as_option(url: &str, name: &str, password: &str) -> String {
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}{name}={}", encoded(password))
}

/// The URL with the password beside its user, for stores whose URLs have no option for it.
pub(crate) fn beside_user(url: &str, password: &str) -> String {
    let Some((scheme, authority, place)) = parts(url) else { return url.to_owned() };
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let user = user.split_once(':').map_or(user, |(user, _)| user);
    format!("{scheme}://{user}:{}@{hosts}{place}", encoded(password))
}

/// Whether the URL itself has a password, which other users can read in the list of processes.
pub(crate) fn is_in(url: &str) -> bool {
    let user = parts(url).and_then(|(_, authority, _)| authority.rsplit_once('@'));
    let options = url.split_once('?').map_or("", |(_, options)| options);
    user.is_some_and(|(user, _)| user.contains(':'))
        || options.split('&').any(|option| ["password=", "pass="].iter().any(|name| option.starts_with(name)))
}

/// The scheme, the hosts with their user, and the rest from the first `/` or `?` on.
fn parts(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, place) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    Some((scheme, authority, place))
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_encoded_into_urls() {
        assert_eq!(as_option("redis://h", "password", "a/é?"), "redis://h?password=a%2F%C3%A9%3F");
        assert_eq!(as_option("redis://h?namespace=x", "password", "p"), "redis://h?namespace=x&password=p");
        assert_eq!(beside_user("redis://h:1/0", "a@b"), "redis://:a%40b@h:1/0");
        assert_eq!(beside_user("redis://alice@h?protocol=resp3", "p"), "redis://alice:p@h?protocol=resp3");
        assert_eq!(beside_user("redis://alice:old@h", "p"), "redis://alice:p@h");
    }

    #[test]
    fn passwords_in_urls_are_noticed() {
        for (url, has) in [
            ("redis://h:1/0", false),
            ("redis://alice@h", false),
            ("redis://:p@h", true),
            ("postgres://a:p@h/b?table=x", true),
            ("postgres://a@h/b?table=x&password=p", true),
            ("sqlite:///a:b@c", false),
        ] {
            assert_eq!(is_in(url), has, "{url}");
        }
    }
}

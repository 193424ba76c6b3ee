//! The rules by which browsers reject cookies, checked when the state is built.

use crate::attributes::Lifetime;
use crate::error::ConfigError;

/// Browsers ignore a longer attribute value (RFC 6265bis §5.6).
const MAX_ATTRIBUTE: usize = 1024;
/// Browsers ignore a cookie whose name and value together are longer (RFC 6265bis §5.6, §5.7). RFC 6265 §6.1 also counted
/// the attributes, but as the size that a browser should support.
pub(crate) const MAX_NAME_AND_VALUE: usize = 4096;

pub(crate) fn name(name: &str, value_len: usize) -> Result<(), ConfigError> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(ConfigError::InvalidName);
    }
    match name.len() + value_len {
        len if len > MAX_NAME_AND_VALUE => Err(ConfigError::TooLarge { len }),
        _ => Ok(()),
    }
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub(crate) fn path(path: &str) -> Result<(), ConfigError> {
    let legal = |byte: u8| (byte == b' ' || byte.is_ascii_graphic()) && byte != b';';
    if !path.starts_with('/') || path.ends_with(' ') || !path.bytes().all(legal) {
        return Err(ConfigError::InvalidPath);
    }
    match path.len() {
        len if len > MAX_ATTRIBUTE => Err(ConfigError::AttributeTooLong { attribute: "Path", len }),
        _ => Ok(()),
    }
}

/// The domain in the form for the header: lower case, without a leading dot.
///
/// A host name has at most 253 characters, so the bound of attributes does not apply. Public suffixes (`com`, `co.uk`)
/// are not checked: browsers reject them, and their list changes weekly.
pub(crate) fn domain(text: &str) -> Result<String, ConfigError> {
    let domain = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if domain.len() > 253 || !domain.split('.').all(label) {
        return Err(ConfigError::InvalidDomain);
    }
    Ok(domain)
}

pub(crate) fn lifetime(lifetime: Lifetime) -> Result<(), ConfigError> {
    match lifetime {
        Lifetime::Fixed(time) if time.as_secs() == 0 => Err(ConfigError::LifetimeTooShort),
        Lifetime::Fixed(time) if time > Lifetime::MAX => Err(ConfigError::LifetimeTooLong),
        _ => Ok(()),
    }
}

/// A prefix of names, and whether it needs the host's own cookie and `HttpOnly`.
pub(crate) struct Prefix {
    pub(crate) text: &'static str,
    pub(crate) host: bool,
    pub(crate) http: bool,
}

/// Every prefix needs `Secure`. The `Http` prefixes come from a newer draft, layered cookies, whose first version had
/// `__HostHttp-`. A browser without that draft treats them as ordinary names, or as `__Host-`.
const PREFIXES: [Prefix; 5] = [
    // The first match counts, so longer prefixes stand first.
    Prefix { text: "__Host-Http-", host: true, http: true },
    Prefix { text: "__HostHttp-", host: true, http: true },
    Prefix { text: "__Http-", host: false, http: true },
    Prefix { text: "__Host-", host: true, http: false },
    Prefix { text: "__Secure-", host: false, http: false },
];

pub(crate) fn prefix(name: &str) -> Option<&'static Prefix> {
    // Browsers ignore the case of prefixes (RFC 6265bis §5.4), because some servers ignore the case of names.
    let begins = |prefix: &&Prefix| {
        name.get(..prefix.text.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.text))
    };
    PREFIXES.iter().find(begins)
}

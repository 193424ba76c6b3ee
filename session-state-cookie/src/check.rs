//! What browsers refuse, checked before the first one does.

use crate::attributes::{Lifetime, SameSite};
use crate::error::ConfigError;

/// An attribute's value is ignored when it is longer (RFC 6265bis §5.6).
const MAX_ATTRIBUTE: usize = 1024;
/// Name and value are ignored when they are longer together (RFC 6265bis §5.6, §5.7). This is what browsers count
/// today; RFC 6265 §6.1 measured the attributes too, but as what a browser should at least support.
const MAX_NAME_AND_VALUE: usize = 4096;

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

/// The domain as it goes into the header: in lower case, without the leading dot of older times.
///
/// A host name has 253 characters at the most, so that it never meets the bound of an attribute. Public suffixes
/// (`com`, `co.uk`) are not known here: browsers refuse them, and their list changes weekly.
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

/// What the prefix of a name and the other settings have to do with each other.
pub(crate) struct Together<'a> {
    pub(crate) name: &'a str,
    pub(crate) secure: bool,
    pub(crate) http_only: bool,
    pub(crate) same_site: SameSite,
    pub(crate) partitioned: bool,
    pub(crate) has_domain: bool,
    pub(crate) path: &'a str,
}

struct Prefix {
    text: &'static str,
    host: bool,
    http: bool,
}

/// Every prefix needs `Secure`. Those with `Http` are of a newer draft, layered cookies, which wrote `__HostHttp-` at
/// first; a browser that does not know them takes the name as any other, or as `__Host-`.
const PREFIXES: [Prefix; 5] = [
    // The first that fits rules, hence the longer before the shorter.
    Prefix { text: "__Host-Http-", host: true, http: true },
    Prefix { text: "__HostHttp-", host: true, http: true },
    Prefix { text: "__Http-", host: false, http: true },
    Prefix { text: "__Host-", host: true, http: false },
    Prefix { text: "__Secure-", host: false, http: false },
];

pub(crate) fn together(all: &Together<'_>) -> Result<(), ConfigError> {
    // Browsers compare prefixes in any case (RFC 6265bis §5.4), because some servers read names in any case.
    let begins = |prefix: &&Prefix| {
        all.name.get(..prefix.text.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.text))
    };
    if let Some(prefix) = PREFIXES.iter().find(begins) {
        let needs = |needs| Err(ConfigError::PrefixNeeds { prefix: prefix.text, needs });
        if !all.secure {
            return needs("Secure");
        }
        if prefix.host && all.has_domain {
            return needs("no Domain");
        }
        if prefix.host && all.path != "/" {
            return needs("Path=/");
        }
        if prefix.http && !all.http_only {
            return needs("HttpOnly");
        }
    }
    if !all.secure && all.same_site == SameSite::None {
        return Err(ConfigError::NeedsSecure { setting: "SameSite=None" });
    }
    if !all.secure && all.partitioned {
        return Err(ConfigError::NeedsSecure { setting: "Partitioned" });
    }
    Ok(())
}

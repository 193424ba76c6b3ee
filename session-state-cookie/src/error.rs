//! What is wrong with a configuration, found when it is built.

use std::net::SocketAddr;

use session_core::{DurationError, Operation, StoreError, StoreErrorKind};

/// Why a cookie cannot be had with these settings: nearly always because browsers would drop it without a word.
///
/// Section numbers are those of RFC 6265bis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The name is empty or holds something that a token cannot (§4.1.1).
    #[error("a cookie name is one or more ASCII letters, digits and !#$%&'*+-.^_`|~")]
    InvalidName,
    /// The name begins with a prefix that promises something which the other settings do not keep (§4.1.3, §5.4).
    #[error("a cookie whose name begins with {prefix} needs {needs}")]
    PrefixNeeds {
        /// The prefix, as it is spelled in the specification. Browsers compare it in any case.
        prefix: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// Browsers accept this setting only together with `Secure` (§5.7, and CHIPS for `Partitioned`).
    #[error("{setting} needs Secure")]
    NeedsSecure {
        /// `SameSite=None` or `Partitioned`.
        setting: &'static str,
    },
    /// The text is none of Strict, Lax, None (§4.1.2.7).
    #[error("SameSite is one of Strict, Lax, None")]
    UnknownSameSite,
    /// The path does not begin with `/`, ends with a space, or holds a semicolon, a control or a non-ASCII
    /// character (§4.1.1).
    #[error(
        "a cookie path begins with / and holds no semicolon, control or non-ASCII character, nor a space at its end"
    )]
    InvalidPath,
    /// The domain is not a host name in ASCII (§4.1.1). A trailing dot makes browsers ignore the attribute, so that
    /// it is wrong too; one leading dot is ignored (§4.1.2.3).
    #[error(
        "a cookie domain is a host name of letters, digits, hyphens and dots, in punycode where it is not ASCII"
    )]
    InvalidDomain,
    /// An attribute's value is longer than 1024 bytes, so that browsers ignore the attribute (§5.6).
    #[error("the {attribute} of a cookie is 1024 bytes at the most: this one is {len}")]
    AttributeTooLong {
        /// `Path`.
        attribute: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// Name and value together are longer than 4096 bytes, so that browsers ignore the cookie (§5.6, §5.7).
    #[error("name and value of a cookie are 4096 bytes at the most: these are {len}")]
    TooLarge {
        /// The length of both in bytes.
        len: usize,
    },
    /// A lifetime of less than a second. `Max-Age` counts whole seconds, and zero would delete the cookie.
    #[error("a cookie lives for a second at the least")]
    LifetimeTooShort,
    /// A lifetime of more than 400 days. Browsers would cut it down, and who configured it would not notice (§5.5).
    #[error("a cookie lives for 400 days at the most")]
    LifetimeTooLong,
    /// The text is no lifetime.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// The development preset was asked for on an address that others can reach.
    #[error("the development cookie is for loopback addresses: {0} is none")]
    NotLoopback(SocketAddr),
}

/// For those who open state and store in one step: `Misconfigured`, with the reason as its source.
impl From<ConfigError> for StoreError {
    fn from(error: ConfigError) -> Self {
        Self::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail("the cookie").with_source(error)
    }
}

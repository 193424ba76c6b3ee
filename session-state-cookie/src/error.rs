//! Configuration errors.

use std::net::SocketAddr;

use session_core::{DurationError, Operation, StoreError, StoreErrorKind};

/// Why a configuration is rejected, in most cases because browsers would silently drop the cookie.
///
/// Section numbers are those of RFC 6265bis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The name is empty or contains a character that tokens exclude (§4.1.1).
    #[error("a cookie name consists of ASCII letters, digits and !#$%&'*+-.^_`|~")]
    InvalidName,
    /// The name begins with a prefix whose rules the other settings break (§4.1.3, §5.4).
    #[error("a cookie whose name begins with {prefix} needs {needs}")]
    PrefixNeeds {
        /// The prefix in the specification's spelling. Browsers ignore its case.
        prefix: &'static str,
        /// The missing setting.
        needs: &'static str,
    },
    /// Browsers accept this setting only together with `Secure` (§5.7, and CHIPS for `Partitioned`).
    #[error("{setting} needs Secure")]
    NeedsSecure {
        /// `SameSite=None` or `Partitioned`.
        setting: &'static str,
    },
    /// The text is not Strict, Lax or None (§4.1.2.7).
    #[error("SameSite is one of Strict, Lax, None")]
    UnknownSameSite,
    /// The path does not begin with `/`, ends with a space, or contains a semicolon, a control or a non-ASCII character
    /// (§4.1.1).
    #[error(
        "a cookie path begins with / and contains no semicolon, control or non-ASCII character, nor a space at its end"
    )]
    InvalidPath,
    /// The domain is not a host name in ASCII (§4.1.1). A trailing dot is also rejected, because browsers then ignore the
    /// attribute; one leading dot is ignored (§4.1.2.3).
    #[error(
        "a cookie domain is a host name of ASCII letters, digits, hyphens and dots (punycode for others)"
    )]
    InvalidDomain,
    /// An attribute's value is longer than 1024 bytes, and browsers ignore it (§5.6).
    #[error("the {attribute} of a cookie has at most 1024 bytes: this one has {len}")]
    AttributeTooLong {
        /// `Path`.
        attribute: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// Name and value together are longer than 4096 bytes, and browsers ignore the cookie (§5.6, §5.7).
    #[error("name and value of a cookie have at most 4096 bytes: these have {len}")]
    TooLarge {
        /// The length of both in bytes.
        len: usize,
    },
    /// The lifetime is less than a second. `Max-Age` counts whole seconds, and zero deletes the cookie.
    #[error("a cookie lives at least one second")]
    LifetimeTooShort,
    /// The lifetime is more than 400 days. Browsers would silently shorten it (§5.5).
    #[error("a cookie lives at most 400 days")]
    LifetimeTooLong,
    /// The text is not a duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// The development preset is used with an address that other machines can reach.
    #[error("the development cookie needs a loopback address: {0} is not one")]
    NotLoopback(SocketAddr),
}

/// `Misconfigured` with the reason as its source, for code that opens state and store together.
impl From<ConfigError> for StoreError {
    fn from(error: ConfigError) -> Self {
        Self::new(StoreErrorKind::Misconfigured, Operation::Open)
            .with_detail("the cookie is misconfigured")
            .with_source(error)
    }
}

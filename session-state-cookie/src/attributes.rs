//! The two settings that have a vocabulary of their own, readable from text for configuration files.

use std::str::FromStr;
use std::time::Duration;

use session_core::parse_duration;

use crate::error::ConfigError;

/// Which requests from other sites bring the cookie along (RFC 6265bis §4.1.2.7).
///
/// There is no value for "no attribute": browsers then apply a weaker Lax of their own, each a different one.
///
/// ```
/// use session_state_cookie::{ConfigError, SameSite};
///
/// assert_eq!("strict".parse(), Ok(SameSite::Strict));
/// assert_eq!("sometimes".parse::<SameSite>(), Err(ConfigError::UnknownSameSite));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// None: who follows a link to the site arrives without the session.
    Strict,
    /// Only navigation by a safe method, such as a link. The default.
    #[default]
    Lax,
    /// All of them, embedded pages too. It needs `Secure`, and a defence of one's own against forged requests.
    None,
}

impl SameSite {
    /// The word in the header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

impl FromStr for SameSite {
    type Err = ConfigError;

    /// Reads the word in any case, as browsers do.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        [Self::Strict, Self::Lax, Self::None]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(text))
            .ok_or(ConfigError::UnknownSameSite)
    }
}

/// How long the browser keeps the cookie. What the session itself lives is decided by the store, never by this.
///
/// A cookie of either lifetime is sent again whenever the session's deadline moves, so that store and cookie are
/// extended together.
///
/// ```
/// use std::time::Duration;
/// use session_state_cookie::Lifetime;
///
/// assert_eq!("2 hours".parse(), Ok(Lifetime::Fixed(Duration::from_secs(7_200))));
/// assert_eq!("42".parse(), Ok(Lifetime::Fixed(Duration::from_secs(42))));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lifetime {
    /// Until the browser ends its own session. The default: nothing is left on a shared machine, as far as the
    /// browser keeps to it (many restore their last session).
    #[default]
    BrowserSession,
    /// Until the session's deadline; 400 days where there is none, or a later one, because no browser keeps a cookie
    /// longer (RFC 6265bis §5.5).
    FollowSession,
    /// This long from each time that it is sent; 1 s at the least, 400 days at the most.
    Fixed(Duration),
}

impl Lifetime {
    /// What browsers cut every lifetime down to: 400 days (RFC 6265bis §5.5).
    pub const MAX: Duration = Duration::from_secs(400 * 24 * 60 * 60);
}

impl FromStr for Lifetime {
    type Err = ConfigError;

    /// Reads a fixed lifetime by [`session_core::parse_duration`]: "2 hours", "+36h", "42" (seconds).
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Ok(Self::Fixed(parse_duration(text)?))
    }
}

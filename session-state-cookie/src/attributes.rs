//! The two settings with their own values, which can also be parsed from configuration text.

use std::str::FromStr;
use std::time::Duration;

use session_core::parse_duration;

use crate::error::ConfigError;

/// Which requests from other sites carry the cookie (RFC 6265bis §4.1.2.7).
///
/// The attribute is always sent, because browsers differ in their default for a missing attribute.
///
/// ```
/// use session_state_cookie::{ConfigError, SameSite};
///
/// assert_eq!("strict".parse(), Ok(SameSite::Strict));
/// assert_eq!("sometimes".parse::<SameSite>(), Err(ConfigError::UnknownSameSite));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// None. A visitor who follows a link to the site arrives without the session.
    Strict,
    /// Only navigation by a safe method, such as a link. The default.
    #[default]
    Lax,
    /// All of them, including embedded pages. It needs `Secure`, and your own defence against forged requests.
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

    /// Parses the word in any case, like browsers.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        [Self::Strict, Self::Lax, Self::None]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(text))
            .ok_or(ConfigError::UnknownSameSite)
    }
}

/// How long the browser keeps the cookie. The session's own lifetime is independent of it.
///
/// A cookie with a lifetime is sent again whenever the session's deadline moves, so that store and cookie are extended
/// together.
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
    /// Until the browser is closed. The default, because it leaves no cookie on a shared machine. Many browsers keep the
    /// cookie when they restore their last session.
    #[default]
    BrowserSession,
    /// Until the session's deadline, but at most 400 days, because no browser keeps a cookie longer (RFC 6265bis §5.5).
    FollowSession,
    /// This long from each time that the cookie is sent: 1 s to 400 days.
    Fixed(Duration),
}

impl Lifetime {
    /// The longest lifetime in browsers: 400 days (RFC 6265bis §5.5).
    pub const MAX: Duration = Duration::from_secs(400 * 24 * 60 * 60);
}

impl FromStr for Lifetime {
    type Err = ConfigError;

    /// Parses a fixed lifetime with [`session_core::parse_duration`]: "2 hours", "+36h", "42" (seconds).
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Ok(Self::Fixed(parse_duration(text)?))
    }
}

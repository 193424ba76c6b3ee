//! The options, and what follows from them.

use std::net::SocketAddr;

use session_core::SessionId;

use crate::attributes::{Lifetime, SameSite};
use crate::check::{self, Together};
use crate::error::ConfigError;
use crate::parse::Identity;
use crate::state::CookieState;

/// The name unless another is set: bound to this very host, to HTTPS and to the whole site.
const HOST_NAME: &str = "__Host-session";
/// The name where a domain or another path rules out the first.
const SECURE_NAME: &str = "__Secure-session";
/// The name of the development preset: browsers hold prefixed names to HTTPS.
const DEVELOPMENT_NAME: &str = "session";

/// The options of the session cookie. The defaults are the strictest that a web application can live with.
///
/// Nothing is checked before [`build`](Self::build), so that the order of the calls does not matter.
///
/// ```
/// use session_state_cookie::{CookieConfig, Lifetime, SameSite};
///
/// let state = CookieConfig::new()
///     .domain("example.org")
///     .same_site(SameSite::Strict)
///     .lifetime(Lifetime::FollowSession)
///     .build()?;
/// assert_eq!(state.name(), "__Secure-session");
/// # Ok::<(), session_state_cookie::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is the options only: build() makes the state"]
pub struct CookieConfig {
    name: Option<String>,
    domain: Option<String>,
    path: String,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
    partitioned: bool,
    lifetime: Lifetime,
    expires: bool,
    listen: Option<SocketAddr>,
}

impl Default for CookieConfig {
    fn default() -> Self {
        Self {
            name: None,
            domain: None,
            path: "/".to_owned(),
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            partitioned: false,
            lifetime: Lifetime::BrowserSession,
            expires: false,
            listen: None,
        }
    }
}

impl CookieConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The development preset: named `session` and without `Secure`, for a server that listens on `listen`, which
    /// must be a loopback address.
    ///
    /// It takes the address, and fails at construction, because a state sees headers only: to trust the `Host` header
    /// would be to trust the client, and to refuse then would be an error with every request instead of one at the
    /// start. A proxy on the same machine defeats the check; do not put one before a development server.
    pub fn development(listen: SocketAddr) -> Self {
        Self { secure: false, listen: Some(listen), ..Self::default() }
    }

    /// The cookie's name. Unless it is set: `__Host-session`, or `__Secure-session` where a domain or another path
    /// than `/` is set, or `session` in the development preset. It is compared case by case when read.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sends the cookie to this host and all hosts below it; none by default, which means this host only. One leading
    /// dot is ignored, as browsers do.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sends the cookie to this path and below; `/` by default. It keeps nothing secret from other paths of the host
    /// (RFC 6265bis §8.5).
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Whether the cookie goes over HTTPS only; true by default. Without it a name must be set that has no prefix.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Whether the cookie is hidden from scripts; true by default.
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Which requests from other sites bring the cookie; [`SameSite::Lax`] by default.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Whether an embedded page has a cookie for each site that embeds it (CHIPS); false by default.
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = partitioned;
        self
    }

    /// How long the browser keeps the cookie; [`Lifetime::BrowserSession`] by default.
    pub fn lifetime(mut self, lifetime: Lifetime) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Whether `Expires` is sent beside `Max-Age` where there is a lifetime; false by default. Only clients that do
    /// not know `Max-Age` look at it. It is never sent alone, for then the client's clock would decide.
    pub fn expires(mut self, expires: bool) -> Self {
        self.expires = expires;
        self
    }

    /// The state, if browsers will accept its cookie.
    ///
    /// # Errors
    /// See [`ConfigError`]: each of its kinds is something that makes browsers drop the cookie, change it, or send
    /// it where it should not go.
    pub fn build(self) -> Result<CookieState, ConfigError> {
        if let Some(listen) = self.listen
            && !listen.ip().to_canonical().is_loopback()
        {
            return Err(ConfigError::NotLoopback(listen));
        }
        check::path(&self.path)?;
        check::lifetime(self.lifetime)?;
        let domain = self.domain.as_deref().map(check::domain).transpose()?;
        let unset = || match (&domain, self.path.as_str(), self.listen) {
            (.., Some(_)) => DEVELOPMENT_NAME,
            (None, "/", None) => HOST_NAME,
            _ => SECURE_NAME,
        };
        let name = self.name.as_deref().unwrap_or_else(unset);
        check::name(name, SessionId::CHARS)?;
        check::together(&Together {
            name,
            secure: self.secure,
            http_only: self.http_only,
            same_site: self.same_site,
            partitioned: self.partitioned,
            has_domain: domain.is_some(),
            path: &self.path,
        })?;

        let mut fixed = format!("; Path={}", self.path);
        if let Some(domain) = domain.as_deref() {
            fixed.extend(["; Domain=", domain]);
        }
        if self.secure {
            fixed.push_str("; Secure");
        }
        if self.http_only {
            fixed.push_str("; HttpOnly");
        }
        fixed.extend(["; SameSite=", self.same_site.as_str()]);
        if self.partitioned {
            fixed.push_str("; Partitioned");
        }
        let identity =
            Identity { name: name.to_owned(), domain, path: self.path, partitioned: self.partitioned };
        CookieState::new(identity, fixed, self.lifetime, self.expires)
    }
}

//! The options of the session cookie.

use std::net::SocketAddr;

use session_core::SessionId;

use crate::attributes::{Lifetime, SameSite};
use crate::check;
use crate::error::ConfigError;
use crate::parse::Identity;
use crate::scope::{Former, Scope};
use crate::state::CookieState;

/// The default name: browsers bind it to this host, to HTTPS and to all paths.
const HOST_NAME: &str = "__Host-session";
/// The default name with a domain or another path, which the first name does not allow.
const SECURE_NAME: &str = "__Secure-session";
/// The default name of the development preset, before the port: browsers require HTTPS for prefixed names.
const DEVELOPMENT_NAME: &str = "session";

/// The options of the session cookie. The defaults are the strictest values that suit most web applications.
///
/// [`build`](Self::build) checks all options together, so the order of the calls does not matter.
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
#[must_use = "call build() to get the state"]
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
    former: Vec<CookieConfig>,
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
            former: Vec::new(),
        }
    }
}

impl CookieConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The development preset: a cookie without `Secure`, for a server that listens on `listen`, which must be a loopback
    /// address.
    ///
    /// Its name is `session-` and the port, because cookies do not depend on ports: two servers on one host would replace
    /// each other's cookie. Set a [`name`](Self::name) to keep the sessions when the port changes.
    ///
    /// The address is checked when the state is built, because a state sees only headers, and the `Host` header comes
    /// from the client. A proxy on the same machine defeats the check: do not put one in front of a development server.
    pub fn development(listen: SocketAddr) -> Self {
        Self { secure: false, listen: Some(listen), ..Self::default() }
    }

    session_core::setters! {
        /// The cookie's name. The default is `__Host-session`, `__Secure-session` with a domain or another path than `/`, or
        /// `session-` and the port in the development preset. Reading compares names byte by byte.
        name: impl Into<String> => Some(name.into()),
        /// The domain whose hosts get the cookie. By default only the current host gets it. One leading dot is ignored, as in
        /// browsers.
        domain: impl Into<String> => Some(domain.into()),
        /// The path whose requests get the cookie; `/` by default. It does not protect the cookie from other paths of the
        /// host (RFC 6265bis §8.5).
        path: impl Into<String> => path.into(),
        /// Whether the cookie is sent over HTTPS only; true by default. `false` needs a name without a prefix.
        secure: bool,
        /// Whether the cookie is hidden from scripts; true by default.
        http_only: bool,
        /// Which requests from other sites carry the cookie; [`SameSite::Lax`] by default.
        same_site: SameSite,
        /// Whether an embedded page has a separate cookie for each embedding site (CHIPS); false by default.
        partitioned: bool,
        /// How long the browser keeps the cookie; [`Lifetime::BrowserSession`] by default.
        lifetime: Lifetime,
        /// Whether `Expires` is sent in addition to `Max-Age`; false by default. Only clients without `Max-Age` use it. It is
        /// never sent alone, because it depends on the client's clock.
        expires: bool,
    }

    /// Adds a cookie of an earlier release of the application, with another name, domain or path. Its ids are read after
    /// those of this cookie, so that visitors stay logged in, and a logout ends its session and deletes it. New ids are
    /// written into this cookie only. With `build_signed` its ids must be signed too, by a key of
    /// the same ring. `build_sealed` does not read it; a logout deletes it.
    ///
    /// # Security
    /// An id from the former cookie is as trustworthy as that cookie: a `__Host-` name protects nothing while a plain name
    /// is read too. Remove this option when the former cookies have ended.
    pub fn former(mut self, cookie: Self) -> Self {
        self.former.push(cookie);
        self
    }

    /// Builds the state.
    ///
    /// # Errors
    /// [`ConfigError`] for each setting with which browsers would drop the cookie, change it, or send it to the wrong
    /// host.
    pub fn build(self) -> Result<CookieState, ConfigError> {
        self.build_for(SessionId::CHARS)
    }

    /// Builds a state whose cookies have signed ids: an id that was not signed by a key of the ring is malformed, and
    /// costs no store call. The newest key signs.
    ///
    /// Ids are random and hashed in the store, so a signature adds no secrecy. It saves the store the requests of clients
    /// that try ids, and lets a lost key void all cookies. The signature is verified in each request that has the cookie,
    /// whether or not the handler uses the session: about 1 µs per key. Of several cookies only the first four are verified,
    /// and the others are malformed.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    #[cfg(feature = "signed")]
    pub fn build_signed(self, ring: &crate::KeyRing) -> Result<CookieState, ConfigError> {
        let state = self.build_for(crate::signed::Signer::CHARS)?;
        Ok(state.signed(|name| crate::signed::Signer::new(ring, name)))
    }

    /// Builds a carrier, which puts the whole session into the cookie.
    ///
    /// It reserves the names `name.1` to `name.3` for sessions of several cookies. Give them to no other cookie of the host.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    #[cfg(feature = "sealed")]
    pub fn build_sealed(self, ring: &crate::KeyRing) -> Result<crate::SealedCookie, ConfigError> {
        crate::SealedCookie::new(self.build_for(crate::sealed::LEAST_CHARS)?, ring)
    }

    /// Builds the state of a cookie whose value has this length.
    fn build_for(self, value_chars: usize) -> Result<CookieState, ConfigError> {
        if let Some(listen) = self.listen
            && !listen.ip().to_canonical().is_loopback()
        {
            return Err(ConfigError::NotLoopback(listen));
        }
        check::path(&self.path)?;
        check::lifetime(self.lifetime)?;
        let domain = self.domain.as_deref().map(check::domain).transpose()?;
        let unset = || match (&domain, self.path.as_str(), self.listen.map(|listen| listen.port())) {
            (.., Some(0)) => DEVELOPMENT_NAME.to_owned(),
            (.., Some(port)) => format!("{DEVELOPMENT_NAME}-{port}"),
            (None, "/", None) => HOST_NAME.to_owned(),
            _ => SECURE_NAME.to_owned(),
        };
        let name = self.name.clone().unwrap_or_else(unset);
        check::name(&name, value_chars)?;
        self.check_together(&name)?;

        let identity = Identity { name, domain, path: self.path.clone(), partitioned: self.partitioned };
        let mut former = Former::default();
        for scope in identity.scopes() {
            let fixed = self.fixed(&scope);
            former.add(Scope::new(scope, fixed)?);
        }
        for earlier in &self.former {
            let (cookie, theirs) = earlier.clone().build_for(value_chars)?.into_scopes();
            former.extend(cookie, theirs);
        }
        let former = former.without(&identity);
        let fixed = self.fixed(&identity);
        let cookie = Scope::new(identity, fixed)?;
        Ok(CookieState::new(cookie, self.secure, self.lifetime, self.expires, former))
    }

    /// The attributes that are the same in every header of this cookie.
    fn fixed(&self, cookie: &Identity) -> String {
        let mut fixed = format!("; Path={}", cookie.path);
        if let Some(domain) = cookie.domain.as_deref() {
            fixed.extend(["; Domain=", domain]);
        }
        if self.secure {
            fixed.push_str("; Secure");
        }
        if self.http_only {
            fixed.push_str("; HttpOnly");
        }
        fixed.extend(["; SameSite=", self.same_site.as_str()]);
        if cookie.partitioned {
            fixed.push_str("; Partitioned");
        }
        fixed
    }

    fn check_together(&self, name: &str) -> Result<(), ConfigError> {
        if let Some(prefix) = check::prefix(name) {
            for (kept, needs) in [
                (self.secure, "Secure"),
                (!prefix.host || self.domain.is_none(), "no Domain"),
                (!prefix.host || self.path == "/", "Path=/"),
                (!prefix.http || self.http_only, "HttpOnly"),
            ] {
                if !kept {
                    return Err(ConfigError::PrefixNeeds { prefix: prefix.text, needs });
                }
            }
        }
        let setting = match (self.same_site, self.partitioned) {
            _ if self.secure => return Ok(()),
            (SameSite::None, _) => "SameSite=None",
            (_, true) => "Partitioned",
            _ => return Ok(()),
        };
        Err(ConfigError::NeedsSecure { setting })
    }
}

impl CookieState {
    /// The options, with their defaults.
    pub fn config() -> CookieConfig {
        CookieConfig::new()
    }
}

/// The state with default options.
impl Default for CookieState {
    fn default() -> Self {
        Self::config().build().expect("a test builds the defaults")
    }
}

//! The data that a browser clears at a logout.

use http::{HeaderMap, HeaderName, HeaderValue};

/// `Clear-Site-Data` of a response that ends the client's session (W3C Clear Site Data; OWASP Session Management Cheat
/// Sheet). Browsers follow it over HTTPS only.
///
/// The default clears nothing. The session's own cookie is deleted in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ClearSiteData {
    cache: bool,
    cookies: bool,
    storage: bool,
}

impl ClearSiteData {
    /// Clears nothing yet.
    pub const fn new() -> Self {
        Self { cache: false, cookies: false, storage: false }
    }

    /// Pages of this origin that the browser has cached. A large cache can take seconds.
    pub const fn cache(mut self) -> Self {
        self.cache = true;
        self
    }

    /// All cookies of the site, with its subdomains: also those of other applications there. A response that begins another
    /// session leaves them, because browsers would also drop the cookie that it sets.
    pub const fn cookies(mut self) -> Self {
        self.cookies = true;
        self
    }

    /// Local storage, databases and service workers of this origin.
    pub const fn storage(mut self) -> Self {
        self.storage = true;
        self
    }

    /// Adds the header, unless the handler has sent one.
    pub(crate) fn write(self, sets_cookie: bool, headers: &mut HeaderMap) {
        const NAME: HeaderName = HeaderName::from_static("clear-site-data");
        let kinds = [
            (self.cache, "\"cache\""),
            (self.cookies && !sets_cookie, "\"cookies\""),
            (self.storage, "\"storage\""),
        ];
        let kinds: Vec<_> = kinds.into_iter().filter_map(|(yes, kind)| yes.then_some(kind)).collect();
        if kinds.is_empty() || headers.contains_key(NAME) {
            return;
        }
        if let Ok(value) = HeaderValue::from_str(&kinds.join(", ")) {
            // A full map of headers has no space for it; the session has ended all the same.
            let _ = headers.try_insert(NAME, value);
        }
    }
}

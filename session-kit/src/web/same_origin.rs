//! Refusal of forms from other sites.

/// Refuses requests that another site made the browser send: cross-site request forgery (CSRF).
///
/// A request of another method than `GET`, `HEAD` and `OPTIONS` needs `Sec-Fetch-Site: same-origin` or `none`. Browsers
/// without this header need an `Origin` of this host. Pages cannot change these headers. Other requests get status 403, as
/// problem details (RFC 9457) or text by what the client accepts. Inside of a session layer, its `refuse_with` applies.
/// Programs other than browsers send neither header and pass.
///
/// `SameSite=Lax` alone is not enough, because another port or subdomain is the same site. A token in each form
/// ([`csrf`](crate::csrf)) needs a session before the first action.
///
/// It is a layer of tower and a middleware of actix-web.
#[derive(Clone, Debug, Default)]
#[must_use = "a layer does nothing by itself"]
pub struct SameOriginLayer {
    allowed: Vec<String>,
}

impl SameOriginLayer {
    /// Accepts requests of this host's own pages only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also accepts requests with this `Origin`, such as `https://login.example.com`.
    pub fn allow(mut self, origin: impl Into<String>) -> Self {
        self.allowed.push(origin.into());
        self
    }

    /// Whether a request with this method, these headers and this target may pass.
    pub(crate) fn accepts<'a>(
        &self,
        method: &str,
        header: impl Fn(&str) -> Option<&'a [u8]>,
        target: Option<&str>,
    ) -> bool {
        if matches!(method, "GET" | "HEAD" | "OPTIONS") {
            return true;
        }
        // A value that is not text is an empty text, which no rule accepts.
        let text = |name: &str| header(name).map(|value| std::str::from_utf8(value).unwrap_or(""));
        let origin = text("origin");
        if origin.is_some_and(|origin| self.allowed.iter().any(|allowed| allowed == origin)) {
            return true;
        }
        match (text("sec-fetch-site"), origin) {
            (Some(site), _) => matches!(site, "same-origin" | "none"),
            (None, Some(origin)) => {
                let sender = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
                // HTTP/2 has the host in the target of the request.
                sender.is_some() && sender == text("host").or(target)
            }
            (None, None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(method: &str, headers: &[(&str, &str)]) -> bool {
        let own = [("host", "127.0.0.1:3000")];
        let header = |name: &str| {
            let found = own.iter().chain(headers).find(|(known, _)| *known == name);
            found.map(|(_, value)| value.as_bytes())
        };
        SameOriginLayer::new().allow("https://login.example").accepts(method, header, None)
    }

    #[test]
    fn only_own_pages_and_programs_may_post() {
        for (sent, ours) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:3000")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("origin", "http://127.0.0.1:3000")], true),
            (&[("origin", "http://127.0.0.1:4000")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
            (&[("origin", "https://login.example"), ("sec-fetch-site", "cross-site")], true),
            (&[("origin", "https://login.example.evil.example")], false),
        ] {
            assert_eq!(accepts("POST", sent), ours, "{sent:?}");
            assert!(accepts("GET", sent) && accepts("HEAD", sent), "{sent:?}");
        }
    }

    #[test]
    fn host_of_an_http_2_request_is_its_target() {
        let request = |origin: &str| {
            let header = |name: &str| (name == "origin").then_some(origin.as_bytes());
            SameOriginLayer::new().accepts("POST", header, Some("shop.example"))
        };
        assert!(request("https://shop.example"));
        assert!(!request("https://evil.example"));
    }
}

//! Accepts forms from the shop's own pages only.

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses cross-site request forgery.
///
/// Browsers send the origin of a request in `Sec-Fetch-Site` (all of them since 2023) or in `Origin` (with every POST).
/// Pages cannot change these headers. The alternative, a token in every form, needs a session before the visitor's first
/// action, and breaks forms in tabs that were opened before the login. `SameSite=Lax` alone is not enough, because another
/// port of the same host is the same site.
pub(crate) async fn only(request: Request, next: Next) -> Response {
    if changes_something(request.method()) && !is_ours(request.headers()) {
        return (StatusCode::FORBIDDEN, "The form came from another site.").into_response();
    }
    next.run(request).await
}

fn changes_something(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        // "null" and every other origin than this host are refused.
        (None, Some(origin)) => {
            let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            host.is_some() && host == text(HOST.as_str())
        }
        // Not a browser: curl, a script or a test, whose user sends the request on purpose.
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            let mut headers: HeaderMap =
                sent.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            headers.insert(HOST, "127.0.0.1:3000".parse().unwrap());
            assert_eq!(is_ours(&headers), ours, "{sent:?}");
        }
    }
}

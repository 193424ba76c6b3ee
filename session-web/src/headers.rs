//! Headers that keep caches from serving one visitor's response to another, and those that outlive a replaced response.

use http::header::{
    CACHE_CONTROL, COOKIE, ETAG, EXPIRES, Entry, LAST_MODIFIED, RETRY_AFTER, TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use session_manager::list_items;

/// Whether caches prefer this field to `Cache-Control`: targeted fields (RFC 9213), and their predecessors.
fn precedes_cache_control(name: &HeaderName) -> bool {
    // Akamai, Fastly and others; Akamai; nginx.
    const OLDER: [&str; 3] = ["surrogate-control", "edge-control", "x-accel-expires"];
    name.as_str().ends_with("-cache-control") || OLDER.contains(&name.as_str())
}

/// Forbids caches to keep this response, because it sets a cookie.
///
/// Fields that precede `Cache-Control` in some caches are removed: targeted fields (RFC 9213), whose names end with
/// `-Cache-Control`, and their predecessors.
///
/// A `Cache-Control` with `no-store` stays as it is. Any other is replaced, because it would contradict `no-store`;
/// only its `no-transform` stays.
pub fn no_store(headers: &mut HeaderMap) {
    while let Some(name) = headers.keys().find(|name| precedes_cache_control(name)).cloned() {
        headers.remove(name);
    }
    const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
    const BOTH: HeaderValue = HeaderValue::from_static("no-store, no-transform");
    let has = |name: &str| {
        let lines = headers.get_all(CACHE_CONTROL).iter();
        lines
            .flat_map(|line| list_items(line.as_bytes()))
            .any(|item| item.eq_ignore_ascii_case(name.as_bytes()))
    };
    if has("no-store") {
        return;
    }
    let value = if has("no-transform") { BOTH } else { NO_STORE };
    let _ = headers.try_insert(CACHE_CONTROL, value);
}

/// Says that this response depends on the request's header `on`.
pub fn vary(headers: &mut HeaderMap, on: HeaderName) {
    let names = |line: &HeaderValue| varies_on(line.as_bytes(), &on);
    let value = || match on {
        COOKIE => HeaderValue::from_static("Cookie"),
        _ => HeaderValue::from(on.clone()),
    };
    match headers.try_entry(VARY) {
        Ok(Entry::Occupied(lines)) if lines.iter().any(names) => {}
        Ok(Entry::Occupied(mut lines)) => lines.append(value()),
        // If the map is full, the response cannot be sent either.
        Ok(Entry::Vacant(line)) => drop(line.try_insert(value())),
        Err(_) => {}
    }
}

/// Adds the headers of an error response that describe neither its body nor its caching: services inside of the layer may
/// have added some.
pub fn keep_headers(new: &mut HeaderMap, old: HeaderMap) {
    let describes = |name: &HeaderName| {
        name.as_str().starts_with("content-")
            || [ETAG, EXPIRES, LAST_MODIFIED, TRANSFER_ENCODING, RETRY_AFTER, CACHE_CONTROL].contains(name)
            || precedes_cache_control(name)
    };
    for name in old.keys().filter(|name| !describes(name)) {
        if !new.contains_key(name) {
            for value in old.get_all(name) {
                let _ = new.try_append(name.clone(), value.clone());
            }
        }
    }
}

/// Whether a line of `Vary` names this header, or all.
#[must_use]
#[inline]
pub fn varies_on(line: &[u8], on: &HeaderName) -> bool {
    list_items(line).any(|item| item == b"*" || item.eq_ignore_ascii_case(on.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    fn lines(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
        headers.get_all(name).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn no_store_replaces_weaker_directives_only() {
        for (before, after) in [
            (&[][..], &["no-store"][..]),
            (&["public, max-age=600"], &["no-store"]),
            (&["private"], &["no-store"]),
            (&["max-age=0", "s-maxage=9, no-transform"], &["no-store, no-transform"]),
            (&["private, No-Store, max-age=0"], &["private, No-Store, max-age=0"]),
            (&["max-age=0", "no-store"], &["max-age=0", "no-store"]),
            (&["no-cache=\"a, no-store\", max-age=60"], &["no-store"]),
            (&["x=\"\\\", no-store\""], &["no-store"]),
        ] {
            let mut headers = with(CACHE_CONTROL, before);
            no_store(&mut headers);
            assert_eq!(lines(&headers, &CACHE_CONTROL), after, "{before:?}");
        }
    }

    #[test]
    fn no_store_removes_fields_that_precede_cache_control() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("cache-control", "private, no-store"),
            ("cdn-cache-control", "max-age=600"),
            ("cloudflare-cdn-cache-control", "public"),
            ("x-litespeed-cache-control", "max-age=60"),
            ("surrogate-control", "max-age=60"),
            ("edge-control", "max-age=60"),
            ("x-accel-expires", "60"),
            ("x-cache-control-hint", "kept"),
            ("expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.append("cdn-cache-control", HeaderValue::from_static("s-maxage=9"));
        no_store(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["cache-control", "expires", "x-cache-control-hint"]);
        assert_eq!(lines(&headers, &CACHE_CONTROL), ["private, no-store"]);
    }

    #[test]
    fn vary_is_appended_once() {
        for (before, after) in [
            (&[][..], &["Cookie"][..]),
            (&["accept-encoding"], &["accept-encoding", "Cookie"]),
            (&["accept, Cookie"], &["accept, Cookie"]),
            (&["accept", "COOKIE"], &["accept", "COOKIE"]),
            (&["*"], &["*"]),
        ] {
            let mut headers = with(VARY, before);
            vary(&mut headers, COOKIE);
            vary(&mut headers, COOKIE);
            assert_eq!(lines(&headers, &VARY), after, "{before:?}");
        }
    }
}

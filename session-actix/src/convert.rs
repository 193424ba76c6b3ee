//! Headers of actix-web, which has those of http 0.2, as headers of http 1 and back.

use std::cell::Cell;

use actix_web::http::header as actix;
use http::header::MaxSizeReached;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use session_web::HeadersRead;

/// The headers that a layer reads.
pub(crate) enum Wanted {
    All,
    /// The same names in both versions, so that no request converts them.
    Named(Vec<(HeaderName, actix::HeaderName)>),
}

impl Wanted {
    pub(crate) fn new(read: HeadersRead) -> Self {
        let HeadersRead::Named(one, other) = read else { return Self::All };
        let both = |name| actix_name(&name).map(|actix| (name, actix));
        Self::Named(std::iter::once(one).chain(other).filter_map(both).collect())
    }

    /// Lets `read` see these headers of a request.
    pub(crate) fn of<T>(&self, headers: &actix::HeaderMap, read: impl FnOnce(&HeaderMap) -> T) -> T {
        // A new map costs two allocations in each request.
        thread_local!(static SPARE: Cell<HeaderMap> = Cell::default());
        let mut all = SPARE.take();
        match self {
            Self::Named(names) => {
                for (name, actix) in names {
                    for value in headers.get_all(actix).filter_map(value) {
                        // One header has no more lines than a request may have.
                        let _ = all.try_append(name, value);
                    }
                }
            }
            // A map has room for more headers than actix-web reads; without it, the first ones are kept.
            Self::All => drop(fill(&mut all, headers)),
        }
        let answer = read(&all);
        all.clear();
        SPARE.set(all);
        answer
    }
}

/// All headers. Lines of one name keep their order.
pub(crate) fn all(headers: &actix::HeaderMap) -> Result<HeaderMap, MaxSizeReached> {
    let mut all = HeaderMap::with_capacity(headers.len());
    fill(&mut all, headers)?;
    Ok(all)
}

fn fill(all: &mut HeaderMap, headers: &actix::HeaderMap) -> Result<(), MaxSizeReached> {
    for (name, line) in headers {
        // Both versions accept the same names and values.
        if let (Ok(name), Some(value)) = (HeaderName::from_bytes(name.as_ref()), value(line)) {
            all.try_append(name, value)?;
        }
    }
    Ok(())
}

fn value(value: &actix::HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

/// Makes these the headers of a response.
pub(crate) fn replace(headers: &mut actix::HeaderMap, new: &HeaderMap) {
    headers.clear();
    for (name, value) in new {
        append(headers, name, value);
    }
}

fn append(headers: &mut actix::HeaderMap, name: &HeaderName, value: &HeaderValue) {
    let value = actix::HeaderValue::from_bytes(value.as_bytes());
    if let (Some(name), Ok(value)) = (actix_name(name), value) {
        headers.append(name, value);
    }
}

fn actix_name(name: &HeaderName) -> Option<actix::HeaderName> {
    actix::HeaderName::from_bytes(name.as_str().as_bytes()).ok()
}

/// The target of a request; `/` if http 1 does not accept it.
pub(crate) fn target(uri: &actix_web::http::Uri) -> Uri {
    uri.to_string().parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::header::{COOKIE, USER_AGENT};

    use super::*;

    fn sent() -> actix::HeaderMap {
        let mut headers = actix::HeaderMap::new();
        for (name, value) in [
            ("cookie", &b"a=1"[..]),
            ("user-agent", b"caf\xe9"),
            ("cookie", b"b=\xff\xfe"),
            ("x-other", b""),
            ("cookie", b"a=2"),
        ] {
            let name = actix::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, actix::HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a [u8]> {
        headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }

    #[test]
    fn repeated_headers_and_other_bytes_are_kept_both_ways() {
        let all = all(&sent()).unwrap();
        assert_eq!(lines(&all, "cookie"), [&b"a=1"[..], b"b=\xff\xfe", b"a=2"]);
        assert_eq!(lines(&all, "user-agent"), [b"caf\xe9"]);
        let mut back = actix::HeaderMap::new();
        replace(&mut back, &all);
        let cookies: Vec<_> = back.get_all("cookie").map(|value| value.as_bytes().to_vec()).collect();
        assert_eq!(
            (cookies, back.len()),
            (vec![b"a=1".to_vec(), b"b=\xff\xfe".to_vec(), b"a=2".to_vec()], 5)
        );
    }

    #[test]
    fn only_wanted_headers_are_converted() {
        let wanted = |read| Wanted::new(read).of(&sent(), HeaderMap::clone);
        let one = wanted(HeadersRead::Named(COOKIE, None));
        assert_eq!((one.len(), lines(&one, "cookie").len()), (3, 3));
        let two = wanted(HeadersRead::Named(COOKIE, Some(USER_AGENT)));
        assert_eq!((two.len(), lines(&two, "user-agent")), (4, vec![&b"caf\xe9"[..]]));
        assert_eq!(wanted(HeadersRead::All).len(), 5);
    }
}

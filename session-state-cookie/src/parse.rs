//! Parsing of `Cookie` headers as bytes.
//!
//! The `cookie` crate is not used: its jar copies every cookie of the request, and its parser requires UTF-8 and trims
//! names. This parser allocates nothing, takes linear time, and accepts only the spelling of a name whose prefix rules the
//! browser enforces.

use http::HeaderMap;
use http::header::COOKIE;
use memchr::{memchr, memchr_iter};

/// Calls `found` with the value of each cookie with this name, in order.
///
/// The name is compared byte by byte. The value ends at the next semicolon, including quotes and spaces (by RFC 6265bis
/// §4.1.1 quotes belong to the value).
pub(crate) fn each_value<'a>(request: &'a HeaderMap, name: &[u8], mut found: impl FnMut(&'a [u8])) {
    each_pair(request, |pair| {
        if let Some(value) = value_of(pair, name) {
            found(value);
        }
    });
}

/// Calls `found` with each pair of the request's `Cookie` headers. An `Iterator` over nested iterators would take some 5 %
/// more instructions.
pub(crate) fn each_pair<'a>(request: &'a HeaderMap, mut found: impl FnMut(&'a [u8])) {
    // HTTP/2 and HTTP/3 may send one header per cookie (RFC 9113 §8.2.3).
    for header in request.get_all(COOKIE) {
        let mut rest = header.as_bytes();
        while let Some(end) = memchr(b';', rest) {
            found(&rest[..end]);
            rest = &rest[end + 1..];
        }
        found(rest);
    }
}

/// The value of a pair with exactly this name. Spaces and tabs before the name are skipped.
pub(crate) fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let blanks = pair.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    pair.get(blanks..)?.strip_prefix(name)?.strip_prefix(b"=")
}

/// The attributes by which a browser identifies a cookie of a host (RFC 6265bis §5.7, CHIPS). A second cookie with the
/// same identity replaces the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) domain: Option<String>,
    pub(crate) path: String,
    pub(crate) partitioned: bool,
}

impl Identity {
    /// The other cookies of this name that a response of this host can name: with no domain, with the path `/`, and
    /// unpartitioned.
    pub(crate) fn scopes(&self) -> Vec<Self> {
        let mut scopes = vec![self.clone()];
        let mut add = |change: fn(&mut Self)| {
            let mut more = scopes.clone();
            more.iter_mut().for_each(change);
            scopes.extend(more);
        };
        add(|scope| scope.domain = None);
        add(|scope| scope.path = "/".to_owned());
        add(|scope| scope.partitioned = false);
        scopes
    }

    /// Whether this `Set-Cookie` header sets this cookie, by a browser's parsing rules (RFC 6265bis §5.6).
    pub(crate) fn is_of(&self, set_cookie: &[u8]) -> bool {
        let mut ends = memchr_iter(b';', set_cookie).chain([set_cookie.len()]);
        let mut start = 0;
        let mut next = || {
            let part = set_cookie.get(start..ends.next()?);
            start += part.map_or(0, <[u8]>::len) + 1;
            part.map(split)
        };
        match next() {
            Some((name, Some(_))) if name == self.name.as_bytes() => {}
            _ => return false,
        }
        let (mut domain, mut path, mut partitioned) = (None, None, false);
        while let Some((attribute, value)) = next() {
            let value = value.unwrap_or_default();
            // Of a repeated attribute, browsers use the last.
            if attribute.eq_ignore_ascii_case(b"Domain") {
                domain = Some(value.strip_prefix(b".").unwrap_or(value)).filter(|domain| !domain.is_empty());
            } else if attribute.eq_ignore_ascii_case(b"Path") {
                path = Some(value);
            } else if attribute.eq_ignore_ascii_case(b"Partitioned") {
                partitioned = true;
            }
        }
        let same_domain = match (domain, &self.domain) {
            (Some(theirs), Some(ours)) => theirs.eq_ignore_ascii_case(ours.as_bytes()),
            (None, None) => true,
            _ => false,
        };
        // Without a path the browser derives one from the request's target, which is unknown here.
        same_domain && path == Some(self.path.as_bytes()) && partitioned == self.partitioned
    }
}

fn split(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b'=', part) {
        Some(at) => (part[..at].trim_ascii(), Some(part[at + 1..].trim_ascii())),
        None => (part.trim_ascii(), None),
    }
}

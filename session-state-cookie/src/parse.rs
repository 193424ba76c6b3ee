//! Cookie headers, read as bytes.
//!
//! By hand and not by the `cookie` crate, whose jar owns every cookie of the request and whose parser wants UTF-8 and
//! trims names: here nothing is allocated, each byte is looked at a fixed number of times, and no spelling of a name
//! counts that a browser would not have held to the rules of its prefix.

use memchr::{memchr, memchr_iter};
use session_core::{Candidates, SessionId};

/// Adds to `found` the ids of one `Cookie` header that stand under `name`.
///
/// Pairs are separated by semicolons; spaces and tabs before a name are skipped and nothing else is forgiven. The name
/// is compared byte by byte and the value is whatever stands up to the next semicolon, quotes and spaces included
/// (RFC 6265bis §4.1.1 makes quotes part of the value).
pub(crate) fn collect(header: &[u8], name: &[u8], found: &mut Candidates) {
    let mut rest = header;
    loop {
        let (pair, next) = match memchr(b';', rest) {
            Some(end) => (&rest[..end], Some(&rest[end + 1..])),
            None => (rest, None),
        };
        if let Some(value) = value_of(pair, name) {
            match SessionId::parse(value) {
                Some(id) => found.push(id),
                None => found.push_malformed(),
            }
        }
        match next {
            Some(next) => rest = next,
            None => return,
        }
    }
}

fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let blanks = pair.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    pair.get(blanks..)?.strip_prefix(name)?.strip_prefix(b"=")
}

/// What makes two cookies of one host the same one to a browser (RFC 6265bis §5.7, CHIPS): a second one replaces the
/// first.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) domain: Option<String>,
    pub(crate) path: String,
    pub(crate) partitioned: bool,
}

impl Identity {
    /// Whether this `Set-Cookie` header is about this cookie, read as a browser would (RFC 6265bis §5.6).
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
            // Of an attribute that stands there twice, browsers take the last.
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
        // Without a path the browser takes one from the request's target, which is not known here: not the same.
        same_domain && path == Some(self.path.as_bytes()) && partitioned == self.partitioned
    }
}

fn split(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr(b'=', part) {
        Some(at) => (part[..at].trim_ascii(), Some(part[at + 1..].trim_ascii())),
        None => (part.trim_ascii(), None),
    }
}

//! The format that a client accepts.

use std::sync::atomic::Ordering::Relaxed;

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};

use crate::session::Session;

/// No extractor has looked at the header. An atomic number, because a `OnceLock` costs several times as much here.
const UNKNOWN: u8 = 0;
const TEXT: u8 = 1;
const JSON: u8 = 2;

impl Session {
    /// Notes which format the client accepts. A session layer uses it if it has to replace the response. The extractors
    /// call it. The layer does not, because most requests ask for no session.
    pub fn note_accept(&self, request: &HeaderMap) {
        self.note_format(|| prefers_json(request));
    }

    #[inline]
    pub(crate) fn note_format(&self, prefers_json: impl FnOnce() -> bool) {
        if self.format().load(Relaxed) == UNKNOWN {
            self.format().store(if prefers_json() { JSON } else { TEXT }, Relaxed);
        }
    }

    /// Whether the client prefers JSON to text. `None` if [`note_accept`](Self::note_accept) was not called.
    #[must_use]
    pub fn prefers_json(&self) -> Option<bool> {
        match self.format().load(Relaxed) {
            UNKNOWN => None,
            format => Some(format == JSON),
        }
    }
}

/// Whether the client prefers JSON to text by its `Accept` header, for web layers. Of two types with equal weights, the
/// first counts. `*/*` alone means text.
#[must_use]
pub fn prefers_json(request: &HeaderMap) -> bool {
    let Some(first) = request.get(ACCEPT) else { return false };
    let all = || weighs_json(request.get_all(ACCEPT).iter().map(HeaderValue::as_bytes));
    usual(first.as_bytes()).unwrap_or_else(all)
}

/// As [`prefers_json`], from the lines of the `Accept` header.
#[must_use]
pub fn accepts_json<'a>(lines: impl Iterator<Item = &'a [u8]> + Clone) -> bool {
    let Some(first) = lines.clone().next() else { return false };
    usual(first).unwrap_or_else(|| weighs_json(lines))
}

/// The answer for a header whose first line is what most clients send.
#[inline]
fn usual(first: &[u8]) -> Option<bool> {
    match first {
        // What most clients begin with has the weight 1.
        [b't' | b'T', b'e', b'x', b't', b'/', b'h', b't', b'm', b'l', b',', ..] => Some(false),
        b"*/*" => Some(false),
        b"application/json" | b"application/problem+json" => Some(true),
        _ => None,
    }
}

fn weighs_json<'a>(lines: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut json = Weight::default();
    let mut text = Weight::default();
    for (place, item) in lines.flat_map(list_items).enumerate() {
        let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let Some(kind) = parts.next() else { continue };
        let weight = parts.find_map(weight_of).unwrap_or(1_000);
        let kind = kind.to_ascii_lowercase();
        match &kind[..] {
            b"application/problem+json" => json.name(3, weight, place),
            b"application/json" => json.name(2, weight, place),
            b"application/*" => json.name(1, weight, place),
            b"text/plain" => text.name(3, weight, place),
            b"text/html" | b"application/xhtml+xml" => text.name(2, weight, place),
            b"text/*" => text.name(1, weight, place),
            b"*/*" => {
                json.name(0, weight, usize::MAX);
                text.name(0, weight, place);
            }
            _ => {}
        }
    }
    json.weight > text.weight || json.weight == text.weight && json.weight > 0 && json.place < text.place
}

/// The weight of a type by the most specific entry that names it.
#[derive(Default)]
struct Weight {
    /// In thousandths.
    weight: u32,
    place: usize,
    /// How specific the entry is; 0 for none and `*/*`.
    specific: u8,
}

impl Weight {
    fn name(&mut self, specific: u8, weight: u32, place: usize) {
        let better = specific > self.specific || specific == self.specific && weight > self.weight;
        if better {
            *self = Self { weight, place, specific };
        }
    }
}

/// `q=0.5` in thousandths.
fn weight_of(parameter: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(parameter).ok()?;
    let (name, value) = text.split_once('=')?;
    if !name.trim_end().eq_ignore_ascii_case("q") {
        return None;
    }
    let weight = value.trim_start().parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight));
    // A malformed weight is ignored.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 1")]
    weight.map(|weight| (weight * 1_000.0).round() as u32)
}

/// The members of a header that is a comma-separated list, for web layers. Commas inside quotes do not separate (`no-cache="a, no-store"`).
pub fn list_items(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |byte| {
        let separates = *byte == b',' && !quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        separates
    })
    .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_header_chooses_the_format() {
        for (accept, json) in [
            (&[][..], false),
            (&["*/*"], false),
            (&[""], false),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], false),
            (&["TEXT/HTML, application/json"], false),
            (&["application/json"], true),
            (&["application/problem+json"], true),
            (&["Application/JSON; charset=utf-8"], true),
            (&["application/json, text/plain, */*"], true),
            (&["text/plain, application/json"], false),
            (&["text/plain;q=0.5, application/json"], true),
            (&["text/plain; q=0.5", "application/json;q=0.6"], true),
            (&["text/html;q=0.9, application/problem+json;q=0.9"], false),
            (&["application/json;q=0"], false),
            (&["application/json;q=0, */*"], false),
            (&["text/plain;q=0, */*"], true),
            (&["application/*"], true),
            (&["text/*, application/*;q=0.1"], false),
            (&["image/avif,image/webp,*/*;q=0.8"], false),
            (&["application/json;q=2"], true),
            (&["application/json;q=NaN, text/plain;q=0.1"], true),
            (&[";;;,,,q=1;=", "\u{7f}"], false),
            (&["application/json;v=\"a, text/plain\";q=0.1, text/plain"], false),
        ] {
            let mut headers = HeaderMap::new();
            for line in accept {
                if let Ok(line) = HeaderValue::from_str(line) {
                    headers.append(ACCEPT, line);
                }
            }
            assert_eq!(prefers_json(&headers), json, "{accept:?}");
        }
    }
}

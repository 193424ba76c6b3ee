//! The state: reads ids from request headers and writes the response header.

use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::FORWARDED;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use httpdate::HttpDate;
use session_core::{
    Candidates, Operation, Persistence, Result, SessionId, State, StoreError, StoreErrorKind, Timestamp,
    is_live,
};

use crate::attributes::Lifetime;
#[cfg(feature = "sealed")]
use crate::error::ConfigError;
use crate::parse;
use crate::scope::{Former, Scope};
#[cfg(feature = "signed")]
use crate::signed::Signer;

const MAX_AGE: &str = "; Max-Age=";
const EXPIRES: &str = "; Expires=";
/// The length of every `IMF-fixdate` (RFC 9110 §5.6.7).
const DATE_LEN: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();
/// 31 December 9999, 23:59:59: the last second that such a date can express.
const LAST_SECOND: u64 = 253_402_300_799;

/// The session id in a cookie. It contains only its configuration, so clones are independent.
#[derive(Clone, Debug)]
pub struct CookieState {
    cookie: Scope,
    secure: bool,
    lifetime: Lifetime,
    expires: bool,
    former: Former,
    #[cfg(feature = "signed")]
    signer: Option<std::sync::Arc<Signer>>,
}

impl CookieState {
    /// The cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.cookie.identity.name
    }

    /// How long the browser keeps the cookie of a session that has not chosen its own lifetime.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    pub(crate) fn new(
        cookie: Scope,
        secure: bool,
        lifetime: Lifetime,
        expires: bool,
        former: Former,
    ) -> Self {
        Self {
            cookie,
            secure,
            lifetime,
            expires,
            former,
            #[cfg(feature = "signed")]
            signer: None,
        }
    }

    /// The cookie, and the former ones.
    pub(crate) fn into_scopes(self) -> (Scope, Former) {
        (self.cookie, self.former)
    }

    /// The same cookie with signed ids, also those of former cookies.
    #[cfg(feature = "signed")]
    pub(crate) fn signed(mut self, signer: impl Fn(&str) -> Signer) -> Self {
        self.signer = Some(std::sync::Arc::new(signer(self.name())));
        for former in &mut self.former.names {
            former.signer = Some(signer(&former.name));
        }
        self
    }

    /// Another cookie with the same attributes, whose name has this at its end.
    #[cfg(feature = "sealed")]
    pub(crate) fn named(&self, end: &str) -> Result<Self, ConfigError> {
        let (cookie, former) = (self.cookie.named(end)?, self.former.named(end)?);
        Ok(Self::new(cookie, self.secure, self.lifetime, self.expires, former))
    }

    /// How many seconds the browser keeps a cookie that is sent at `now`, and the moment when the cookie ends.
    fn keeps(lifetime: Lifetime, deadline: Option<Timestamp>, now: Timestamp) -> Option<(u64, Timestamp)> {
        let time = match lifetime {
            Lifetime::BrowserSession => return None,
            Lifetime::Fixed(time) => time,
            Lifetime::FollowSession => {
                deadline.map_or(Lifetime::MAX, |deadline| deadline.saturating_since(now)).min(Lifetime::MAX)
            }
        };
        // Rounded up: a cookie may outlive its session by a part of a second, but rounding down would delete the cookie
        // in the session's last second.
        Some((time.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX), now.saturating_add(time)))
    }

    /// The lifetime of a session's cookie.
    fn lifetime_of(&self, persistence: Persistence) -> Lifetime {
        match persistence {
            Persistence::Browser => Lifetime::BrowserSession,
            Persistence::Session => Lifetime::FollowSession,
            _ => self.lifetime,
        }
    }

    /// The header's value, in one allocation of exactly its length: a `Vec` with spare capacity would be reallocated
    /// when it becomes the value.
    fn value(&self, content: &str, keeps: Option<(u64, Timestamp)>) -> std::io::Result<Vec<u8>> {
        let parts = [self.name(), "=", content, &self.cookie.fixed];
        let mut len = parts.iter().map(|part| part.len()).sum::<usize>();
        if let Some((seconds, _)) = keeps {
            len += MAX_AGE.len() + seconds.checked_ilog10().unwrap_or(0) as usize + 1;
            len += if self.expires { EXPIRES.len() + DATE_LEN } else { 0 };
        }
        let mut value = Vec::with_capacity(len);
        for part in parts {
            value.extend_from_slice(part.as_bytes());
        }
        if let Some((seconds, until)) = keeps {
            write!(value, "{MAX_AGE}{seconds}")?;
            if self.expires {
                let until = until.as_millis().div_ceil(1_000).min(LAST_SECOND);
                write!(value, "{EXPIRES}{}", HttpDate::from(UNIX_EPOCH + Duration::from_secs(until)))?;
            }
        }
        Ok(value)
    }

    /// Adds the header for this content. A session whose deadline has passed is erased.
    pub(crate) fn write_content(
        &self,
        content: &str,
        deadline: Option<Timestamp>,
        persistence: Persistence,
        now: Timestamp,
        response: &mut HeaderMap,
    ) -> Result<()> {
        let lifetime = self.lifetime_of(persistence);
        if lifetime == Lifetime::FollowSession && !is_live(deadline, now) {
            // A Max-Age of zero deletes the cookie; the deletion header does so without the id.
            return self.cookie.delete(response);
        }
        let value = self.value(content, Self::keeps(lifetime, deadline, now)).map_err(unwritable)?;
        let mut value = HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(unwritable)?;
        // Keeps the id out of `Debug` and out of HTTP/2's compression tables.
        value.set_sensitive(true);
        self.cookie.put(value, response)
    }
}

impl State for CookieState {
    fn read(&self, request: &HeaderMap) -> Candidates {
        let mut found = Found::default();
        #[cfg(feature = "signed")]
        if let Some(signer) = &self.signer {
            found.collect_signed(request, self.name(), signer);
            for former in &self.former.names {
                // `signed` has given one to each.
                former.signer.iter().for_each(|signer| found.collect_signed(request, &former.name, signer));
            }
            return found.candidates;
        }
        found.collect(request, self.name());
        self.former.names.iter().for_each(|former| found.collect(request, &former.name));
        found.candidates
    }

    fn write(
        &self,
        id: &SessionId,
        deadline: Option<Timestamp>,
        persistence: Persistence,
        now: Timestamp,
        response: &mut HeaderMap,
    ) -> Result<()> {
        #[cfg(feature = "signed")]
        if let Some(signer) = &self.signer {
            return self.write_content(&signer.value(id), deadline, persistence, now, response);
        }
        self.write_content(id.reveal().as_str(), deadline, persistence, now, response)
    }

    fn erase(&self, response: &mut HeaderMap) -> Result<()> {
        self.cookie.delete(response)
    }

    /// Deletes the cookies of this name and of [former](crate::CookieConfig::former) ones in every scope that the
    /// configuration knows: with and without the domain, at the path and at `/`, and unpartitioned.
    fn erase_others(&self, response: &mut HeaderMap) -> Result<()> {
        self.former.delete(response)
    }

    /// True with a lifetime, so that store and cookie are extended together.
    fn follows_deadline(&self, persistence: Persistence) -> bool {
        self.lifetime_of(persistence) != Lifetime::BrowserSession
    }

    /// Clients keep a `Secure` cookie over HTTPS only. Browsers make an exception for loopback, other clients do not.
    fn objection(&self, uri: &Uri, request: &HeaderMap) -> Option<&'static str> {
        (self.secure && !shows_https(uri, request)).then_some(
            "the session cookie is Secure, and the request shows no sign of HTTPS: over plain HTTP the client drops \
             the cookie, so each of its requests begins a new session. Use CookieConfig::development for development. \
             If a proxy ends TLS, let it send X-Forwarded-Proto",
        )
    }
}

/// The ids of a request.
#[derive(Default)]
struct Found {
    candidates: Candidates,
    #[cfg(feature = "signed")]
    verified: usize,
}

impl Found {
    fn add(&mut self, id: Option<SessionId>) {
        match id {
            Some(id) => self.candidates.push(id),
            None => self.candidates.push_malformed(),
        }
    }

    fn collect(&mut self, request: &HeaderMap, name: &str) {
        parse::each_value(request, name.as_bytes(), |value| self.add(SessionId::parse(value)));
    }

    /// A request costs at most four verifications.
    #[cfg(feature = "signed")]
    fn collect_signed(&mut self, request: &HeaderMap, name: &str, signer: &Signer) {
        parse::each_value(request, name.as_bytes(), |value| {
            self.verified += 1;
            self.add(if self.verified <= Candidates::MAX { signer.verify(value) } else { None });
        });
    }
}

/// Whether the client seems to use HTTPS. Browsers send `Sec-Fetch-Site` to HTTPS and to loopback only.
///
/// A layer asks at each request without a cookie. Looking up a name that is text, not parsed yet, takes twice as long.
fn shows_https(uri: &Uri, request: &HeaderMap) -> bool {
    static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
    let names = |name: &HeaderName, parts: &[&[u8]]| {
        let has = |line: &[u8], part: &&[u8]| {
            line.windows(part.len()).any(|found| found.eq_ignore_ascii_case(part))
        };
        let mut lines = request.get_all(name).iter().map(HeaderValue::as_bytes);
        lines.any(|line| parts.iter().any(|part| has(line, part)))
    };
    uri.scheme() == Some(&Scheme::HTTPS)
        || request.contains_key(&SEC_FETCH_SITE)
        || names(&X_FORWARDED_PROTO, &[b"https"])
        || names(&FORWARDED, &[b"proto=https", b"proto=\"https"])
}

fn unwritable(cause: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, Operation::State)
        .with_detail("the cookie cannot be written")
        .with_source(cause)
}

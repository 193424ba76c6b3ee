//! The state: reads ids from request headers and writes the response header.

use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{Entry, MaxSizeReached, SET_COOKIE};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Uri};
use httpdate::HttpDate;
use session_core::{
    Candidates, Operation, Persistence, Result, SessionId, State, StoreError, StoreErrorKind, Timestamp,
    is_live,
};

use crate::attributes::Lifetime;
use crate::error::ConfigError;
use crate::parse::{self, Identity};

const MAX_AGE: &str = "; Max-Age=";
const EXPIRES: &str = "; Expires=";
/// The length of every `IMF-fixdate` (RFC 9110 §5.6.7).
const DATE_LEN: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();
/// 31 December 9999, 23:59:59: the last second that such a date can express.
const LAST_SECOND: u64 = 253_402_300_799;

/// The session id in a cookie. It contains only its configuration, so clones are independent.
#[derive(Clone, Debug)]
pub struct CookieState {
    identity: Identity,
    /// The attributes that are the same in every header.
    fixed: String,
    secure: bool,
    lifetime: Lifetime,
    expires: bool,
    deletion: HeaderValue,
    #[cfg(feature = "signed")]
    signer: Option<std::sync::Arc<crate::signed::Signer>>,
}

impl CookieState {
    /// The cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// How long the browser keeps the cookie of a session that has not chosen its own lifetime.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    pub(crate) fn new(
        identity: Identity,
        fixed: String,
        secure: bool,
        lifetime: Lifetime,
        expires: bool,
    ) -> Result<Self, ConfigError> {
        // Both `Max-Age=0` and 1970, because some clients know only one of them. The grammar for servers has no zero,
        // but every browser's algorithm accepts it (RFC 6265bis §5.6.2).
        let deletion = format!("{}={fixed}{MAX_AGE}0{EXPIRES}{}", identity.name, HttpDate::from(UNIX_EPOCH));
        let deletion = HeaderValue::try_from(deletion).map_err(|_| ConfigError::InvalidName)?;
        Ok(Self {
            identity,
            fixed,
            secure,
            lifetime,
            expires,
            deletion,
            #[cfg(feature = "signed")]
            signer: None,
        })
    }

    /// The same cookie with signed ids.
    #[cfg(feature = "signed")]
    pub(crate) fn signed(mut self, signer: crate::signed::Signer) -> Self {
        self.signer = Some(std::sync::Arc::new(signer));
        self
    }

    /// Another cookie with the same attributes, whose name has this at its end.
    #[cfg(feature = "sealed")]
    pub(crate) fn named(&self, end: &str) -> Result<Self, ConfigError> {
        let mut identity = self.identity.clone();
        identity.name.push_str(end);
        Self::new(identity, self.fixed.clone(), self.secure, self.lifetime, self.expires)
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
        let parts = [self.name(), "=", content, &self.fixed];
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

    /// Adds our header, and replaces an earlier one for this cookie: RFC 6265bis §4.1.1 forbids two headers for one
    /// cookie.
    fn put(&self, value: HeaderValue, response: &mut HeaderMap) -> Result<()> {
        let ours = |header: &HeaderValue| self.identity.is_of(header.as_bytes());
        let all = response.get_all(SET_COOKIE);
        if !all.iter().any(ours) {
            return response.try_append(SET_COOKIE, value).map(drop).map_err(too_many);
        }
        // A HeaderMap can only remove all headers of a name, so the other headers are inserted again in their order.
        // They use one entry, whose place was just freed: append() would fail on a full map.
        let others: Vec<_> = all.iter().filter(|header| !ours(header)).cloned().collect();
        let mut headers = others.into_iter().chain([value]);
        response.remove(SET_COOKIE);
        let (Ok(Entry::Vacant(entry)), Some(first)) = (response.try_entry(SET_COOKIE), headers.next()) else {
            return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::State));
        };
        let mut entry = entry.try_insert_entry(first).map_err(too_many)?;
        headers.for_each(|header| entry.append(header));
        Ok(())
    }
}

impl CookieState {
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
            return self.put(self.deletion.clone(), response);
        }
        let value = self.value(content, Self::keeps(lifetime, deadline, now)).map_err(unwritable)?;
        let mut value = HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(unwritable)?;
        // Keeps the id out of `Debug` and out of HTTP/2's compression tables.
        value.set_sensitive(true);
        self.put(value, response)
    }
}

impl State for CookieState {
    fn read(&self, request: &HeaderMap) -> Candidates {
        let mut found = Candidates::none();
        let mut add = |id: Option<SessionId>| match id {
            Some(id) => found.push(id),
            None => found.push_malformed(),
        };
        let name = self.name().as_bytes();
        #[cfg(feature = "signed")]
        if let Some(signer) = &self.signer {
            let mut seen = 0;
            parse::each_value(request, name, |value| {
                seen += 1;
                add(if seen <= Candidates::MAX { signer.verify(value) } else { None });
            });
            return found;
        }
        parse::each_value(request, name, |value| add(SessionId::parse(value)));
        found
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
        self.put(self.deletion.clone(), response)
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

/// Whether the client seems to use HTTPS. Browsers send `Sec-Fetch-Site` to HTTPS and to loopback only.
fn shows_https(uri: &Uri, request: &HeaderMap) -> bool {
    let names_https = |(name, part): (&str, &[u8])| {
        let mut lines = request.get_all(name).iter().map(HeaderValue::as_bytes);
        lines.any(|line| line.windows(part.len()).any(|found| found.eq_ignore_ascii_case(part)))
    };
    uri.scheme() == Some(&Scheme::HTTPS)
        || request.contains_key("sec-fetch-site")
        || [
            ("x-forwarded-proto", &b"https"[..]),
            ("forwarded", b"proto=https"),
            ("forwarded", b"proto=\"https"),
        ]
        .into_iter()
        .any(names_https)
}

fn unwritable(cause: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::new(StoreErrorKind::Misconfigured, Operation::State)
        .with_detail("the cookie cannot be written")
        .with_source(cause)
}

fn too_many(cause: MaxSizeReached) -> StoreError {
    StoreError::new(StoreErrorKind::TooLarge, Operation::State)
        .with_detail("the response has too many headers")
        .with_source(cause)
}

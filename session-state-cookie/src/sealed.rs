//! The whole session in a cookie, or in a few.

use std::borrow::Cow;
use std::sync::Arc;

use base64_simd::URL_SAFE_NO_PAD;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderName, Uri};
use session_core::{
    Candidates, Carried, Carrier, Operation, Outgoing, Parts, Record, Result, SessionId, State as _,
    StoreError, StoreErrorKind,
};

use crate::check::MAX_NAME_AND_VALUE;
use crate::error::ConfigError;
use crate::keys::KeyRing;
use crate::parse;
use crate::seal::{MOST, OVERHEAD, Sealer};
use crate::state::CookieState;

/// The value of a cookie whose session has no data: the number of cookies, and base64url.
pub(crate) const LEAST_CHARS: usize = 1 + OVERHEAD.div_ceil(3) * 4;

/// The whole session in a cookie, encrypted: a [`Carrier`] for sessions without a store.
///
/// [`CookieConfig::build_sealed`](crate::CookieConfig::build_sealed) builds it. The cookie is sealed by AES-256-GCM-SIV
/// (RFC 8452) under a key that is derived for this name. Its id, deadline and data are inside of the seal. A value that no
/// key of the ring opens gives no session; the carrier has no weaker form to fall back to.
///
/// # Size
/// Browsers keep at most 4,096 bytes of name and value per cookie (RFC 6265bis §5.7). With the default name one cookie
/// holds a record of [`max_data_bytes`](Carrier::max_data_bytes) = 2,987 bytes. [`max_cookies`](Self::max_cookies) allows
/// more cookies, named `name.1` to `name.3`. Each request sends all of them, and servers limit the headers of a request,
/// many to 8 KiB. These names are reserved: with `max_cookies(n)` a response may replace or delete `name.1` to `name.(n-1)`.
///
/// # What a cookie cannot do
/// - The client may keep a copy and send it again until the deadline inside of it, also after a logout. A use before that
///   gets a later deadline, up to the absolute lifetime. Keep both timeouts short, and use epochs (`CarriedSessions` of
///   session-manager) to end the sessions of a user.
/// - Of two parallel requests the response that arrives last wins.
/// - The length of the cookie shows the length of the session.
#[derive(Clone, Debug)]
pub struct SealedCookie {
    sealer: Arc<Sealer>,
    /// The cookies, the first with the configured name.
    cookies: Arc<[CookieState; MOST]>,
    max_cookies: u8,
}

impl SealedCookie {
    pub(crate) fn new(first: CookieState, ring: &KeyRing) -> std::result::Result<Self, ConfigError> {
        let sealer = Arc::new(Sealer::new(ring, first.name()));
        let others = [first.named(".1")?, first.named(".2")?, first.named(".3")?];
        let [one, two, three] = others;
        Ok(Self { sealer, cookies: Arc::new([first, one, two, three]), max_cookies: 1 })
    }

    /// How many cookies a session may have, 1 to 4; 1 by default. Values outside are moved to the nearest.
    ///
    /// Sessions with more cookies, of an earlier configuration, stay readable, and may shrink.
    #[must_use]
    pub fn max_cookies(mut self, most: u8) -> Self {
        self.max_cookies = most.clamp(1, MOST as u8);
        self
    }

    /// The cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.cookies[0].name()
    }

    /// How many characters of the sealed session each cookie holds.
    fn room(&self, cookie: usize) -> usize {
        // The first holds the number of cookies too.
        (MAX_NAME_AND_VALUE - usize::from(cookie == 0)).saturating_sub(self.cookies[cookie].name().len())
    }

    /// The most characters that this many cookies hold.
    fn rooms(&self, cookies: usize) -> usize {
        (0..cookies).map(|cookie| self.room(cookie)).sum()
    }

    /// The most bytes of data that this many cookies hold.
    fn holds(&self, cookies: usize) -> usize {
        (self.rooms(cookies) * 3 / 4).saturating_sub(OVERHEAD)
    }

    /// The number in the name of a further cookie.
    fn further<'a>(&self, pair: &'a [u8]) -> Option<(usize, &'a [u8])> {
        (1..MOST).find_map(|at| Some((at, parse::value_of(pair, self.cookies[at].name().as_bytes())?)))
    }

    /// The session that begins with this value, and its number of cookies.
    fn open_in(&self, values: &[Vec<&[u8]>; MOST], first: &[u8]) -> Option<(u8, (SessionId, Record))> {
        let (count, text) = first.split_first()?;
        let count = usize::from(count.checked_sub(b'0')?);
        if !(1..=MOST).contains(&count) {
            return None;
        }
        let further = &values[1..count];
        // Usually there is one of each. More come from another path or domain, whose order is the same for each name.
        let sets = further.iter().map(Vec::len).max().unwrap_or(1).min(Candidates::MAX);
        (0..sets).find_map(|set| {
            let mut whole = Cow::Borrowed(text);
            for of_one in further {
                whole.to_mut().extend_from_slice(of_one.get(set).or(of_one.first())?);
            }
            if whole.len() > MOST * MAX_NAME_AND_VALUE {
                return None;
            }
            let session = self.sealer.open(URL_SAFE_NO_PAD.decode_to_vec(&whole).ok()?, count as u8)?;
            Some((count as u8, session))
        })
    }

    /// All cookies that the configuration allows, and those that the request had: a parallel response may just have made
    /// some.
    fn kept(&self, parts: Parts) -> impl Iterator<Item = &CookieState> {
        let may_be_there = move |at| at < usize::from(self.max_cookies) || parts.contains(at as u8);
        self.cookies.iter().enumerate().filter_map(move |(at, cookie)| may_be_there(at).then_some(cookie))
    }

    /// The response's cookies are as before if this fails.
    fn all_or_nothing(
        response: &mut HeaderMap,
        change: impl FnOnce(&mut HeaderMap) -> Result<()>,
    ) -> Result<()> {
        let before: Vec<_> = response.get_all(SET_COOKIE).iter().cloned().collect();
        change(response).inspect_err(|_| {
            response.remove(SET_COOKIE);
            for header in before {
                // They were there before, so there is space for them.
                let _ = response.try_append(SET_COOKIE, header);
            }
        })
    }
}

impl Carrier for SealedCookie {
    fn open(&self, request: &HeaderMap) -> Carried {
        let mut carried = Carried::default();
        let mut values: [Vec<&[u8]>; MOST] = Default::default();
        parse::each_pair(request, |pair| {
            if let Some(value) = parse::value_of(pair, self.name().as_bytes()) {
                values[0].push(value);
            } else if let Some((at, value)) = self.further(pair) {
                // With fewer cookies the name may be that of the application.
                if at < usize::from(self.max_cookies) {
                    carried.parts.insert(at as u8);
                }
                values[at].push(value);
            }
        });
        for (at, first) in values[0].iter().enumerate() {
            let opened = if at < Candidates::MAX { self.open_in(&values, first) } else { None };
            match opened {
                Some((count, (id, record))) => {
                    (1..count).for_each(|part| carried.parts.insert(part));
                    carried.push(id, record);
                }
                None => carried.candidates.push_malformed(),
            }
        }
        carried
    }

    fn write(&self, session: Outgoing<'_>, parts: Parts, response: &mut HeaderMap) -> Result<()> {
        let Outgoing { id, record, persistence, now, .. } = session;
        let len = record.data.len();
        let chars = (4 * (len + OVERHEAD)).div_ceil(3);
        let Some(count) = (1..=MOST).find(|count| chars <= self.rooms(*count)) else {
            return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::State)
                .with_detail(format!("a session of {len} bytes; {MOST} cookies hold {}", self.holds(MOST))));
        };
        let text = URL_SAFE_NO_PAD.encode_to_string(self.sealer.seal(id, record, count as u8)?);
        Self::all_or_nothing(response, |response| {
            let mut rest = text.as_str();
            for (at, cookie) in self.cookies.iter().enumerate() {
                if at < count {
                    let (content, next) = rest.split_at(rest.len().min(self.room(at)));
                    rest = next;
                    let numbered = if at == 0 { format!("{count}{content}") } else { content.to_owned() };
                    cookie.write_content(&numbered, record.expires, persistence, now, response)?;
                } else if parts.contains(at as u8) {
                    cookie.erase(response)?;
                }
            }
            Ok(())
        })
    }

    fn erase(&self, parts: Parts, response: &mut HeaderMap) -> Result<()> {
        Self::all_or_nothing(response, |response| {
            self.kept(parts).try_for_each(|cookie| cookie.erase(response))
        })
    }

    /// Erases these cookies in the other scopes of the configuration, and the former ones.
    fn erase_others(&self, parts: Parts, response: &mut HeaderMap) -> Result<()> {
        Self::all_or_nothing(response, |response| {
            self.kept(parts).try_for_each(|cookie| cookie.erase_others(response))
        })
    }

    fn max_data_bytes(&self) -> usize {
        self.holds(usize::from(self.max_cookies))
    }

    fn is_sent(&self, request: &HeaderMap) -> bool {
        let mut sent = false;
        parse::each_value(request, self.name().as_bytes(), |_| sent = true);
        sent
    }

    fn objection(&self, uri: &Uri, request: &HeaderMap) -> Option<&'static str> {
        self.cookies[0].objection(uri, request)
    }

    fn varies_on(&self) -> HeaderName {
        self.cookies[0].varies_on()
    }
}

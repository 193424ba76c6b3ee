//! Cookies that the application has not made for this client now: tampered with, truncated, replayed, downgraded,
//! foreign, oversized. None is a session, a server error or a panic.
//!
//! `SESSION_KIT_FULL=1` tries a million.

use std::cell::Cell;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use session_kit::cookie::CookieConfig;
use session_kit::session_core::{SessionId, State as _};
use session_kit::test_kit::{Answer, Client};
use session_kit::{KeyRing, SecretKey};

use super::app::{NAME, app, clock, no_store, ring, sealed};

/// The users of the genuine cookies and the bytes of their sessions: one cookie, and two times three cookies.
const GENUINE: [(&str, usize); 3] = [("ada", 10), ("bob", 6_500), ("cyd", 6_500)];

/// Cookies in the hands of an attacker, in their parts. The genuine ones are first. The others are sealed by another ring,
/// for another name or for another purpose, have expired, or are ids, plain and signed.
type Loot = Vec<Vec<String>>;

/// The values of a client's cookies in the order of their parts.
fn values(client: &Client<Router>, name: &str) -> Vec<String> {
    let further = (1..4).map(|at| format!("{name}.{at}"));
    let names = std::iter::once(name.to_owned()).chain(further);
    names.map_while(|name| client.cookie(&name).map(str::to_owned)).collect()
}

async fn loot(ring: &KeyRing) -> (Loot, Client<Router>) {
    let clock = clock();
    let make = async |ring: &KeyRing, name: &str, (user, bytes): (&str, usize)| {
        let cookie = CookieConfig::new().name(name).build_sealed(ring).unwrap().max_cookies(4);
        let mut client = Client::new(app(no_store(&clock), cookie));
        client.post(&format!("/login/{user}"), "").await;
        client.post(&format!("/fill/{bytes}"), "").await;
        values(&client, name)
    };
    let mut invalid = Vec::new();
    for session in &GENUINE[..2] {
        invalid.push(make(ring, NAME, *session).await);
    }
    clock.advance(Duration::from_secs(2 * 3_600));
    let mut all = Vec::new();
    for session in GENUINE {
        all.push(make(ring, NAME, session).await);
    }
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3, 3]);
    for session in &GENUINE[..2] {
        invalid.push(make(&super::app::ring(), NAME, *session).await);
        invalid.push(make(ring, "__Host-other", *session).await);
        invalid.push(make(&ring.for_purpose("admin"), NAME, *session).await);
    }
    let id = SessionId::generate().unwrap();
    for state in [CookieConfig::new().build().unwrap(), CookieConfig::new().build_signed(ring).unwrap()] {
        let mut headers = HeaderMap::new();
        state.write(&id, None, Default::default(), clock_now(), &mut headers).unwrap();
        let line = headers["set-cookie"].to_str().unwrap();
        let value = line.split(';').next().unwrap().split_once('=').unwrap().1;
        invalid.extend([vec![value.to_owned()], vec![format!("1{value}")]]);
    }
    all.extend(invalid);
    (all, Client::new(app(no_store(&clock), sealed(ring, 4))))
}

fn clock_now() -> session_kit::Timestamp {
    session_kit::Clock::now(&clock())
}

/// A cookie of a request: the number in its name, and its value.
type Pair = (usize, Vec<u8>);

fn pairs(parts: &[String]) -> Vec<Pair> {
    parts.iter().map(|part| part.clone().into_bytes()).enumerate().collect()
}

/// The lines of the request, with other cookies around. A new line begins before each pair whose place says so.
fn lines(pairs: &[Pair], breaks: &[bool]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut line = b"theme=dark".to_vec();
    let mut end = |line: &mut Vec<u8>| {
        headers.append("cookie", HeaderValue::from_bytes(&std::mem::take(line)).unwrap());
    };
    for (at, (number, value)) in pairs.iter().enumerate() {
        if breaks.get(at).is_some_and(|is_new| *is_new) {
            end(&mut line);
        } else {
            line.extend_from_slice(b"; ");
        }
        let number = if *number == 0 { String::new() } else { format!(".{number}") };
        line.extend_from_slice(format!("{NAME}{number}=").as_bytes());
        line.extend_from_slice(value);
    }
    end(&mut line);
    headers
}

async fn send(client: &Client<Router>, path: &str, headers: HeaderMap) -> Answer {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    *request.headers_mut() = headers;
    client.clone().send(request).await
}

/// One change. Positions are parts of the whole, so that they fit every cookie.
#[derive(Clone, Debug)]
enum Change {
    /// Another character of the alphabet, or any byte that a header allows.
    Replace(Index, Index, u8),
    Flip(Index, Index, u8),
    Truncate(Index, Index),
    Insert(Index, Index, Vec<u8>),
    /// Another number of cookies.
    Number(u8),
    /// Another version inside of the seal's head.
    Version(u8),
    DropPart(Index),
    /// Another number in the name.
    Rename(Index, usize),
    SwapParts(Index, Index),
    /// The same part of another cookie, in place of this one.
    Foreign(Index, Index),
    /// The same part of another cookie, before this one or after it.
    Second(Index, Index, bool),
    /// A part twice.
    Repeat(Index, bool),
}

/// The number of cases: a million with `SESSION_KIT_FULL=1`, and as many as a debug build tries in some ten seconds
/// without it.
#[expect(clippy::disallowed_methods, reason = "a developer chooses the long form")]
fn cases() -> u32 {
    let full = std::env::var_os("SESSION_KIT_FULL").is_some_and(|value| value != "0");
    if full { 1_000_000 } else { 40_000 }
}

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() })
}

/// Any byte that a header allows and that does not end the value; more often one that base64 may have.
fn byte() -> impl Strategy<Value = u8> {
    let any: Vec<u8> = (32..=255).filter(|byte| *byte != 127 && *byte != b';').collect();
    prop_oneof![
        prop::sample::select(
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/. ".to_vec()
        ),
        prop::sample::select(any),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        (index(), index(), byte()).prop_map(|(part, at, byte)| Change::Replace(part, at, byte)),
        (index(), index(), 0..6_u8).prop_map(|(part, at, bit)| Change::Flip(part, at, bit)),
        (index(), index()).prop_map(|(part, at)| Change::Truncate(part, at)),
        (index(), index(), prop::collection::vec(byte(), 1..40))
            .prop_map(|(part, at, bytes)| Change::Insert(part, at, bytes)),
        (index(), index(), byte(), 4_000..9_000_usize).prop_map(|(part, at, byte, len)| Change::Insert(
            part,
            at,
            vec![byte; len]
        )),
        byte().prop_map(Change::Number),
        any::<u8>().prop_map(Change::Version),
        index().prop_map(Change::DropPart),
        (index(), 0..5_usize).prop_map(|(part, number)| Change::Rename(part, number)),
        (index(), index()).prop_map(|(one, other)| Change::SwapParts(one, other)),
        (index(), index()).prop_map(|(part, source)| Change::Foreign(part, source)),
        (index(), index(), any::<bool>())
            .prop_map(|(part, source, before)| Change::Second(part, source, before)),
        (index(), any::<bool>()).prop_map(|(part, before)| Change::Repeat(part, before)),
    ]
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Sets the version, whose upper six bits are in the first character after the number, and the lower two in the next.
fn set_version(value: &mut [u8], version: u8) {
    if let [_, upper, lower, ..] = value
        && let Some(old) = ALPHABET.iter().position(|char| *char == *lower)
    {
        *upper = ALPHABET[usize::from(version >> 2)];
        *lower = ALPHABET[usize::from(version & 3) << 4 | old & 15];
    }
}

impl Change {
    fn apply(&self, pairs: &mut Vec<Pair>, loot: &[Vec<String>]) {
        if pairs.is_empty() {
            pairs.push((0, Vec::new()));
        }
        let len = pairs.len();
        let foreign = |number: usize, source: &Index| {
            let part = source.get(loot).get(number)?;
            Some((number, part.clone().into_bytes()))
        };
        match self {
            Self::Replace(part, at, byte) => {
                let value = &mut pairs[part.index(len)].1;
                if !value.is_empty() {
                    let at = at.index(value.len());
                    value[at] = *byte;
                }
            }
            Self::Flip(part, at, bit) => {
                let value = &mut pairs[part.index(len)].1;
                if !value.is_empty() {
                    let at = at.index(value.len());
                    if let Some(six) = ALPHABET.iter().position(|char| *char == value[at]) {
                        value[at] = ALPHABET[six ^ 1 << bit];
                    }
                }
            }
            Self::Truncate(part, at) => {
                let value = &mut pairs[part.index(len)].1;
                value.truncate(at.index(value.len() + 1));
            }
            Self::Insert(part, at, bytes) => {
                let value = &mut pairs[part.index(len)].1;
                let at = at.index(value.len() + 1);
                value.splice(at..at, bytes.iter().copied());
            }
            Self::Number(byte) => {
                if let Some(first) = pairs[0].1.first_mut() {
                    *first = *byte;
                }
            }
            Self::Version(version) => set_version(&mut pairs[0].1, *version),
            Self::DropPart(part) => drop(pairs.remove(part.index(len))),
            Self::Rename(part, number) => pairs[part.index(len)].0 = *number,
            Self::SwapParts(one, other) => {
                let (one, other) = (one.index(len), other.index(len));
                let value = std::mem::take(&mut pairs[one].1);
                let value = std::mem::replace(&mut pairs[other].1, value);
                pairs[one].1 = value;
            }
            Self::Foreign(part, source) => {
                let at = part.index(len);
                if let Some(pair) = foreign(pairs[at].0, source) {
                    pairs[at] = pair;
                }
            }
            Self::Second(part, source, before) => {
                let at = part.index(len);
                if let Some(pair) = foreign(pairs[at].0, source) {
                    pairs.insert(at + usize::from(!before), pair);
                }
            }
            Self::Repeat(part, before) => {
                let at = part.index(len);
                let pair = pairs[at].clone();
                pairs.insert(if *before { 0 } else { at }, pair);
            }
        }
    }
}

/// Half of the cases are genuine cookies with at least one change.
#[test]
fn forged_cookies_are_never_a_session() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (loot, client) = runtime.block_on(loot(&ring()));
    let genuine = GENUINE.len();
    let source = prop_oneof![
        (0..genuine, prop::collection::vec(change(), 1..4)),
        (genuine..loot.len(), prop::collection::vec(change(), 0..4)),
    ];
    let kinds = (source, prop::collection::vec(any::<bool>(), 0..6), any::<bool>());
    let (changed, opened) = (Cell::new(0_u32), Cell::new(0_u32));
    let result = runner().run(&kinds, |((which, changes), breaks, writes)| {
        let source = pairs(&loot[which]);
        let mut sent = source.clone();
        changes.iter().for_each(|change| change.apply(&mut sent, &loot));
        changed.set(changed.get() + u32::from(which < genuine && sent != source));
        // Genuine cookies all of whose parts are sent, unchanged. With two values of a name, others may be tried instead.
        let whole = |parts: &Vec<String>| pairs(parts).iter().all(|part| sent.contains(part));
        let whole: Vec<_> = GENUINE.iter().zip(&loot).filter(|(_, parts)| whole(parts)).collect();
        let is_double = |number| sent.iter().filter(|(other, _)| *other == number).count() > 1;
        let headers = lines(&sent, &breaks);
        let answer = runtime.block_on(send(&client, if writes { "/count" } else { "/show" }, headers));
        prop_assert_eq!(answer.status.as_u16(), 200);
        if writes {
            prop_assert_eq!(answer.text(), "1");
            return Ok(());
        }
        let is_open = whole.iter().any(|((user, _), _)| answer.text() == format!("{user} true 1"));
        opened.set(opened.get() + u32::from(is_open));
        if whole.is_empty() || (!is_open && (0..4).any(is_double)) {
            prop_assert_eq!(answer.text(), "guest false 0");
        } else {
            prop_assert!(is_open, "{}", answer.text());
        }
        Ok(())
    });
    result.unwrap();
    let (cases, changed, opened) = (cases(), changed.get(), opened.get());
    println!(
        "{cases} requests, {changed} with a changed genuine cookie; {opened} had a whole one and opened it"
    );
    assert!(changed > cases / 10 * 4 && opened > 0, "{changed} {opened}");
}

/// The version is the first byte of the sealed form. A client may also send only a part of a cookie.
#[tokio::test]
async fn each_version_and_each_length_is_no_session() {
    let (loot, client) = loot(&ring()).await;
    let show = async |pairs: &[Pair]| {
        let answer = send(&client, "/show", lines(pairs, &[])).await;
        assert_eq!(answer.status, 200);
        answer.text().to_owned()
    };
    for ((user, _), parts) in GENUINE.iter().zip(&loot) {
        for version in 0..=u8::MAX {
            let mut sent = pairs(parts);
            set_version(&mut sent[0].1, version);
            let expected = if version == 1 { format!("{user} true 1") } else { "guest false 0".to_owned() };
            assert_eq!(show(&sent).await, expected, "version {version}");
        }
    }
    let whole = pairs(&loot[0]);
    for len in 0..whole[0].1.len() {
        assert_eq!(show(&[(0, whole[0].1[..len].to_vec())]).await, "guest false 0", "{len} characters");
    }
}

/// A signed id is checked before the store is asked; the same forgeries find no id.
#[test]
fn forged_signatures_find_no_id() {
    let old = SecretKey::generate().unwrap();
    let ring = KeyRing::new(SecretKey::generate().unwrap()).and_older(old.clone()).unwrap();
    let state = CookieConfig::new().build_signed(&ring).unwrap();
    let id = SessionId::generate().unwrap();
    let value = |ring: &KeyRing, name: &str| {
        let state = CookieConfig::new().name(name).build_signed(ring).unwrap();
        let mut headers = HeaderMap::new();
        state.write(&id, None, Default::default(), clock_now(), &mut headers).unwrap();
        let line = headers["set-cookie"].to_str().unwrap().to_owned();
        line.split(';').next().unwrap().split_once('=').unwrap().1.to_owned()
    };
    let read = |headers: &HeaderMap| {
        let found = state.read(headers);
        (found.iter().copied().collect::<Vec<_>>(), found.malformed())
    };
    let read_one = |value: &str| read(&lines(&[(0, value.into())], &[]));
    let genuine = [value(&ring, NAME), value(&KeyRing::new(old), NAME)];
    for value in &genuine {
        assert_eq!(read_one(value), (vec![id], 0));
    }
    for foreign in [
        value(&super::app::ring(), NAME),
        value(&ring, "__Host-other"),
        value(&ring.for_purpose("admin"), NAME),
        id.reveal().as_str().to_owned(),
        format!("{}.", id.reveal().as_str()),
    ] {
        assert_eq!(read_one(&foreign), (vec![], 1), "{foreign}");
    }
    let kinds =
        (0..2_usize, prop::collection::vec(change(), 1..3), prop::collection::vec(any::<bool>(), 0..4));
    let result = runner().run(&kinds, |(which, changes, breaks)| {
        let mut sent = vec![(0, genuine[which].clone().into_bytes())];
        let loot = genuine.each_ref().map(|value| vec![value.clone()]);
        changes.iter().for_each(|change| change.apply(&mut sent, &loot));
        let values: Vec<_> = sent.iter().filter(|(number, _)| *number == 0).map(|(_, value)| value).collect();
        let is_whole = values.iter().any(|value| genuine.iter().any(|one| one.as_bytes() == *value));
        let (ids, malformed) = read(&lines(&sent, &breaks));
        prop_assert_eq!(&*ids, if is_whole { &[id][..] } else { &[] });
        prop_assert!(malformed <= values.len(), "{}", malformed);
        Ok(())
    });
    result.unwrap();
}

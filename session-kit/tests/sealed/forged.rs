//! Cookies that the application has not made for this client now: tampered with, truncated, replayed, downgraded,
//! foreign, oversized. None is a session, a server error or a panic.
//!
//! `SESSION_KIT_FULL=1` tries a million.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use session_kit::cookie::CookieConfig;
use session_kit::session_core::{SessionId, State as _};
use session_kit::test_kit::Client;
use session_kit::{KeyRing, SecretKey};

use super::app::{NAME, app, clock, no_store, ring, sealed};

/// Cookies in the hands of an attacker, valid ones and others.
struct Loot {
    /// Genuine cookies, in one and in three parts.
    genuine: Vec<Vec<String>>,
    /// Sealed by another ring, for another name, for another purpose; expired; ids, plain and signed.
    invalid: Vec<Vec<String>>,
}

/// The values of a client's cookies in the order of their parts.
fn values(client: &Client<Router>, name: &str) -> Vec<String> {
    let further = (1..4).map(|at| format!("{name}.{at}"));
    let names = std::iter::once(name.to_owned()).chain(further);
    names.map_while(|name| client.cookie(&name).map(str::to_owned)).collect()
}

async fn loot(ring: &KeyRing) -> (Loot, Client<Router>) {
    let clock = clock();
    let make = async |ring: &KeyRing, name: &str, bytes: usize| {
        let cookie = CookieConfig::new().name(name).build_sealed(ring).unwrap().max_cookies(4);
        let mut client = Client::new(app(no_store(&clock), cookie));
        client.post("/login/ada", "").await;
        client.post(&format!("/fill/{bytes}"), "").await;
        values(&client, name)
    };
    let mut invalid = Vec::new();
    for bytes in [10, 6_500] {
        invalid.push(make(ring, NAME, bytes).await);
    }
    clock.advance(Duration::from_secs(2 * 3_600));
    let mut genuine = Vec::new();
    for bytes in [10, 6_500] {
        genuine.push(make(ring, NAME, bytes).await);
        invalid.push(make(&super::app::ring(), NAME, bytes).await);
        invalid.push(make(ring, "__Host-other", bytes).await);
        invalid.push(make(&ring.for_purpose("admin"), NAME, bytes).await);
    }
    let id = SessionId::generate().unwrap();
    for state in [CookieConfig::new().build().unwrap(), CookieConfig::new().build_signed(ring).unwrap()] {
        let mut headers = axum::http::HeaderMap::new();
        state.write(&id, None, Default::default(), clock_now(), &mut headers).unwrap();
        let line = headers["set-cookie"].to_str().unwrap();
        let value = line.split(';').next().unwrap().split_once('=').unwrap().1;
        invalid.extend([vec![value.to_owned()], vec![format!("1{value}")]]);
    }
    let client = Client::new(app(no_store(&clock), sealed(ring, 4)));
    (Loot { genuine, invalid }, client)
}

fn clock_now() -> session_kit::Timestamp {
    session_kit::Clock::now(&clock())
}

/// One change. Positions are parts of the whole, so that they fit every cookie.
#[derive(Clone, Debug)]
enum Change {
    /// Another character of the alphabet, or any byte that a header allows.
    Replace(prop::sample::Index, prop::sample::Index, u8),
    Flip(prop::sample::Index, prop::sample::Index, u8),
    Truncate(prop::sample::Index, prop::sample::Index),
    Insert(prop::sample::Index, prop::sample::Index, Vec<u8>),
    /// Another number of cookies.
    Number(u8),
    /// Another version inside of the seal's head.
    Version(u8),
    DropPart(prop::sample::Index),
    SwapParts(prop::sample::Index, prop::sample::Index),
    /// A part of the other session.
    ForeignPart(prop::sample::Index),
}

/// Runs a million cases with `SESSION_KIT_FULL=1`, and 20,000 without it.
#[expect(clippy::disallowed_methods, reason = "a developer chooses the long form")]
fn runner() -> TestRunner {
    let full = std::env::var_os("SESSION_KIT_FULL").is_some_and(|value| value != "0");
    let cases = if full { 1_000_000 } else { 20_000 };
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
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
    let index = any::<prop::sample::Index>;
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
        (index(), index()).prop_map(|(one, other)| Change::SwapParts(one, other)),
        index().prop_map(Change::ForeignPart),
    ]
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Change {
    fn apply(&self, cookie: &mut Vec<Vec<u8>>, other: &[String]) {
        let parts = cookie.len().max(1);
        if cookie.is_empty() {
            cookie.push(Vec::new());
        }
        match self {
            Self::Replace(part, at, byte) => {
                let part = &mut cookie[part.index(parts)];
                if !part.is_empty() {
                    let at = at.index(part.len());
                    part[at] = *byte;
                }
            }
            Self::Flip(part, at, bit) => {
                let part = &mut cookie[part.index(parts)];
                if !part.is_empty() {
                    let at = at.index(part.len());
                    if let Some(value) = ALPHABET.iter().position(|char| *char == part[at]) {
                        part[at] = ALPHABET[value ^ 1 << bit];
                    }
                }
            }
            Self::Truncate(part, at) => {
                let part = &mut cookie[part.index(parts)];
                let len = at.index(part.len() + 1);
                part.truncate(len);
            }
            Self::Insert(part, at, bytes) => {
                let part = &mut cookie[part.index(parts)];
                let at = at.index(part.len() + 1);
                part.splice(at..at, bytes.iter().copied());
            }
            Self::Number(byte) => {
                if let Some(first) = cookie[0].first_mut() {
                    *first = *byte;
                }
            }
            Self::Version(version) => {
                // The first character after the number has the upper six bits of the version.
                if let Some(char) = cookie[0].get_mut(1) {
                    *char = ALPHABET[usize::from(version >> 2)];
                }
            }
            Self::DropPart(part) => drop(cookie.remove(part.index(parts))),
            Self::SwapParts(one, other) => cookie.swap(one.index(parts), other.index(parts)),
            Self::ForeignPart(part) => {
                let at = part.index(parts);
                if let Some(foreign) = other.get(at) {
                    cookie[at] = foreign.clone().into_bytes();
                }
            }
        }
    }
}

/// The cookie header, with other cookies around.
fn header(cookie: &[Vec<u8>]) -> Option<HeaderValue> {
    let mut line = b"theme=dark".to_vec();
    for (at, part) in cookie.iter().enumerate() {
        let name = if at == 0 { NAME.to_owned() } else { format!("{NAME}.{at}") };
        line.extend_from_slice(format!("; {name}=").as_bytes());
        line.extend_from_slice(part);
    }
    HeaderValue::from_bytes(&line).ok()
}

#[test]
fn forged_cookies_are_never_a_session() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ring = ring();
    let (loot, client) = runtime.block_on(loot(&ring));
    let mut runner = runner();
    let (genuine, invalid) = (loot.genuine.len(), loot.invalid.len());
    let kinds = (0..genuine + invalid, prop::collection::vec(change(), 0..4), any::<bool>());
    let result = runner.run(&kinds, |(which, changes, with_session)| {
        let (source, other) = match which.checked_sub(genuine) {
            None => (&loot.genuine[which], &loot.invalid[0]),
            Some(which) => (&loot.invalid[which], &loot.genuine[0]),
        };
        let mut cookie: Vec<_> = source.iter().map(|part| part.clone().into_bytes()).collect();
        changes.iter().for_each(|change| change.apply(&mut cookie, other));
        let Some(line) = header(&cookie) else { return Ok(()) };
        // A browser trims white space around a value, and so may a change that does not change anything.
        let is_genuine = loot.genuine.iter().any(|genuine| {
            let parts = genuine.len();
            cookie.len() >= parts && genuine.iter().zip(&cookie).all(|(one, other)| one.as_bytes() == other)
        });
        let mut client = client.clone();
        let path = if with_session { "/count" } else { "/show" };
        let request = Request::get(path).header("cookie", line).body(Body::empty()).unwrap();
        let answer = runtime.block_on(client.send(request));
        prop_assert_eq!(answer.status.as_u16(), 200);
        match (is_genuine, with_session) {
            (false, false) => prop_assert_eq!(answer.text(), "guest false 0"),
            (false, true) => prop_assert_eq!(answer.text(), "1"),
            (true, false) => prop_assert_eq!(answer.text(), "ada true 1"),
            (true, true) => prop_assert_eq!(answer.text(), "1"),
        }
        Ok(())
    });
    result.unwrap();
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
        let mut headers = axum::http::HeaderMap::new();
        state.write(&id, None, Default::default(), clock_now(), &mut headers).unwrap();
        let line = headers["set-cookie"].to_str().unwrap().to_owned();
        line.split(';').next().unwrap().split_once('=').unwrap().1.to_owned()
    };
    let read = |value: &[u8]| {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_bytes(&[NAME.as_bytes(), b"=", value].concat()).unwrap());
        let found = state.read(&headers);
        (found.iter().copied().collect::<Vec<_>>(), found.malformed())
    };
    let genuine = [value(&ring, NAME), value(&KeyRing::new(old), NAME)];
    for value in &genuine {
        assert_eq!(read(value.as_bytes()), (vec![id], 0));
    }
    for foreign in [
        value(&super::app::ring(), NAME),
        value(&ring, "__Host-other"),
        value(&ring.for_purpose("admin"), NAME),
        id.reveal().as_str().to_owned(),
        format!("{}.", id.reveal().as_str()),
    ] {
        assert_eq!(read(foreign.as_bytes()), (vec![], 1), "{foreign}");
    }
    let mut runner = runner();
    let result = runner.run(&(0..2_usize, prop::collection::vec(change(), 1..3)), |(which, changes)| {
        let mut cookie = vec![genuine[which].clone().into_bytes()];
        changes.iter().for_each(|change| change.apply(&mut cookie, &[]));
        let Some(forged) = cookie.first() else { return Ok(()) };
        if HeaderValue::from_bytes(forged).is_err() || genuine.iter().any(|one| one.as_bytes() == forged) {
            return Ok(());
        }
        let (ids, malformed) = read(forged);
        prop_assert!(ids.is_empty() && malformed <= 1, "{:?}", String::from_utf8_lossy(forged));
        Ok(())
    });
    result.unwrap();
}

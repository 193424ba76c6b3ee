//! Samples of tower-sessions, actix-session, axum_session and async-session.
#![allow(clippy::unwrap_used, reason = "a test that cannot decode its sample has failed")]

mod common;

use common::{Sample, same};
use session_handover::rust::cookie::{Key, Security};
use session_handover::rust::{actix_session, async_session, axum_session, tower_sessions};
use session_handover::{Bounds, ErrorKind, Value, notation};

const BOUNDS: fn() -> Bounds = Bounds::default;

/// The key of a sample: "64 bytes of 0x07".
fn key(sample: &Sample, name: &str) -> Key {
    let text = sample.about["secret"][name].as_str().unwrap();
    let byte = u8::from_str_radix(text.strip_prefix("64 bytes of 0x").unwrap(), 16).unwrap();
    Key::new(&[byte; 64]).unwrap()
}

fn tower(name: &str) {
    let sample = Sample::named("tower-sessions", name);
    let record = tower_sessions::read(&sample.bytes, &BOUNDS()).unwrap();
    sample.check(&record.value);
    assert_eq!(sample.about["key"], record.id.as_str());
    let end = record.expires_text.as_deref().unwrap();
    assert!(sample.about["expires"].as_str().unwrap().contains(end), "{end}");
    assert_eq!(record.expires, 2_210_243_696.789_012_3);
    assert_eq!(tower_sessions::read_of(&record.id, &sample.bytes, &BOUNDS()).unwrap().value, record.value);
    let error = tower_sessions::read_of("C84NEuuxyfj0GZQAkhJz7h", &sample.bytes, &BOUNDS()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
}

#[test]
fn tower_sessions_basic_record_decodes() {
    tower("record-basic");
}

#[test]
fn tower_sessions_values_decode() {
    tower("record-values");
}

#[test]
fn tower_sessions_redis_value_decodes() {
    tower("redis");
}

#[test]
fn tower_sessions_rows_decode() {
    let sample = Sample::named("tower-sessions", "sqlx-sqlite");
    let database = rusqlite::Connection::open(&sample.path).unwrap();
    for row in sample.expect()["rows"].as_array().unwrap() {
        let query = "SELECT data, expiry_date FROM tower_sessions WHERE id = ?1";
        let (data, end): (Vec<u8>, String) =
            database.query_row(query, [row["id"].as_str()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let record = tower_sessions::read(&data, &BOUNDS()).unwrap();
        same(&row["data"], &record.value);
        assert_eq!(row["id"], record.id.as_str());
        assert_eq!(record.expires_text.as_deref(), Some(end.as_str()));
        assert_eq!(row["expires"], end.as_str());
        assert_eq!(tower_sessions::row_end(&Value::Text(end.into())), Some(record.expires));
        assert_eq!(row["live"], record.expires > 1_795_900_000.0);
    }
    assert_eq!(tower_sessions::row_end(&Value::Int(5)), Some(5.0));
}

#[test]
fn tower_sessions_damaged_records_are_refused() {
    let good = Sample::named("tower-sessions", "record-basic").bytes;
    assert_eq!(good[19], 0x82);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let day = good.len() - 12;
    assert_eq!(good[day], 15);
    let mut damaged =
        vec![Vec::new(), with(0, 0x94), with(2, 15), with(19, 0x92), with(day, 0), with(day + 1, 24)];
    damaged.push([&good[..], b"\xc0"].concat());
    damaged.push(good[..good.len() - 1].to_vec());
    for bytes in damaged {
        assert!(tower_sessions::read(&bytes, &BOUNDS()).is_err(), "{bytes:x?}");
    }
}

#[test]
fn tower_sessions_cookies_open() {
    let sample = Sample::named("actix-session", "redis-cookie-signed");
    // Both libraries protect cookies with the crate cookie.
    let security = Security::Signed(key(&sample, "key"));
    let good = String::from_utf8(sample.bytes.clone()).unwrap();
    let cookie = tower_sessions::cookie(security.clone());
    same(sample.expect(), &Value::Text(cookie.open(good.as_bytes(), &BOUNDS()).unwrap().into()));
    // Of several the last counts here, and the first in actix-session.
    for (header, here, there) in
        [(format!("id=x; {good}"), true, false), (format!("{good}; id=x; a=b"), false, true)]
    {
        assert_eq!(cookie.open(header.as_bytes(), &BOUNDS()).is_ok(), here);
        let other = actix_session::cookie(security.clone()).open(header.as_bytes(), &BOUNDS());
        assert_eq!(other.is_ok(), there);
    }
    let plain = tower_sessions::cookie(Security::Plain).name("sid");
    assert_eq!(plain.open(b"a=b; sid=EA8ODQwLCgkIBwYFBAMCAQ", &BOUNDS()).unwrap(), "EA8ODQwLCgkIBwYFBAMCAQ");
    assert_eq!(plain.open(b"id=EA8ODQwLCgkIBwYFBAMCAQ", &BOUNDS()).unwrap_err().kind(), ErrorKind::Signature);
}

#[test]
fn actix_session_signed_cookie_decodes() {
    let sample = Sample::named("actix-session", "cookie-store-signed");
    let cookie = actix_session::cookie(Security::Signed(key(&sample, "key")));
    let text = cookie.open(&sample.bytes, &BOUNDS()).unwrap();
    sample.check(&actix_session::read(text.as_bytes(), &BOUNDS()).unwrap());
    let value = sample.bytes.strip_prefix(b"id=").unwrap();
    assert_eq!(cookie.open(value, &BOUNDS()).unwrap(), text);
    let other = actix_session::cookie(Security::Signed(Key::new(&[8; 64]).unwrap()));
    assert_eq!(other.open(&sample.bytes, &BOUNDS()).unwrap_err().kind(), ErrorKind::Signature);
    let private = actix_session::cookie(Security::Private(key(&sample, "key")));
    assert_eq!(private.open(&sample.bytes, &BOUNDS()).unwrap_err().kind(), ErrorKind::Signature);
}

#[test]
fn actix_session_private_cookie_decodes() {
    let sample = Sample::named("actix-session", "cookie-store-private");
    let cookie = actix_session::cookie(Security::Private(key(&sample, "key")));
    let text = cookie.open(&sample.bytes, &BOUNDS()).unwrap();
    sample.check(&actix_session::read(text.as_bytes(), &BOUNDS()).unwrap());
    // The seal holds for one name.
    let value = sample.bytes.strip_prefix(b"id=").unwrap();
    assert_eq!(cookie.open(value, &BOUNDS()).unwrap(), text);
    let error = cookie.name("other").open(value, &BOUNDS()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Signature);
}

#[test]
fn actix_session_cookie_gives_the_redis_key() {
    let sample = Sample::named("actix-session", "redis-cookie-signed");
    let cookie = actix_session::cookie(Security::Signed(key(&sample, "key")));
    same(sample.expect(), &Value::Text(cookie.open(&sample.bytes, &BOUNDS()).unwrap().into()));
}

/// The row of a sample, and its end.
fn axum_row(sample: &Sample) -> (String, i64) {
    let database = rusqlite::Connection::open(&sample.path).unwrap();
    let query = "SELECT session, expires FROM sessions WHERE id = ?1";
    database.query_row(query, [sample.about["id"].as_str()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[test]
fn axum_session_plain_row_decodes() {
    let sample = Sample::named("axum-session", "plain");
    let (text, end) = axum_row(&sample);
    let row = axum_session::read(text.as_bytes(), &BOUNDS()).unwrap();
    sample.check(&row.value);
    assert!(!row.longterm);
    assert_eq!(sample.about["expires"]["absolute_epoch_s"], end);
    let header = sample.about["cookie"].as_str().unwrap();
    let cookie = axum_session::SessionCookie::new(None);
    let id = cookie.session_id(header.as_bytes(), None, &BOUNDS()).unwrap();
    assert_eq!(sample.about["id"], id.as_str());
}

#[test]
fn axum_session_sealed_row_decodes() {
    let sample = Sample::named("axum-session", "encrypted");
    let (text, _) = axum_row(&sample);
    let id = sample.about["id"].as_str().unwrap();
    let key = key(&sample, "database_key");
    sample.check(&axum_session::read_sealed(&key, id, text.as_bytes(), &BOUNDS()).unwrap().value);
    let other = axum_session::read_sealed(&key, "another id", text.as_bytes(), &BOUNDS());
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Signature);
}

/// Cookies that axum_session 0.22.1 set for a browser at 10.0.0.1, by default and with `with_ip_and_user_agent(false)`.
#[test]
fn axum_session_signature_covers_the_peer() {
    let cookie = axum_session::SessionCookie::new(Some(Key::new(&[7; 64]).unwrap()));
    let open = |header: &str, peer: Option<&axum_session::Peer<'_>>| {
        cookie.session_id(header.as_bytes(), peer, &BOUNDS()).map_err(|error| error.kind())
    };
    let mut peer = axum_session::Peer::default();
    (peer.ip, peer.user_agent) = ("10.0.0.1", "Browser/1.0");
    let id = "6c9c6205-3819-4b45-99bb-77212e057fc3";
    let header = format!("session=V2xSFLmQh6fduw8F3tuhKUPTfjyEOWtvSYsks4OFy4g%3D{id}");
    assert_eq!(open(&header, Some(&peer)), Ok(id.to_owned()));
    assert_eq!(open(&header, None), Err(ErrorKind::Signature));
    peer.ip = "10.0.0.2";
    assert_eq!(open(&header, Some(&peer)), Err(ErrorKind::Signature));
    let id = "8af2554f-a44c-4506-ac74-27f3bd17c14d";
    let header = format!("session=HLKnEWDVBU94UZ%2FPrwxJbgYwQ1OZ9+TZCq8T%2FHQ7Z1w%3D{id}");
    assert_eq!(open(&header, None), Ok(id.to_owned()));
}

#[test]
fn async_session_decodes() {
    let sample = Sample::named("async-session", "session");
    let session = async_session::read(&sample.bytes, &BOUNDS()).unwrap();
    sample.check(&session.value);
    assert_eq!(sample.about["key"], session.id.as_str());
    assert_eq!(async_session::id(sample.about["id"].as_str().unwrap()).unwrap(), session.id);
    assert_eq!(session.expires, None);
}

#[test]
fn async_session_with_an_end_decodes() {
    let sample = Sample::named("async-session", "session-expiry");
    let session = async_session::read(&sample.bytes, &BOUNDS()).unwrap();
    sample.check(&session.value);
    assert_eq!(sample.about["expires"].as_str(), session.expires_text.as_deref());
    assert_eq!(session.expires, Some(2_111_243_732.093_043));
}

#[test]
fn async_session_cookie_decodes() {
    let sample = Sample::named("async-session", "cookie-store");
    let session = async_session::read_cookie(&sample.bytes, &BOUNDS()).unwrap();
    sample.check(&session.value);
    assert_eq!(session.expires, None);
}

#[test]
fn keys_are_those_of_the_crate_cookie() {
    use base64::Engine as _;
    assert!(Key::new(&[7; 63]).is_err());
    assert!(Key::derive_from(&[7; 31]).is_err());
    // Written by cookie 0.18 with the key derived from 32 bytes of 0x07.
    let header = DERIVED.replace("NAME", "tide.sid");
    let cookie = async_session::cookie("tide.sid", Security::Signed(Key::derive_from(&[7; 32]).unwrap()));
    assert_eq!(cookie.open(header.as_bytes(), &BOUNDS()).unwrap(), "value");
    let raw = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    assert!(cookie.open(format!("tide.sid={raw}value").as_bytes(), &BOUNDS()).is_err());
}

const DERIVED: &str = "NAME=ySsKI64K/5wVX4CATDUk7w+wlvDftNpk4j+7XWjacRI=value";

#[test]
fn raw_texts_do_not_lose_the_rest() {
    let value = actix_session::read(br#"{"a":"1","b":"raw","c":"","d":"[1.0,\"x\"]"}"#, &BOUNDS()).unwrap();
    assert_eq!(notation::write(&value), r#"{"a":1,"b":"raw","c":"","d":[{"$float":"1.0"},"x"]}"#);
}

#[test]
fn texts_share_one_bound() {
    let list = format!("[{}1]", "1,".repeat(200));
    let text = |count: usize| {
        let entries: Vec<String> = (0..count).map(|at| format!(r#""k{at}":"{list}""#)).collect();
        format!("{{{}}}", entries.join(","))
    };
    assert!(actix_session::read(text(100).as_bytes(), &BOUNDS()).is_ok());
    let error = actix_session::read(text(1000).as_bytes(), &BOUNDS()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooMany);
    let deep = format!(r#"{{"a":"{}{}"}}"#, "[".repeat(70), "]".repeat(70));
    assert_eq!(actix_session::read(deep.as_bytes(), &BOUNDS()).unwrap_err().kind(), ErrorKind::TooDeep);
}

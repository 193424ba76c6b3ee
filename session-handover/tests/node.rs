//! Samples of Express, cookie-session and iron-session.
#![allow(clippy::unwrap_used, reason = "a test that cannot decode its sample has failed")]

mod common;

use common::{Sample, same};
use session_handover::node::{cookie_session, express, iron_session};
use session_handover::{Bounds, ErrorKind, Value, notation};

const BOUNDS: fn() -> Bounds = Bounds::default;

/// Decodes, and is written back byte by byte.
fn round_trip(name: &str) {
    let sample = Sample::named("express", name);
    let value = express::read(&sample.bytes, &BOUNDS()).unwrap();
    sample.check(&value);
    assert_eq!(express::write(&value).unwrap(), sample.bytes, "{name}");
}

#[test]
fn express_basic_session_is_read_and_written() {
    round_trip("json-basic");
}

#[test]
fn express_types_are_read_and_written() {
    round_trip("json-types");
}

#[test]
fn express_end_that_is_false_is_read_and_written() {
    round_trip("json-expires-false");
}

#[test]
fn express_cookie_options_are_read_and_written() {
    round_trip("json-all-cookie-options");
}

#[test]
fn connect_redis_value_is_read_and_written() {
    round_trip("connect-redis");
}

#[test]
fn session_file_is_read_and_written_and_ends() {
    round_trip("file-store");
    let sample = Sample::named("express", "file-store");
    let session = express::read(&sample.bytes, &BOUNDS()).unwrap();
    assert_eq!(express::file_end(&session, 3600.0), Some(1_795_883_730.567 + 3600.0));
    let aged = br#"{"cookie":{"originalMaxAge":60000},"__lastAccess":1000}"#;
    let aged = express::read(aged, &BOUNDS()).unwrap();
    assert_eq!(express::file_end(&aged, 3600.0), Some(61.0));
    assert_eq!(express::file_end(&Value::Map(Vec::new()), 3600.0), None);
}

/// Decodes the rows of a table with the columns id, session and end.
fn rows(name: &str, columns: &str) -> Vec<f64> {
    let sample = Sample::named("express", name);
    let database = rusqlite::Connection::open(&sample.path).unwrap();
    let mut ends = Vec::new();
    for row in sample.expect()["rows"].as_array().unwrap() {
        let query = format!("SELECT {columns} FROM sessions WHERE sid = ?1");
        let (text, end) = database
            .query_row(&query, [row["id"].as_str()], |row| {
                let end = match row.get_ref(1)? {
                    rusqlite::types::ValueRef::Real(number) => Value::Float(number),
                    other => Value::Text(other.as_str()?.into()),
                };
                Ok((row.get::<_, String>(0)?, end))
            })
            .unwrap();
        let value = express::read(text.as_bytes(), &BOUNDS()).unwrap();
        same(&row["data"], &value);
        assert_eq!(express::write(&value).unwrap(), text.as_bytes());
        match &end {
            Value::Float(number) => assert_eq!(row["expires"].as_f64(), Some(*number)),
            other => same(&row["expires"], other),
        }
        ends.push(express::row_end(&end).unwrap());
    }
    ends
}

#[test]
fn connect_sqlite3_rows_decode() {
    assert_eq!(rows("connect-sqlite3", "sess, expired"), [2_111_243_731.152, 1_795_970_131.172]);
}

#[test]
fn better_sqlite3_rows_decode() {
    assert_eq!(rows("better-sqlite3-store", "sess, expire"), [2_111_243_730.804, 1_795_970_130.826]);
}

fn express_cookie(sample: &Sample) -> express::Cookie {
    express::Cookie::new(sample.secrets())
}

#[test]
fn express_cookie_gives_the_id() {
    let sample = Sample::named("express", "cookie-signed");
    let id = express_cookie(&sample).session_id(&sample.bytes, &BOUNDS()).unwrap();
    same(sample.expect(), &Value::Text(id.into()));
}

#[test]
fn express_cookie_with_escapes_gives_the_id() {
    let sample = Sample::named("express", "cookie-signed-escapes");
    let id = express_cookie(&sample).session_id(&sample.bytes, &BOUNDS()).unwrap();
    same(sample.expect(), &Value::Text(id.clone().into()));
    // The value alone, and a cookie that was not escaped.
    let value = sample.bytes.strip_prefix(b"connect.sid=").unwrap();
    assert_eq!(express_cookie(&sample).session_id(value, &BOUNDS()).unwrap(), id);
    let plain = String::from_utf8(value.to_vec()).unwrap().replace("%3A", ":");
    let plain = plain.replace("%2B", "+").replace("%2F", "/");
    let header = format!("a=1; connect.sid=\"{plain}\" ;b=2");
    assert_eq!(express_cookie(&sample).session_id(header.as_bytes(), &BOUNDS()).unwrap(), id);
}

#[test]
fn express_secrets_are_tried_in_turn() {
    let sample = Sample::named("express", "cookie-signed");
    let mut secrets = vec!["newest".to_owned(), String::new()];
    let refused = express::Cookie::new(secrets.clone()).session_id(&sample.bytes, &BOUNDS());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Signature);
    secrets.extend(sample.secrets());
    assert!(express::Cookie::new(secrets).session_id(&sample.bytes, &BOUNDS()).is_ok());
    let other = express_cookie(&sample).name("other.sid").session_id(&sample.bytes, &BOUNDS());
    assert_eq!(other.unwrap_err().kind(), ErrorKind::Signature);
}

#[test]
fn first_express_cookie_counts_even_if_it_is_forged() {
    let sample = Sample::named("express", "cookie-signed");
    let good = String::from_utf8(sample.bytes.clone()).unwrap();
    let cookie = express_cookie(&sample);
    for forged in ["connect.sid=s%3Aforged.forged", "connect.sid=unsigned", "connect.sid="] {
        let first = cookie.session_id(format!("{forged}; {good}").as_bytes(), &BOUNDS());
        assert_eq!(first.unwrap_err().kind(), ErrorKind::Signature, "{forged}");
        assert!(cookie.session_id(format!("{good}; {forged}").as_bytes(), &BOUNDS()).is_ok());
    }
}

#[test]
fn what_express_could_not_read_is_refused() {
    let text = |text: &str| Value::Text(text.into());
    let with =
        |key: Value, value: Value| Value::Map(vec![(text("cookie"), Value::Map(Vec::new())), (key, value)]);
    let refused = [
        Value::Null,
        Value::Map(Vec::new()),
        Value::Map(vec![(text("cookie"), Value::Null)]),
        Value::Map(vec![(text("cookie"), Value::Map(vec![(text("expires"), Value::Int(1))]))]),
        with(text("cookie"), Value::Null),
        with(text("save"), Value::Null),
        with(text("__proto__"), Value::Null),
        with(Value::Int(1), Value::Null),
        with(text("a"), Value::Float(f64::NAN)),
        with(text("a"), Value::Float(f64::INFINITY)),
        with(text("a"), Value::Float(-0.0)),
        with(text("a"), Value::Int(9_007_199_254_740_993)),
        with(text("a"), Value::BigInt("18446744073709551615".into())),
        with(text("a"), Value::Bytes(vec![1])),
        with(text("a"), Value::Symbol("a".into())),
        with(text("a"), Value::Map(vec![(Value::Null, Value::Null)])),
        with(text("a"), (0..1000).fold(Value::Null, |inner, _| Value::List(vec![inner]))),
    ];
    for session in refused {
        assert_eq!(express::write(&session).unwrap_err().kind(), ErrorKind::Unwritable, "{session:?}");
    }
    let numbers = Value::List(vec![
        Value::Float(1.0),
        Value::Float(1e21),
        Value::Float(1e-7),
        Value::Float(1.5e-6),
        Value::Float(-123_456.75),
        Value::Float(5e-324),
        Value::BigInt("100000000000000000000".into()),
        Value::Int(1 << 60),
    ]);
    // 2^60 has other digits in JavaScript.
    assert!(express::write(&with(text("n"), numbers.clone())).is_err());
    let Value::List(mut numbers) = numbers else { panic!("a list") };
    numbers.pop();
    let written = express::write(&with(text("n"), Value::List(numbers))).unwrap();
    assert_eq!(
        String::from_utf8(written).unwrap(),
        r#"{"cookie":{},"n":[1,1e+21,1e-7,0.0000015,-123456.75,5e-324,100000000000000000000]}"#
    );
    let written = express::write(&with(text("7"), Value::Null)).unwrap();
    assert_eq!(written, br#"{"7":null,"cookie":{}}"#);
}

/// Node, PHP, Python and Ruby write the even one of two texts that are equally close.
#[test]
fn floats_between_two_texts_are_written_with_an_even_digit() {
    for (number, text) in [
        (-3_438_744_113_064_045.0 / 4.0, "-859686028266011.2"),
        (3_438_744_113_064_047.0 / 4.0, "859686028266011.8"),
        (4_503_599_627_370_497.0 / 4.0, "1125899906842624.2"),
        (4_503_599_627_370_499.0 / 4.0, "1125899906842624.8"),
    ] {
        let session = format!(r#"{{"cookie":{{}},"n":{text}}}"#);
        let value = express::read(session.as_bytes(), &BOUNDS()).unwrap();
        assert_eq!(value.get("n"), Some(&Value::Float(number)));
        assert_eq!(String::from_utf8(express::write(&value).unwrap()).unwrap(), session);
    }
}

#[test]
fn express_sessions_are_objects() {
    for text in ["", "null", "[]", "1", "{\"a\":1", "{\"a\":1}x", "{\"a\":01}", "{\"a\":NaN}"] {
        assert!(express::read(text.as_bytes(), &BOUNDS()).is_err(), "{text}");
    }
    let twice = express::read(br#"{"a":1,"b":2,"a":3}"#, &BOUNDS()).unwrap();
    assert_eq!(notation::write(&twice), r#"{"a":3,"b":2}"#);
}

#[test]
fn cookie_session_decodes() {
    let sample = Sample::named("cookie-session", "signed");
    let cookie = cookie_session::Cookie::new(sample.secrets());
    sample.check(&cookie.read(&sample.bytes, &BOUNDS()).unwrap());
    // An older key stands later in the list.
    let rotated = cookie_session::Cookie::new(["newest".to_owned(), sample.secrets()[0].clone()]);
    sample.check(&rotated.read(&sample.bytes, &BOUNDS()).unwrap());
    let other = cookie_session::Cookie::new(["newest", ""]);
    assert_eq!(other.read(&sample.bytes, &BOUNDS()).unwrap_err().kind(), ErrorKind::Signature);
    let header = String::from_utf8(sample.bytes.clone()).unwrap();
    for damaged in [
        header.replace("session.sig=E", "session.sig=F"),
        header.replace("session=e", "session=f"),
        header.split(';').next().unwrap().to_owned(),
        "text".to_owned(),
        format!("session.sig=x; {header}"),
        format!("session=x; {header}"),
    ] {
        let error = cookie.read(damaged.as_bytes(), &BOUNDS()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Signature, "{damaged}");
    }
}

const IRON: &str = "iron-sample-password-A-0123456789abcdef";

#[test]
fn iron_session_decodes() {
    let sample = Sample::named("iron-session", "sealed");
    let cookie = iron_session::Cookie::new("session", &sample.secrets()[0]).unwrap();
    let end = 2_111_243_731.955;
    let opened = cookie.read(&sample.bytes, 0.0, &BOUNDS()).unwrap();
    sample.check(&opened.value);
    assert_eq!(opened.expires, Some(end));
    // A minute of grace.
    assert!(cookie.read(&sample.bytes, end + 59.9, &BOUNDS()).is_ok());
    let late = cookie.read(&sample.bytes, end + 60.1, &BOUNDS()).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Expired);
    // Before version 8 the session was a member, which this seal does not have.
    let text = String::from_utf8(sample.bytes.clone()).unwrap();
    let older = cookie.read(text.trim_end_matches("~2").as_bytes(), 0.0, &BOUNDS()).unwrap();
    assert_eq!(older.value, Value::Map(Vec::new()));
}

#[test]
fn iron_session_6_decodes() {
    iron_session_of_two_passwords("sealed-6");
}

#[test]
fn iron_session_7_decodes() {
    iron_session_of_two_passwords("sealed-7");
}

fn iron_session_of_two_passwords(name: &str) {
    let sample = Sample::named("iron-session", name);
    let [old, new] = ["1", "2"].map(|id| sample.about["secret"][id].as_str().unwrap());
    let first = iron_session::Cookie::new("iron", old).unwrap();
    let now = sample.about["as_of"].as_f64().unwrap();
    let refused = first.read(&sample.bytes, now, &BOUNDS()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Signature);
    let cookie = first.password("2", new).unwrap();
    sample.check(&cookie.read(&sample.bytes, now, &BOUNDS()).unwrap().value);
    // The seal is made for an hour, and a minute of grace follows.
    let late = cookie.read(&sample.bytes, now + 3_700.0, &BOUNDS()).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Expired);
}

#[test]
fn iron_seal_of_other_passwords_is_refused() {
    let sample = Sample::named("iron-session", "sealed");
    assert_eq!(iron_session::Cookie::new("session", "short").unwrap_err().kind(), ErrorKind::Malformed);
    let other = iron_session::Cookie::new("session", &"x".repeat(32)).unwrap();
    let refused = |cookie: &iron_session::Cookie, text: &[u8]| {
        assert_eq!(cookie.read(text, 0.0, &BOUNDS()).unwrap_err().kind(), ErrorKind::Signature);
    };
    refused(&other, &sample.bytes);
    // The id of the password counts.
    let second = other.password("2", IRON).unwrap();
    refused(&second, &sample.bytes);
    let good = second.password("1", IRON).unwrap();
    assert!(good.read(&sample.bytes, 0.0, &BOUNDS()).is_ok());
    let text = String::from_utf8(sample.bytes.clone()).unwrap();
    for damaged in
        [text.replace("2111", "2112"), text.replace("Fe26.2", "Fe26.1"), text.replacen('*', "**", 1)]
    {
        refused(&good, damaged.as_bytes());
    }
}

//! Samples of Django, Flask, Flask-Session, Starlette and Beaker.
#![allow(clippy::unwrap_used, reason = "a test that cannot decode its sample has failed")]

mod common;

use common::{Sample, same};
use session_handover::python::django::{self, Expiry, Serializer};
use session_handover::python::{beaker, django_cache, flask, flask_session, pickle, starlette};
use session_handover::{Bounds, ErrorKind, Value, notation};

const BOUNDS: fn() -> Bounds = Bounds::default;

fn as_of(sample: &Sample) -> f64 {
    sample.about["as_of"].as_f64().unwrap()
}

/// A row of the database is read, refused with another secret, and written back byte by byte.
fn django_row(name: &str) -> Value {
    let sample = Sample::named("django", name);
    let sessions = django::Sessions::new(sample.secrets());
    let opened = sessions.read_row(&sample.bytes, &BOUNDS()).unwrap();
    sample.check(&opened.value);
    let later = django::Sessions::new(["new".to_owned()].into_iter().chain(sample.secrets()));
    assert_eq!(later.read_row(&sample.bytes, &BOUNDS()).unwrap().value.get("user"), opened.value.get("user"));
    for other in [django::Sessions::new(["wrong"]), sessions.clone().class("OtherStore")] {
        assert_eq!(other.read_row(&sample.bytes, &BOUNDS()).unwrap_err().kind(), ErrorKind::Signature);
    }
    let written = sessions.write(&opened.value, &opened.envelope, opened.signed.unwrap_or(0));
    if sample.about["format"].as_str().unwrap().contains("pickle") {
        assert_eq!(written.unwrap_err().kind(), ErrorKind::Unwritable);
        let json = sessions.clone().serializer(Serializer::Json);
        assert_eq!(json.read_row(&sample.bytes, &BOUNDS()).unwrap_err().kind(), ErrorKind::Malformed);
    } else {
        assert_eq!(written.unwrap().as_bytes(), sample.bytes.trim_ascii_end());
        // Changed data is read again.
        let Value::Map(mut entries) = opened.value.clone() else { panic!("a map") };
        entries
            .push((Value::Text("more".into()), Value::List(vec![Value::Text("more".repeat(9).into()); 20])));
        let changed = Value::Map(entries.clone());
        let written = sessions.write(&changed, &opened.envelope, 1_800_000_000).unwrap();
        let again = sessions.read_row(written.as_bytes(), &BOUNDS()).unwrap();
        assert_eq!(notation::write(&again.value), notation::write(&changed));
        assert_eq!(again.signed, opened.signed.map(|_| 1_800_000_000));
        entries.push((Value::Text("pair".into()), Value::Tuple(Vec::new())));
        let error = sessions.write(&Value::Map(entries), &opened.envelope, 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unwritable);
    }
    opened.value
}

macro_rules! django_rows {
    ($($test:ident $name:literal,)*) => {$(
        #[test]
        fn $test() {
            django_row($name);
        }
    )*};
}

django_rows! {
    django_basic_row_is_read_and_written "db-basic",
    django_compressed_row_is_read_and_written "db-compressed",
    django_login_row_is_read_and_written "db-login",
    django_numbers_are_read_and_written "db-numbers",
    django_text_is_read_and_written "db-text",
    django_2_2_row_is_read_and_written "db-2.2-json",
    django_2_2_pickle_decodes "db-2.2-pickle",
    django_4_2_pickle_decodes "db-4.2-pickle",
}

#[test]
fn django_expiry_has_three_forms() {
    let value = django_row("db-expiry-seconds");
    assert_eq!(django::expiry(&value).unwrap(), Expiry::Idle(300));
    let with = |expiry| Value::Map(vec![(Value::Text("_session_expiry".into()), expiry)]);
    assert_eq!(django::expiry(&Value::Map(Vec::new())).unwrap(), Expiry::Default);
    assert_eq!(django::expiry(&with(Value::Int(0))).unwrap(), Expiry::Browser);
    let moment = Value::Text("2025-01-15T13:00:00.500000+01:00".into());
    assert_eq!(django::expiry(&with(moment)).unwrap(), Expiry::At(1_736_942_400.5));
    let naive = Value::DateTime("2025-01-15T12:00:00".into());
    assert_eq!(django::expiry(&with(naive)).unwrap(), Expiry::At(1_736_942_400.0));
    assert!(django::expiry(&with(Value::Bool(true))).is_err());
}

#[test]
fn django_rows_of_sqlite_decode() {
    let sample = Sample::named("django", "sessions");
    let sessions = django::Sessions::new(sample.secrets());
    let db = rusqlite::Connection::open(&sample.path).unwrap();
    for expect in sample.expect()["rows"].as_array().unwrap() {
        let query = "select session_data, expire_date from django_session where session_key = ?1";
        let (data, end): (String, String) = db
            .query_row(query, [expect["key"].as_str().unwrap()], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        let opened = sessions.read_row(data.as_bytes(), &BOUNDS()).unwrap();
        same(&expect["data"], &opened.value);
        assert_eq!(sessions.write(&opened.value, &opened.envelope, opened.signed.unwrap()).unwrap(), data);
        let end = django::expire_date(&end).unwrap();
        assert_eq!(end > 1.8e9, expect["live"].as_bool().unwrap());
        assert_eq!(end.fract() != 0.0, expect["expire"].as_str().unwrap().contains('.'));
    }
}

fn django_cookie(name: &str) {
    let sample = Sample::named("django", name);
    let sessions = django::Sessions::new(sample.secrets());
    let opened = sessions.read_cookie(&sample.bytes, as_of(&sample), &BOUNDS()).unwrap();
    sample.check(&opened.value);
    let written = sessions.write(&opened.value, &opened.envelope, opened.signed.unwrap());
    match sample.bytes.starts_with(b"gA") {
        // A pickle.
        true => assert_eq!(written.unwrap_err().kind(), ErrorKind::Unwritable),
        false => assert_eq!(written.unwrap().as_bytes(), sample.bytes.trim_ascii_end()),
    }
    let named = [b"sessionid=", sample.bytes.as_slice()].concat();
    assert!(sessions.read_cookie(&named, as_of(&sample), &BOUNDS()).is_ok());
    let late = sessions.read_cookie(&sample.bytes, as_of(&sample) + 1_209_601.0, &BOUNDS()).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Expired);
    // Rows and cookies have different salts.
    assert_eq!(sessions.read_row(&sample.bytes, &BOUNDS()).unwrap_err().kind(), ErrorKind::Signature);
    let mut forged = sample.bytes.clone();
    forged[3] ^= 1;
    let error = sessions.read_cookie(&forged, as_of(&sample), &BOUNDS()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Signature);
    let none = django::Sessions::new([""]);
    let error = none.read_cookie(&sample.bytes, as_of(&sample), &BOUNDS()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Signature);
}

#[test]
fn django_signed_cookie_decodes() {
    django_cookie("signed-cookie");
}

#[test]
fn django_3_0_signed_cookie_decodes() {
    django_cookie("signed-cookie-3.0");
}

fn django_cached(name: &str) {
    let sample = Sample::named("django", name);
    sample.check(&django_cache::read(&sample.bytes, &BOUNDS()).unwrap());
}

#[test]
fn django_redis_cache_decodes() {
    django_cached("cache-redis");
    assert_eq!(
        Sample::named("django", "cache-redis").about["key"],
        django_cache::key("", 1, "cached_db", "<session key>")
    );
}

#[test]
fn django_redis_cache_of_all_types_decodes() {
    django_cached("cache-redis-types");
}

#[test]
fn django_redis_package_decodes() {
    django_cached("cache-django-redis");
}

#[test]
fn django_file_cache_decodes() {
    let sample = Sample::named("django", "cache-file");
    let entry = django_cache::read_file(&sample.bytes, 1.7e9, &BOUNDS()).unwrap();
    sample.check(&entry.value);
    let end = entry.expires.unwrap();
    assert!(end > 1.79e9);
    let error = django_cache::read_file(&sample.bytes, end + 1.0, &BOUNDS()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Expired);
}

#[test]
fn pickles_that_do_harm_are_data_or_errors() {
    // os.system('id')
    let call = pickle::read(b"cos\nsystem\n(S'id'\ntR.", &BOUNDS()).unwrap();
    assert_eq!(notation::write(&call), r#"{"$object":"os.system","value":"id"}"#);
    let circle = pickle::read(b"\x80\x04]\x94h\x00a.", &BOUNDS()).unwrap();
    assert_eq!(notation::write(&circle), r#"{"$id":1,"of":[{"$same":1}]}"#);
    for (bytes, kind) in [
        (&b"Pid\n."[..], ErrorKind::Malformed),
        (b"\x80\x06N.", ErrorKind::Version),
        (b"\x80\x04]", ErrorKind::Truncated),
        (b"X\xff\xff\xff\xffabc.", ErrorKind::Truncated),
        (b"h\x00.", ErrorKind::Malformed),
        (b"\x80\x04(0..", ErrorKind::Malformed),
    ] {
        assert_eq!(pickle::read(bytes, &BOUNDS()).unwrap_err().kind(), kind, "{bytes:?}");
    }
    let deep = [&b"]".repeat(200)[..], &b"a".repeat(199), b"."].concat();
    assert_eq!(pickle::read(&deep, &BOUNDS()).unwrap_err().kind(), ErrorKind::TooDeep);
    let many = [&b"("[..], &b"N".repeat(100_001), b"t."].concat();
    assert_eq!(pickle::read(&many, &BOUNDS()).unwrap_err().kind(), ErrorKind::TooMany);
    // A list of ten copies of a list of ten copies, and so on.
    let mut laughs = b"]".to_vec();
    (0..40).for_each(|_| laughs.extend(b"p0\n(g0\ng0\ng0\ng0\ng0\ng0\ng0\ng0\ng0\ng0\nl"));
    laughs.extend(b".");
    assert!(notation::write(&pickle::read(&laughs, &BOUNDS()).unwrap()).len() < 10_000);
    // A large text that is met again is a copy each time.
    let mut texts = [&b"](X\x00\x00\x01\x00"[..], &[b'x'; 1 << 16], b"q\x00"].concat();
    (0..100).for_each(|_| texts.extend(b"h\x00"));
    texts.extend(b"e.");
    assert_eq!(pickle::read(&texts, &BOUNDS()).unwrap_err().kind(), ErrorKind::TooLarge);
}

fn flask_cookie(name: &str) {
    let sample = Sample::named("flask", name);
    let cookie = flask::Cookie::new(["new".to_owned()].into_iter().chain(sample.secrets()));
    let now = as_of(&sample);
    sample.check(&cookie.read(&sample.bytes, now, &BOUNDS()).unwrap().value);
    let named = [b"session=", sample.bytes.as_slice()].concat();
    let signed = cookie.read(&named, now, &BOUNDS()).unwrap().signed;
    assert!((0.0..2.0).contains(&(now - signed as f64)));
    for late in [now + 2_678_402.0, now - 3.0] {
        assert_eq!(cookie.read(&sample.bytes, late, &BOUNDS()).unwrap_err().kind(), ErrorKind::Expired);
    }
    for wrong in ["wrong", ""] {
        let error = flask::Cookie::new([wrong]).read(&sample.bytes, now, &BOUNDS()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Signature);
    }
    let salted = cookie.signature("other-salt", session_handover::Digest::Sha1);
    assert_eq!(salted.read(&sample.bytes, now, &BOUNDS()).unwrap_err().kind(), ErrorKind::Signature);
}

#[test]
fn flask_basic_cookie_decodes() {
    flask_cookie("cookie-basic");
}

#[test]
fn flask_compressed_cookie_decodes() {
    flask_cookie("cookie-compressed");
}

#[test]
fn flask_permanent_cookie_with_flashes_decodes() {
    flask_cookie("cookie-permanent-flash");
}

#[test]
fn flask_lookalikes_of_tags_decode() {
    flask_cookie("cookie-tag-lookalike");
}

#[test]
fn flask_tags_decode() {
    flask_cookie("cookie-tags");
}

#[test]
fn flask_markup_that_utf8_cannot_hold_decodes() {
    flask_cookie("cookie-markup-surrogate");
}

fn flask_session_value(name: &str) -> Sample {
    let sample = Sample::named("flask-session", name);
    sample.check(&flask_session::read(&sample.bytes, &BOUNDS()).unwrap());
    sample
}

#[test]
fn flask_session_messagepack_decodes() {
    flask_session_value("redis-msgpack");
    flask_session_value("redis-browser-session");
}

#[test]
fn flask_session_messagepack_of_all_types_decodes() {
    flask_session_value("redis-msgpack-types");
}

#[test]
fn flask_session_pickle_decodes() {
    flask_session_value("redis-old-pickle");
    let empty = Value::Map(Vec::new());
    for bytes in [&b"\x80"[..], b"{}", b"\x80\x04}."] {
        assert_eq!(flask_session::read(bytes, &BOUNDS()).unwrap(), empty);
    }
}

#[test]
fn flask_session_signed_id_leads_to_the_key() {
    let sample = flask_session_value("redis-signed-id");
    let cookie = sample.about["id"].as_str().unwrap();
    let id = flask_session::unsign_id(sample.secrets()[0].as_bytes(), cookie.as_bytes()).unwrap();
    assert_eq!(sample.about["key"], format!("session:{id}"));
    for (secret, cookie) in [("wrong", cookie), ("flask-sample-secret-A", "id.AAAA"), ("", cookie)] {
        let error = flask_session::unsign_id(secret.as_bytes(), cookie.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Signature);
    }
}

#[test]
fn flask_session_file_decodes() {
    let sample = Sample::named("flask-session", "file");
    let entry = flask_session::read_file(&sample.bytes, 1.7e9, &BOUNDS()).unwrap();
    sample.check(&entry.value);
    let end = entry.expires.unwrap();
    assert!(end > 1_790_000_000);
    let error = flask_session::read_file(&sample.bytes, end as f64 + 1.0, &BOUNDS()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Expired);
    let name = flask_session::file_name(&format!("session:{}", sample.about["id"].as_str().unwrap()));
    assert_eq!(sample.about["stored_as"], format!("file {name}"));
    // Older versions of cachelib: the end as a pickle of protocol 1, or of the highest one.
    let rest = &sample.bytes[4..];
    let old = [&b"J"[..], &sample.bytes[..4], b".", rest].concat();
    let newer = [&b"\x80\x05J"[..], &sample.bytes[..4], b".", rest].concat();
    for bytes in [old, newer] {
        let old = flask_session::read_file(&bytes, 1.7e9, &BOUNDS()).unwrap();
        assert_eq!((old.expires, old.value), (Some(end), entry.value.clone()));
    }
    let kept = flask_session::read_file(&[&b"\0\0\0\0"[..], rest].concat(), 1.9e9, &BOUNDS()).unwrap();
    assert_eq!(kept.expires, None);
}

#[test]
fn flask_session_row_decodes() {
    let sample = Sample::named("flask-session", "sqlalchemy");
    let db = rusqlite::Connection::open(&sample.path).unwrap();
    let id = format!("session:{}", sample.about["id"].as_str().unwrap());
    let (data, end): (Vec<u8>, String) = db
        .query_row("select data, expiry from sessions where session_id = ?1", [id], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    sample.check(&flask_session::read(&data, &BOUNDS()).unwrap());
    assert!(flask_session::expiry(&end).unwrap() > 1.79e9);
}

#[test]
fn starlette_cookie_decodes() {
    let sample = Sample::named("starlette", "cookie-basic");
    let cookie = starlette::Cookie::new(sample.secrets());
    let now = as_of(&sample);
    sample.check(&cookie.read(&sample.bytes, now, &BOUNDS()).unwrap().value);
    let late = cookie.read(&sample.bytes, now + 1_209_602.0, &BOUNDS()).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Expired);
    assert!(cookie.max_age(None).read(&sample.bytes, 9e9, &BOUNDS()).is_ok());
    let error = starlette::Cookie::new(["wrong"]).read(&sample.bytes, now, &BOUNDS()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Signature);
}

#[test]
fn beaker_file_decodes() {
    let sample = Sample::named("beaker", "file-pickle");
    let sessions = beaker::Sessions::default();
    sample.check(&sessions.read_file(&sample.bytes, 9e9, &BOUNDS()).unwrap());
    let timed = sessions.timeout(60.0);
    assert!(timed.read_file(&sample.bytes, 1_700_000_160.0, &BOUNDS()).is_ok());
    let error = timed.read_file(&sample.bytes, 1_700_000_161.0, &BOUNDS()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Expired);
}

#[test]
fn beaker_value_of_redis_decodes() {
    let sample = Sample::named("beaker", "redis");
    sample.check(&beaker::Sessions::default().read_value(&sample.bytes, 9e9, &BOUNDS()).unwrap());
}

#[test]
fn beaker_row_decodes() {
    let sample = Sample::named("beaker", "database");
    sample.check(&beaker::Sessions::default().read_file(&sample.bytes, 9e9, &BOUNDS()).unwrap());
}

#[test]
fn beaker_encrypted_file_decodes() {
    let sample = Sample::named("beaker", "file-encrypted");
    let [encrypt, validate] =
        ["encrypt_key", "validate_key"].map(|name| sample.about["secret"][name].as_str().unwrap().to_owned());
    let sessions = beaker::Sessions::default().validate_key(validate);
    let gcm = sessions.clone().encrypt_key(encrypt.as_str(), beaker::Cipher::Gcm);
    sample.check(&gcm.read_file(&sample.bytes, 9e9, &BOUNDS()).unwrap());
    let wrong = sessions.clone().encrypt_key("wrong", beaker::Cipher::Gcm);
    for other in [wrong, gcm.validate_key("wrong")] {
        let error = other.read_file(&sample.bytes, 9e9, &BOUNDS()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Signature);
    }
    let counter = sessions.encrypt_key(encrypt, beaker::Cipher::Ctr);
    assert!(counter.read_file(&sample.bytes, 9e9, &BOUNDS()).is_err());
}

#[test]
fn beaker_signed_cookie_decodes() {
    let sample = Sample::named("beaker", "cookie-signed");
    let key = sample.about["secret"]["validate_key"].as_str().unwrap();
    let value =
        beaker::Sessions::default().validate_key(key).read_cookie(&sample.bytes, 9e9, &BOUNDS()).unwrap();
    // The description leaves these out.
    let Value::Map(mut entries) = value else { panic!("a map") };
    let all = entries.len();
    entries
        .retain(|(name, _)| !["_id", "_creation_time", "_accessed_time"].contains(&name.as_text().unwrap()));
    assert_eq!(entries.len() + 3, all);
    sample.check(&Value::Map(entries));
    for wrong in ["wrong", ""] {
        let sessions = beaker::Sessions::default().validate_key(wrong);
        let error = sessions.read_cookie(&sample.bytes, 9e9, &BOUNDS()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Signature);
    }
}

#[test]
fn json_is_that_of_python() {
    let read = |text: &str| {
        flask_session::read(text.as_bytes(), &BOUNDS())
            .map(|value| notation::write(&value))
            .map_err(|error| error.kind())
    };
    // A key that stands twice keeps its place and its last value.
    assert_eq!(read(r#"{"a":1,"b":2,"a":3}"#).unwrap(), r#"{"a":3,"b":2}"#);
    let keys: Vec<_> = (0..40).map(|key| format!("\"k{}\":{key}", key % 20)).collect();
    let last: Vec<_> = (20..40).map(|key| format!("\"k{}\":{key}", key - 20)).collect();
    assert_eq!(read(&format!("{{{}}}", keys.join(","))).unwrap(), format!("{{{}}}", last.join(",")));
    let numbers = read(r#"{"n":[NaN,-Infinity,Infinity,-0,-0.0,1e5,1E400,12345678901234567890]}"#).unwrap();
    let floats: Vec<_> =
        ["nan", "-inf", "inf"].iter().map(|text| format!(r#"{{"$float":"{text}"}}"#)).collect();
    assert_eq!(
        numbers,
        format!(
            r#"{{"n":[{},0,{{"$float":"-0.0"}},{{"$float":"100000.0"}},{{"$float":"inf"}},{{"$int":"12345678901234567890"}}]}}"#,
            floats.join(",")
        )
    );
    let texts = read(r#"{"t":["\ud83d\ude00","\ud83d","\ude00\ud83d\ud83d\ude00","é\/\u0000"]}"#).unwrap();
    assert_eq!(texts, r#"{"t":["😀",{"$utf16":"d83d"},{"$utf16":"de00d83dd83dde00"},"é/\u0000"]}"#);
    for text in [r#"{"a":1.e5}"#, r#"{"a":01}"#, r#"{"a":.5}"#, r#"{"a":-}"#, r#"{"a":"\x"}"#, r#"{"a":nan}"#]
    {
        assert_eq!(read(text), Err(ErrorKind::Malformed), "{text}");
    }
    assert_eq!(read(r#"{"a":"x"#), Err(ErrorKind::Truncated));
    assert_eq!(read("{} x"), Err(ErrorKind::Trailing));
}

//! Samples of Rack and Rails.
#![allow(clippy::unwrap_used, reason = "a sample that cannot be read fails its test")]

mod common;

use common::{Sample, same};
use session_handover::ruby::{marshal, msgpack, rack, rails, rails_cache};
use session_handover::{Bounds, ErrorKind, Value};

#[test]
fn marshal_types_decode() {
    let sample = Sample::named("rack", "marshal-types");
    sample.check(&marshal::read(&sample.bytes, &Bounds::default()).unwrap());
}

/// Samples of unusual values.
fn marshal_more(name: &str) {
    let sample = Sample::named("rack", name);
    sample.check(&marshal::read(&sample.bytes, &Bounds::default()).unwrap());
}

#[test]
fn marshal_unusual_containers_decode() {
    marshal_more("more-containers");
}

#[test]
fn marshal_unusual_numbers_decode() {
    marshal_more("more-numbers");
}

#[test]
fn marshal_unusual_references_decode() {
    marshal_more("more-references");
}

#[test]
fn marshal_unusual_texts_decode() {
    marshal_more("more-texts");
}

#[test]
fn marshal_keys_that_are_links_decode() {
    let sample = Sample::named("rack", "marshal-keys");
    let value = marshal::read(&sample.bytes, &Bounds::default()).unwrap();
    sample.check(&value);
    let Some(Value::List(cart)) = value.get("cart") else { panic!("a list") };
    assert_eq!(cart[1].get("name").and_then(Value::as_text), Some("rice"));
}

fn rack_cookie(name: &str) {
    let sample = Sample::named("rack", name);
    let cookie = rack::Cookie::new(sample.secrets());
    sample.check(&cookie.read(&sample.bytes, &Bounds::default()).unwrap());
    let other = rack::Cookie::new(["x".repeat(96)]);
    assert_eq!(other.read(&sample.bytes, &Bounds::default()).unwrap_err().kind(), ErrorKind::Signature);
}

#[test]
fn rack_2_2_signed_cookie_decodes() {
    rack_cookie("cookie-2.2");
}

#[test]
fn rack_3_1_sealed_cookie_decodes() {
    rack_cookie("cookie-3.1");
}

#[test]
fn rack_redis_value_decodes() {
    let sample = Sample::named("rack", "redis");
    sample.check(&rack::read_redis(&sample.bytes, &Bounds::default()).unwrap());
    let key = sample.about["key"].as_str().unwrap();
    assert!(key.ends_with(&rack::private_id(sample.about["id"].as_str().unwrap())));
}

fn rails_cookie(name: &str) -> (rails::Cookie, rails::Opened, Sample) {
    let sample = Sample::named("rails", name);
    let cookie = rails::Cookie::new("_myapp_session", sample.secrets());
    let opened = cookie.read(&sample.bytes, 1.8e9, &Bounds::default()).unwrap();
    sample.check(&opened.value);
    let wrong = rails::Cookie::new("_myapp_session", ["wrong"]);
    let error = wrong.read(&sample.bytes, 1.8e9, &Bounds::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Signature);
    (cookie, opened, sample)
}

#[test]
fn rails_5_cbc_cookie_decodes() {
    let (cookie, opened, _) = rails_cookie("cookie-5-cbc");
    let error = cookie.write(&opened.value, &opened.envelope, &[0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unwritable);
}

#[test]
fn rails_6_1_marshal_cookie_decodes() {
    let (_, _, sample) = rails_cookie("cookie-6.1-marshal");
    // The value under another name is a cookie made for another purpose.
    let other = rails::Cookie::new("_other_session", sample.secrets());
    let value = sample.bytes.strip_prefix(b"_myapp_session=").unwrap();
    assert_eq!(other.read(value, 1.8e9, &Bounds::default()).unwrap_err().kind(), ErrorKind::Purpose);
}

#[test]
fn rails_7_2_json_cookie_decodes_and_is_written_back() {
    let (cookie, opened, sample) = rails_cookie("cookie-7.2-json");
    let written = cookie.write(&opened.value, &opened.envelope, opened.envelope.iv()).unwrap();
    assert_eq!(format!("_myapp_session={written}"), String::from_utf8(sample.bytes).unwrap().trim_end());
}

#[test]
fn rails_active_record_row_decodes() {
    let sample = Sample::named("rails", "active-record-marshal");
    let db = rusqlite::Connection::open(&sample.path).unwrap();
    let (id, data): (String, String) = db
        .query_row("select session_id, data from sessions", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(id, rack::private_id(sample.about["id"].as_str().unwrap()));
    let value = rails::read_row(data.as_bytes(), &Bounds::default()).unwrap();
    // The description has a key `nothing` that the stored bytes do not have: Ruby's own Marshal gives none either.
    let mut expect = sample.expect().clone();
    let nothing = expect.as_object_mut().unwrap().shift_remove("nothing");
    assert_eq!(nothing, Some(serde_json::Value::Null));
    assert_eq!(value.get("nothing"), None);
    same(&expect, &value);
}

fn cache(name: &str) -> rails_cache::Entry {
    let sample = Sample::named("rails", name);
    let entry = rails_cache::read(&sample.bytes, &Bounds::default()).unwrap();
    sample.check(&entry.value);
    let id = rack::private_id(sample.about["id"].as_str().unwrap());
    assert_eq!(sample.about["key"].as_str().unwrap(), format!("_session_id:{id}"));
    entry
}

#[test]
fn rails_6_1_cache_entry_decodes() {
    assert_eq!(cache("cache-redis-6.1").expires, Some(1_795_883_705.486_684_3 + 3.1536e8));
}

#[test]
fn rails_7_2_cache_entry_decodes() {
    assert!(cache("cache-redis-7.2").expires.is_some_and(|expires| expires > 1.7e9));
}

#[test]
fn float_text_is_that_of_ruby() {
    let text = rails_json_of(&[
        1.0,
        0.1,
        1e16,
        1e15,
        1e-4,
        1e-5,
        -0.0,
        1.5e300,
        123_456_789.125,
        3_438_744_113_064_045.0 / 4.0,
    ]);
    assert_eq!(
        text,
        "[1.0,0.1,1.0e+16,1000000000000000.0,0.0001,1.0e-05,-0.0,1.5e+300,123456789.125,859686028266011.2]"
    );
}

fn rails_json_of(numbers: &[f64]) -> String {
    let list = Value::List(numbers.iter().copied().map(Value::Float).collect());
    session_handover::ruby::rails_json::to_json(&list).unwrap()
}

#[test]
fn notation_compares() {
    same(
        &serde_json::json!({"a": {"$float": "1.5"}}),
        &Value::Map(vec![(Value::Text("a".into()), Value::Float(1.5))]),
    );
}

#[test]
fn text_that_is_marked_unsafe_is_no_markup() {
    let buffer = |flag: &str, value: char| {
        let name = char::from(u8::try_from(flag.len() + 5).unwrap());
        format!("\x04\x08IC:\x1eActiveSupport::SafeBuffer\"\x08<b>\x07:\x06ET:{name}{flag}{value}")
    };
    let (markup, text) = (Value::Markup("<b>".into()), Value::Text("<b>".into()));
    for (flag, value, expected) in [
        ("@html_safe", 'T', &markup),
        ("@html_safe", 'F', &text),
        ("@html_unsafe", 'F', &markup),
        ("@html_unsafe", 'T', &text),
    ] {
        let bytes = buffer(flag, value).into_bytes();
        assert_eq!(marshal::read(&bytes, &Bounds::default()).unwrap(), *expected, "{flag} {value}");
    }
}

#[test]
fn numbers_that_cost_much_or_overflow_are_refused() {
    let mut big = b"\x04\x08l+\x02\x01\x02".to_vec();
    big.resize(big.len() + 1_026, 1);
    assert_eq!(marshal::read(&big, &Bounds::default()).unwrap_err().kind(), ErrorKind::TooLarge);
    // A large one that is met again is a copy each time.
    let mut links = b"\x04\x08[\x02\x41\x1fl+\x02\xf4\x01".to_vec();
    links.resize(links.len() + 1_000, 1);
    (0..8_000).for_each(|_| links.extend(b"@\x06"));
    let kind = marshal::read(&links, &Bounds::default()).map(drop).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::TooLarge);
    let least = [&[0xd3][..], &i64::MIN.to_be_bytes()].concat();
    // A time with the least offset, and a date of the least day.
    let time = [b"\xcc\x80\xc7\x0b\x07\x00\x00".to_vec(), least.clone()].concat();
    let date = [b"\xcc\x80\xc7\x09\x06".to_vec(), least].concat();
    for text in [time, date] {
        assert!(msgpack::read(&text, &Bounds::default()).is_err());
    }
}

#[test]
fn encodings_are_those_of_ruby() {
    let text = |name: &str, byte: u8| {
        let len = |text: &str| u8::try_from(text.len() + 5).unwrap();
        let head = [&b"\x04\x08I\"\x06"[..], &[byte], b"\x06:\x0dencoding\""].concat();
        marshal::read(&[&head[..], &[len(name)], name.as_bytes()].concat(), &Bounds::default()).unwrap()
    };
    let encoded =
        |text: &str, encoding: &str| Value::Encoded { text: text.into(), encoding: encoding.into() };
    assert_eq!(text("ISO-8859-1", 0x80), encoded("\u{80}", "ISO-8859-1"));
    assert_eq!(text("Windows-1252", 0x80), encoded("\u{20ac}", "Windows-1252"));
    assert_eq!(text("ISO-8859-9", 0x80), Value::Bytes(vec![0x80]));
    assert_eq!(text("ISO-8859-9", 0xfd), encoded("\u{131}", "ISO-8859-9"));
    assert_eq!(text("UTF-16", 0x41), Value::Bytes(vec![0x41]));
}

#[test]
fn short_and_empty_secrets_open_nothing() {
    // Version 1, whose signature would have an empty key.
    let sealed = {
        use base64::Engine as _;
        use hmac::{Hmac, KeyInit as _, Mac as _};
        let body = [&[1][..], &[0; 32 + 16 + 8]].concat();
        let mut mac = <Hmac<sha2::Sha256>>::new_from_slice(b"").unwrap();
        mac.update(&body);
        base64::engine::general_purpose::URL_SAFE.encode([&body[..], &mac.finalize().into_bytes()].concat())
    };
    for secret in ["x".repeat(32), String::new()] {
        let error = rack::Cookie::new([secret]).read(sealed.as_bytes(), &Bounds::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Signature);
    }
}

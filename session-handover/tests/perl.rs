//! Samples of Perl's frameworks.
#![allow(clippy::unwrap_used, reason = "a sample that cannot be read fails its test")]

mod common;

use common::{Sample, same};
use session_handover::perl::{
    apache, catalyst, cgi_session, dancer, dumper, fastmmap, mojolicious, plack, storable, yaml,
};
use session_handover::{Bounds, ErrorKind, Value, notation};

macro_rules! samples {
    ($system:literal, $read:expr, $($test:ident = $name:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            let sample = Sample::named($system, $name);
            let read: fn(&[u8]) -> Result<Value, session_handover::Error> = $read;
            sample.check(&read(&sample.bytes).unwrap());
        })*
    };
}

samples!(
    "storable",
    |bytes| storable::read(bytes, &Bounds::default()),
    storable_booleans_5_40_decode = "booleans-perl-5.40-net",
    storable_file_decodes = "file-net",
    storable_hook_decodes = "hook-net",
    storable_native_numbers_decode = "numbers-native",
    storable_network_numbers_decode = "numbers-net",
    storable_native_references_decode = "refs-native",
    storable_network_references_decode = "refs-net",
    storable_native_strings_decode = "strings-native",
    storable_network_strings_decode = "strings-net",
    storable_unusual_deep_native_decode = "more-deep-native",
    storable_unusual_deep_net_decode = "more-deep-net",
    storable_unusual_numbers_native_decode = "more-numbers-native",
    storable_unusual_numbers_net_decode = "more-numbers-net",
    storable_unusual_objects_native_decode = "more-objects-native",
    storable_unusual_objects_net_decode = "more-objects-net",
    storable_unusual_references_native_decode = "more-references-native",
    storable_unusual_references_net_decode = "more-references-net",
    storable_unusual_strings_native_decode = "more-strings-native",
    storable_unusual_strings_net_decode = "more-strings-net",
);

samples!(
    "cgi-session",
    |bytes| cgi_session::read(bytes, cgi_session::Serializer::Detect, &Bounds::default()),
    cgi_basic_decodes = "basic",
    cgi_booleans_5_36_decode = "booleans-perl-5.36",
    cgi_booleans_5_40_decode = "booleans-perl-5.40",
    cgi_nested_decodes = "nested",
    cgi_numbers_decode = "numbers",
    cgi_storable_decodes = "storable",
    cgi_strings_decode = "strings",
    cgi_yaml_decodes = "yaml",
    cgi_unusual_numbers_decode = "more-numbers",
    cgi_unusual_objects_decode = "more-objects",
    cgi_unusual_references_decode = "more-references",
    cgi_unusual_strings_decode = "more-strings",
);

samples!("apache-session", |bytes| apache::read(bytes, &Bounds::default()), apache_base64_decodes = "base64");
samples!(
    "dancer",
    |bytes| dancer::read(bytes, dancer::Serializer::Yaml, &Bounds::default()),
    dancer_session_decodes = "session"
);
samples!(
    "dancer2",
    |bytes| yaml::read(bytes, &Bounds::default()),
    dancer2_session_decodes = "session",
    dancer2_unusual_numbers_decode = "more-numbers",
    dancer2_unusual_structures_decode = "more-structures",
    dancer2_unusual_texts_decode = "more-texts",
);
samples!("plack", |bytes| storable::read(bytes, &Bounds::default()), plack_file_decodes = "file");
samples!(
    "catalyst",
    |bytes| catalyst::read_file(bytes, &Bounds::default()),
    catalyst_session_file_decodes = "file-session",
    catalyst_expires_file_decodes = "file-expires",
);
samples!(
    "catalyst",
    |bytes| catalyst::read_text(bytes, &Bounds::default()),
    catalyst_redis_decodes = "redis-session"
);

/// The text is that of YAML.pm 1.30.
#[test]
fn yaml_keys_of_dashes_and_other_spaces_are_text() {
    let text =
        "---\n---: 0777\n'--- x': 1\n---y:\n  - 1\nk: '\u{3000}a\u{3000}'\nn: a\u{a0}\n\u{85}: \u{85}\n";
    let value = yaml::read(text.as_bytes(), &Bounds::default()).unwrap();
    let expect = serde_json::json!({
        "---": "0777", "--- x": "1", "---y": ["1"], "k": "\u{3000}a\u{3000}", "n": "a\u{a0}", "\u{85}": "\u{85}",
    });
    same(&expect, &value);
}

#[test]
fn cgi_expiry_decodes() {
    let sample = Sample::named("cgi-session", "expiry");
    let value =
        cgi_session::read(&sample.bytes, cgi_session::Serializer::Detect, &Bounds::default()).unwrap();
    sample.check(&value);
    let life = cgi_session::Life::of(&value);
    assert_eq!(life.idle, sample.about["expires"]["idle_seconds"].as_i64());
    assert_eq!(life.keys, [("cart".to_owned(), 600)]);
    assert!(life.key_ended("cart", 1_700_000_700) && !life.key_ended("cart", 1_700_000_699));
    assert!(life.ended(1_700_003_700) && !life.ended(1_700_003_699));
}

#[test]
fn keys_that_have_ended_are_left_out() {
    let read = |name| {
        let sample = Sample::named("cgi-session", name);
        cgi_session::read(&sample.bytes, cgi_session::Serializer::Detect, &Bounds::default()).unwrap()
    };
    let cart = |now| cgi_session::live(read("expiry"), now).map(|session| session.get("cart").cloned());
    assert_eq!(cart(1_700_000_699), Some(Some(Value::Text("c".into()))));
    assert_eq!(cart(1_700_000_700), Some(None));
    assert_eq!(cart(1_700_003_700), None);
    let rest = cgi_session::live(read("expiry"), 1_700_000_700).unwrap();
    assert_eq!(rest.get("user").and_then(Value::as_text), Some("alice"));
    assert_eq!(cgi_session::live(read("basic"), i64::MAX), Some(read("basic")));

    let sample = Sample::named("catalyst", "redis-session");
    let cart = |now| {
        let session = catalyst::read_text(&sample.bytes, &Bounds::default()).unwrap();
        let session = catalyst::live(session, now);
        assert_eq!(session.get("user").and_then(Value::as_text), Some("alice"));
        session.get("cart").is_some()
    };
    assert!(cart(1_795_884_335.0) && !cart(1_795_884_335.5));
}

#[test]
fn shared_values_outlive_their_key() {
    // `a` has ended, and `b` and `c` refer to values in it.
    let text = "$D = {'a' => [{'x' => ['deep']},'own'],'b' => undef,'c' => undef,'_SESSION_ATIME' => 10,\
                '_SESSION_EXPIRE_LIST' => {'a' => 5}};$D->{'b'} = $D->{'a'}[0];$D->{'c'} = $D->{'a'}[0]{'x'};;$D";
    let session = dumper::read(text.as_bytes(), &Bounds::default()).unwrap();
    let before = cgi_session::live(session.clone(), 14).unwrap();
    assert_eq!(before, session);
    let after = cgi_session::live(session, 15).unwrap();
    assert_eq!(after.get("a"), None);
    let rest = r#"{"b":{"$id":1,"of":{"x":{"$id":2,"of":["deep"]}}},"c":{"$same":2}"#;
    assert!(notation::write(&after).starts_with(rest), "{}", notation::write(&after));
}

#[test]
fn dancer_json_is_read() {
    let text = br#"{"user":"alice","n":3}"#;
    let session = dancer::read(text, dancer::Serializer::Json, &Bounds::default()).unwrap();
    assert_eq!(notation::write(&session).as_bytes(), text);
}

#[test]
fn cgi_cancelled_expiry_decodes() {
    let sample = Sample::named("cgi-session", "expiry-cancelled");
    let value =
        cgi_session::read(&sample.bytes, cgi_session::Serializer::Detect, &Bounds::default()).unwrap();
    sample.check(&value);
    assert!(!cgi_session::Life::of(&value).ended(i64::MAX));
}

#[test]
fn cgi_sqlite_row_decodes() {
    let sample = Sample::named("cgi-session", "sqlite");
    let db = rusqlite::Connection::open(&sample.path).unwrap();
    let data: Vec<u8> = db
        .query_row(
            "select cast(a_session as blob) from sessions where id = ?1",
            [sample.about["id"].as_str()],
            |row| row.get(0),
        )
        .unwrap();
    sample.check(&cgi_session::read(&data, cgi_session::Serializer::Detect, &Bounds::default()).unwrap());
}

#[test]
fn catalyst_row_decodes() {
    let sample = Sample::named("catalyst", "dbi");
    let db = rusqlite::Connection::open(&sample.path).unwrap();
    let (data, expires): (String, i64) = db
        .query_row(
            "select session_data, expires from sessions where id = ?1",
            [sample.about["key"].as_str()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(Some(expires), sample.about["expires"]["absolute_epoch_s"].as_i64());
    sample.check(&catalyst::read_text(data.as_bytes(), &Bounds::default()).unwrap());
}

#[test]
fn catalyst_file_holds_key_and_session() {
    let sample = Sample::named("catalyst", "file-session");
    let stored = catalyst::stored(catalyst::read_file(&sample.bytes, &Bounds::default()).unwrap()).unwrap();
    assert_eq!(stored.key, format!("session:{}", sample.about["id"].as_str().unwrap()));
    assert_eq!(stored.expires, None);
    same(&sample.expect()[1]["fields"]["_Data"], &stored.value);
    assert!(sample.about["stored_as"].as_str().unwrap().ends_with(&catalyst::file_path(&stored.key)));
}

fn pages(system: &str, name: &str) {
    let sample = Sample::named(system, name);
    let entries =
        fastmmap::read(&sample.bytes, None, fastmmap::Serializer::Storable, &Bounds::default()).unwrap();
    let (ended, live): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| entry.ended(1_795_883_800));
    let expect = sample.expect()["entries"].as_array().unwrap();
    assert_eq!(live.len(), expect.len());
    for entry in expect {
        let found = live
            .iter()
            .find(|found| found.key == Value::Text(entry["key"].as_str().unwrap().into()))
            .unwrap();
        same(&entry["value"], found.value.as_ref().unwrap());
        if let Some(expires) = entry["expires_epoch_s"].as_u64() {
            assert_eq!(found.expires.map(u64::from), Some(expires));
        }
    }
    let ended: Vec<_> = ended.iter().map(|entry| entry.key.clone()).collect();
    let expired: Vec<_> = sample.expect()["expired"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|name| Value::Text(name.as_str().unwrap().into()))
        .collect();
    assert_eq!(ended, expired);
}

#[test]
fn fastmmap_pages_decode() {
    pages("cache-fastmmap", "pages");
}

#[test]
fn catalyst_fastmmap_decodes() {
    pages("catalyst", "fastmmap");
}

#[test]
fn plack_cookie_decodes() {
    let sample = Sample::named("plack", "cookie");
    let cookie = plack::Cookie::new(sample.secrets().remove(0));
    let opened = cookie.read(&sample.bytes, 0.0, &Bounds::default()).unwrap();
    sample.check(&opened.value);
    assert_eq!(opened.written, Some(1_795_883_697.622_91));
    let late = cookie.expires(60.0).read(&sample.bytes, 1_795_883_760.0, &Bounds::default()).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Expired);
    let wrong = plack::Cookie::new("wrong").read(&sample.bytes, 0.0, &Bounds::default()).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Signature);
}

fn mojo(name: &str, expires: Option<f64>) {
    let sample = Sample::named("mojolicious", name);
    let cookie = mojolicious::Cookie::new(sample.secrets());
    let opened = cookie.read(&sample.bytes, 1.8e9, &Bounds::default()).unwrap();
    sample.check(&opened.value);
    assert_eq!(opened.expires, expires);
    let wrong =
        mojolicious::Cookie::new(["wrong"]).read(&sample.bytes, 1.8e9, &Bounds::default()).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Signature);
    if expires.is_some() {
        let late = cookie.read(&sample.bytes, 2e9, &Bounds::default()).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Expired);
    }
}

#[test]
fn mojolicious_cookie_decodes() {
    mojo("cookie-set", Some(2e9));
}

#[test]
fn mojolicious_big_cookie_decodes() {
    mojo("cookie-big", Some(2e9));
}

#[test]
fn mojolicious_endless_cookie_decodes() {
    mojo("cookie-forever", None);
}

#[test]
fn sessions_without_readable_times_have_ended() {
    let read = |text: &str| dumper::read(text.as_bytes(), &Bounds::default()).unwrap();
    for (text, ended) in [
        ("$D = {'_SESSION_ETIME' => 60};;$D", true),
        ("$D = {'_SESSION_ETIME' => 'soon','_SESSION_ATIME' => 90};;$D", true),
        ("$D = {'_SESSION_ETIME' => undef,'_SESSION_ATIME' => 1};;$D", false),
        ("$D = {'_SESSION_ETIME' => 60,'_SESSION_ATIME' => 90};;$D", false),
    ] {
        assert_eq!(cgi_session::Life::of(&read(text)).ended(100), ended, "{text}");
    }
    assert!(dumper::read(b"$D = {};;xD", &Bounds::default()).is_err(), "a name without its sigil");
}

#[test]
fn damaged_page_loses_no_other() {
    let sample = Sample::named("cache-fastmmap", "pages");
    let read = |bytes: &[u8]| {
        fastmmap::read(bytes, Some(4096), fastmmap::Serializer::Storable, &Bounds::default()).unwrap()
    };
    let all = read(&sample.bytes);
    let mut bytes = sample.bytes.clone();
    bytes[..4].fill(0);
    let rest = read(&bytes);
    let good = |entries: &[fastmmap::Entry]| entries.iter().filter(|entry| entry.value.is_ok()).count();
    assert!(good(&rest) > 0 && good(&rest) < good(&all), "{} of {}", good(&rest), good(&all));
    assert_eq!(rest.iter().filter(|entry| entry.key == Value::Null).count(), 1);
}

#[test]
fn fastmmap_keys_are_found_and_removed_in_their_page() {
    let sample = Sample::named("cache-fastmmap", "pages");
    let mut file = sample.bytes.clone();
    let size = fastmmap::page_size(&file[..fastmmap::HEADER]).unwrap();
    assert_eq!(size, 4096);
    let pages = u32::try_from(file.len() / size).unwrap();
    let entries = fastmmap::read(&file, None, fastmmap::Serializer::Storable, &Bounds::default()).unwrap();
    for entry in &entries {
        let key = entry.key.as_text().unwrap().as_bytes();
        let at = size * usize::try_from(fastmmap::page_of(key, pages)).unwrap();
        let found = fastmmap::find(&file[at..at + size], pages, key).unwrap();
        let found = found.unwrap();
        let value = storable::read(found.value, &Bounds::default()).unwrap();
        assert_eq!(&value, entry.value.as_ref().unwrap());
        assert_eq!(found.expires, entry.expires);
        let patch = fastmmap::removal(&file[at..at + size], pages, key).unwrap().unwrap();
        let from = at + patch.offset;
        file[from..from + patch.bytes.len()].copy_from_slice(&patch.bytes);
        assert_eq!(fastmmap::find(&file[at..at + size], pages, key).unwrap(), None);
        assert_eq!(fastmmap::removal(&file[at..at + size], pages, key).unwrap(), None);
    }
    assert!(
        fastmmap::read(&file, None, fastmmap::Serializer::Storable, &Bounds::default()).unwrap().is_empty()
    );
    for gone in sample.expect()["gone"].as_array().unwrap() {
        let key = gone.as_str().unwrap().as_bytes();
        let at = size * usize::try_from(fastmmap::page_of(key, pages)).unwrap();
        assert_eq!(fastmmap::find(&sample.bytes[at..at + size], pages, key).unwrap(), None);
    }
}

#[test]
fn storable_nesting_is_bounded() {
    let read = |parts: &[u8], count: usize| {
        let bytes = [b"\x05\x0b", &parts.repeat(count)[..], b"\x02\0\0\0\0"].concat();
        storable::read(&bytes, &Bounds::default()).map(drop).map_err(|error| error.kind())
    };
    // Lists in lists, and blessed ones: one level each.
    for part in [&b"\x02\0\0\0\x01\x04"[..], b"\x02\0\0\0\x01\x04\x11\x01A"] {
        assert_eq!(read(part, 60), Ok(()));
        assert_eq!(read(part, 70), Err(ErrorKind::TooDeep));
    }
    // References to references, classes of classes, and both.
    for part in [&b"\x04"[..], b"\x11\x01A", b"\x04\x11\x01A"] {
        assert_eq!(read(part, 100_000), Err(ErrorKind::TooDeep));
    }
}

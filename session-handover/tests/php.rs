//! Samples of PHP, Laravel and Symfony.
#![allow(clippy::unwrap_used, reason = "a test that cannot decode its sample has failed")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Sample, same};
use session_handover::php::laravel::{Encrypter, Serialization};
use session_handover::php::session::{Handler, read, write};
use session_handover::php::{igbinary, laravel, lzf, msgpack, serialize};
use session_handover::{Bounds, ErrorKind, Value, notation};

const BOUNDS: fn() -> Bounds = Bounds::default;

fn decodes(handler: Handler, name: &str) -> Value {
    let sample = Sample::named("php", name);
    let value = read(handler, &sample.bytes, &BOUNDS()).unwrap();
    sample.check(&value);
    value
}

/// Decodes, and is written back byte by byte.
fn round_trip(handler: Handler, name: &str) {
    let value = decodes(handler, name);
    assert_eq!(write(handler, &value).unwrap(), Sample::named("php", name).bytes, "{name}");
}

/// Decodes, and is not written back.
fn one_way(handler: Handler, name: &str) {
    let value = decodes(handler, name);
    assert_eq!(write(handler, &value).unwrap_err().kind(), ErrorKind::Unwritable, "{name}");
}

/// Decodes, and is written back byte by byte if it can be written at all.
fn decodes_alike(handler: Handler, name: &str) {
    let value = decodes(handler, name);
    match write(handler, &value) {
        Ok(bytes) => assert_eq!(bytes, Sample::named("php", name).bytes, "{name}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unwritable, "{name}"),
    }
}

macro_rules! samples {
    ($($test:ident $check:ident $handler:ident $name:literal,)*) => {$(
        #[test]
        fn $test() {
            $check(Handler::$handler, $name);
        }
    )*};
}

samples! {
    php_basic_is_read_and_written round_trip Php "basic",
    php_arrays_are_read_and_written round_trip Php "arrays",
    php_strings_are_read_and_written round_trip Php "strings",
    php_floats_are_read_and_written round_trip Php "floats",
    php_keys_are_read_and_written round_trip Php "keys",
    php_empty_session_is_read_and_written round_trip Php "empty",
    php_lost_session_is_empty round_trip Php "lost-pipe-key",
    php_binary_is_read_and_written round_trip PhpBinary "basic-binary",
    php_binary_keys_are_read_and_written round_trip PhpBinary "keys-binary",
    php_serialize_is_read_and_written round_trip PhpSerialize "basic-serialize",
    php_serialize_keys_are_read_and_written round_trip PhpSerialize "keys-serialize",
    php_serialize_empty_session_is_read round_trip PhpSerialize "empty-serialize",
    php_enums_decode one_way Php "enums",
    php_references_decode one_way Php "references",
    php_serialize_references_decode one_way PhpSerialize "references-serialize",
    php_cycle_ends one_way Php "cycle",
    php_objects_decode one_way Php "objects",
    php_builtin_objects_decode one_way Php "objects-builtin",
    php_serialize_unusual_array_loop_decode decodes_alike PhpSerialize "more-array-loop-serialize",
    php_binary_unusual_containers_decode decodes_alike PhpBinary "more-containers-binary",
    igbinary_unusual_containers_decode decodes_alike Igbinary "more-containers-igbinary",
    php_serialize_unusual_containers_decode decodes_alike PhpSerialize "more-containers-serialize",
    php_unusual_containers_decode decodes_alike Php "more-containers",
    php_serialize_unusual_dates_decode decodes_alike PhpSerialize "more-dates-serialize",
    php_unusual_deep_decode decodes_alike Php "more-deep",
    php_binary_unusual_numbers_decode decodes_alike PhpBinary "more-numbers-binary",
    igbinary_unusual_numbers_decode decodes_alike Igbinary "more-numbers-igbinary",
    msgpack_unusual_numbers_decode decodes_alike Msgpack "more-numbers-msgpack",
    php_serialize_unusual_numbers_decode decodes_alike PhpSerialize "more-numbers-serialize",
    php_unusual_numbers_decode decodes_alike Php "more-numbers",
    igbinary_unusual_object_loop_decode decodes_alike Igbinary "more-object-loop-igbinary",
    php_serialize_unusual_object_loop_decode decodes_alike PhpSerialize "more-object-loop-serialize",
    php_unusual_object_loop_decode decodes_alike Php "more-object-loop",
    php_serialize_unusual_objects_decode decodes_alike PhpSerialize "more-objects-serialize",
    igbinary_unusual_references_decode decodes_alike Igbinary "more-references-igbinary",
    php_serialize_unusual_references_decode decodes_alike PhpSerialize "more-references-serialize",
    php_serialize_unusual_spl_decode decodes_alike PhpSerialize "more-spl-serialize",
    php_binary_unusual_texts_decode decodes_alike PhpBinary "more-texts-binary",
    igbinary_unusual_texts_decode decodes_alike Igbinary "more-texts-igbinary",
    msgpack_unusual_texts_decode decodes_alike Msgpack "more-texts-msgpack",
    php_serialize_unusual_texts_decode decodes_alike PhpSerialize "more-texts-serialize",
    php_unusual_texts_decode decodes_alike Php "more-texts",
    php_binary_unusual_wide_decode decodes_alike PhpBinary "more-wide-binary",
}

#[test]
fn php_session_of_a_closure_is_damaged() {
    let sample = Sample::named("php", "broken-closure");
    assert!(sample.about["expect_error"].is_string());
    assert_eq!(read(Handler::Php, &sample.bytes, &BOUNDS()).unwrap_err().kind(), ErrorKind::Malformed);
}

#[test]
fn php_redis_values_decode() {
    decodes(Handler::Php, "redis-empty");
    let sample = Sample::named("php", "redis");
    let value = read(Handler::Php, &sample.bytes, &BOUNDS()).unwrap();
    sample.check(&value);
    assert_eq!(write(Handler::Php, &value).unwrap(), sample.bytes);
    let id = sample.about["id"].as_str().unwrap();
    let key = session_handover::php::session::redis_key("PHPREDIS_SESSION:", id);
    assert_eq!(sample.about["key"], key.as_str());
    let lzf_sample = Sample::named("php", "redis-lzf");
    let plain = lzf::decompress(&lzf_sample.bytes, &BOUNDS()).unwrap();
    lzf_sample.check(&read(Handler::Php, &plain, &BOUNDS()).unwrap());
}

#[test]
fn igbinary_sessions_decode() {
    for name in ["basic-igbinary", "objects-igbinary"] {
        let sample = Sample::named("php", name);
        sample.check(&igbinary::read_session(&sample.bytes, &BOUNDS()).unwrap());
    }
}

#[test]
fn msgpack_session_decodes() {
    let sample = Sample::named("php", "basic-msgpack");
    sample.check(&msgpack::read_session(&sample.bytes, &BOUNDS()).unwrap());
}

#[test]
fn one_byte_after_a_session_destroys_it() {
    for (handler, text) in
        [(Handler::Php, "a|i:1;x"), (Handler::PhpSerialize, "a:0:{}x"), (Handler::PhpBinary, "\x01ai:1;x")]
    {
        assert!(read(handler, text.as_bytes(), &BOUNDS()).is_err(), "{text}");
    }
}

#[test]
fn names_that_php_would_lose_are_refused() {
    let session = |name: Value| Value::Map(vec![(name, Value::Int(1))]);
    let long = Value::Text("k".repeat(128).into());
    for (handler, name) in [
        (Handler::Php, Value::Text("a|b".into())),
        (Handler::Php, Value::Int(5)),
        (Handler::PhpBinary, long.clone()),
        (Handler::PhpBinary, Value::Int(5)),
        (Handler::Php, Value::Text("5".into())),
        (Handler::PhpBinary, Value::Bytes(b"-7".to_vec())),
        (Handler::PhpSerialize, Value::Text("5".into())),
        (Handler::PhpSerialize, Value::Bytes(b"5".to_vec())),
        (Handler::PhpSerialize, Value::Null),
    ] {
        let error = write(handler, &session(name.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unwritable, "{handler:?} {name:?}");
    }
    let twice = [0, 1].map(|number| (Value::Text("a".into()), Value::Int(number)));
    for handler in [Handler::Php, Handler::PhpBinary, Handler::PhpSerialize] {
        let error = write(handler, &Value::Map(twice.to_vec())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unwritable, "{handler:?}");
    }
    for (handler, name) in [(Handler::Php, long), (Handler::PhpSerialize, Value::Int(5))] {
        assert!(write(handler, &session(name)).is_ok());
    }
}

#[test]
fn floats_are_written_with_the_digits_of_php() {
    for (number, text) in [
        (0.0001, "0.0001"),
        (0.00001, "1.0E-5"),
        (1.5e-7, "1.5E-7"),
        (1e16, "10000000000000000"),
        (1e17, "1.0E+17"),
        (-1.25, "-1.25"),
        (123_456_789.125, "123456789.125"),
        (1e300, "1.0E+300"),
        (0.0, "0"),
        (-0.0, "-0"),
        (-3_438_744_113_064_045.0 / 4.0, "-859686028266011.2"),
        (3_438_744_113_064_047.0 / 4.0, "859686028266011.8"),
    ] {
        assert_eq!(serialize::write(&Value::Float(number)).unwrap(), format!("d:{text};").into_bytes());
    }
}

#[test]
fn text_that_is_an_integer_is_one_as_a_key() {
    let value = serialize::read(br#"a:3:{s:1:"7";i:1;s:2:"07";i:2;i:7;i:3;}"#, &BOUNDS()).unwrap();
    let expected = [(Value::Int(7), Value::Int(3)), (Value::Text("07".into()), Value::Int(2))];
    assert_eq!(value, Value::Map(expected.to_vec()));
}

#[test]
fn bounds_are_kept() {
    let deep = "a:1:{i:0;".repeat(100) + "N;" + &"}".repeat(100);
    assert_eq!(serialize::read(deep.as_bytes(), &BOUNDS()).unwrap_err().kind(), ErrorKind::TooDeep);
    let wide = format!("a:200000:{{{}}}", (0..200_000).map(|n| format!("i:{n};N;")).collect::<String>());
    assert_eq!(serialize::read(wide.as_bytes(), &BOUNDS()).unwrap_err().kind(), ErrorKind::TooMany);
    let repeats = [&[0xe0, 0xff, 0][..]; 40_000].concat();
    let bomb = [b"\0a", &repeats[..]].concat();
    assert_eq!(lzf::decompress(&bomb, &BOUNDS()).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(serialize::read(b"R:1;", &BOUNDS()).unwrap_err().kind(), ErrorKind::Malformed);
}

fn keys(sample: &Sample) -> Encrypter {
    let secrets = sample.secrets();
    Encrypter::new(secrets.iter().map(String::as_str)).unwrap()
}

#[test]
fn laravel_cookie_gives_the_id() {
    laravel_id("cookie-cbc");
}

#[test]
fn laravel_cookie_in_gcm_gives_the_id() {
    laravel_id("cookie-gcm");
}

fn laravel_id(name: &str) {
    let sample = Sample::named("laravel", name);
    let id = keys(&sample).session_id("laravel_session", &sample.bytes, &BOUNDS()).unwrap();
    same(sample.expect(), &Value::Text(id.into()));
    let value = sample.bytes.strip_prefix(b"laravel_session=").unwrap();
    let error = keys(&sample).session_id("other_session", value, &BOUNDS()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Purpose);
    let wrong = Encrypter::new(["fedcba9876543210fedcba9876543210"]).unwrap();
    let error = wrong.session_id("laravel_session", &sample.bytes, &BOUNDS()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Signature);
    assert!(Encrypter::new(["short"]).is_err());
}

#[test]
fn laravel_files_decode() {
    let sample = Sample::named("laravel", "file");
    let value = laravel::read(Serialization::Php, &sample.bytes, &BOUNDS()).unwrap();
    sample.check(&value);
    assert_eq!(serialize::write(&value).unwrap(), sample.bytes);
    let sample = Sample::named("laravel", "file-json");
    sample.check(&laravel::read(Serialization::Json, &sample.bytes, &BOUNDS()).unwrap());
}

/// As `json_decode` of PHP 8.2 gives it.
#[test]
fn laravel_json_has_the_keys_of_php() {
    let json = br#"{"cart":{"5":"tea","05":1,"-3":2},"list":{"0":"a","1":"b"},"none":{},"9":true}"#;
    let value = laravel::read(Serialization::Json, json, &BOUNDS()).unwrap();
    let expect = serde_json::json!({"$map": [
        ["cart", {"$map": [[5, "tea"], ["05", 1], [-3, 2]]}],
        ["list", ["a", "b"]],
        ["none", []],
        [9, true],
    ]});
    same(&expect, &value);
}

#[test]
fn laravel_encrypted_file_decodes() {
    laravel_encrypted("file-encrypted-cbc");
}

#[test]
fn laravel_file_in_gcm_decodes() {
    laravel_encrypted("file-encrypted-gcm");
}

fn laravel_encrypted(name: &str) {
    let sample = Sample::named("laravel", name);
    let Value::Map(mut entries) = keys(&sample).read(Serialization::Php, &sample.bytes, &BOUNDS()).unwrap()
    else {
        panic!("a map")
    };
    // Random, and left out of the sample.
    entries.retain(|(name, _)| *name != Value::Text("_token".into()));
    sample.check(&Value::Map(entries));
}

#[test]
fn laravel_row_decodes() {
    let sample = Sample::named("laravel", "database");
    let database = rusqlite::Connection::open(&sample.path).unwrap();
    let row = "SELECT payload, last_activity FROM sessions WHERE id = ?1";
    let (payload, last): (String, i64) =
        database.query_row(row, [sample.about["id"].as_str()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let value = laravel::read_row(Serialization::Php, payload.as_bytes(), &BOUNDS()).unwrap();
    sample.check(&value);
    let written = serialize::write(&value).unwrap();
    assert_eq!(STANDARD.encode(written), payload);
    assert!(sample.about["expires"].as_str().unwrap().contains(&last.to_string()));
}

#[test]
fn symfony_sessions_decode() {
    let sample = Sample::named("symfony", "native");
    let value = read(Handler::Php, &sample.bytes, &BOUNDS()).unwrap();
    sample.check(&value);
    assert_eq!(write(Handler::Php, &value).unwrap(), sample.bytes);
    let sample = Sample::named("symfony", "pdo");
    let database = rusqlite::Connection::open(&sample.path).unwrap();
    let row = "SELECT sess_data, sess_lifetime FROM sessions WHERE sess_id = ?1";
    let (data, expires): (Vec<u8>, i64) =
        database.query_row(row, [sample.about["id"].as_str()], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let value = read(Handler::Php, &data, &BOUNDS()).unwrap();
    sample.check(&value);
    assert_eq!(write(Handler::Php, &value).unwrap(), data);
    assert_eq!(sample.about["expires"]["absolute_epoch_s"], expires);
}

/// Bytes of hexadecimal text.
fn hex(text: &str) -> Vec<u8> {
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.as_bytes().chunks(2).map(digits).collect()
}

/// Written by PHP 8.2 with igbinary 3.2.13 and msgpack 2.2.
#[test]
fn enums_parents_and_marks_of_the_extensions_are_read() {
    let written = |value: Value| notation::write(&value);
    let igbinary = |text| written(igbinary::read(&hex(text), &BOUNDS()).unwrap());
    let msgpack = |text| written(msgpack::read(&hex(text), &BOUNDS()).unwrap());
    let suit = r#"{"$enum":"Suit","case":"H"}"#;
    assert_eq!(
        igbinary("00000002140206001704537569742711014806012201"),
        format!(r#"[{{"$id":1,"of":{suit}}},{{"$same":1}}]"#)
    );
    let both = r#"{"$object":"Q","fields":{"x":2,"x":1}}"#;
    assert_eq!(
        igbinary("000000021701511402110400510078060211040050007806 01".replace(' ', "").as_str()),
        both
    );
    assert_eq!(msgpack("83c0a151a40051007802a40050007801"), both);
    assert_eq!(msgpack("82c0a157c082a16101a16c920102"), r#"{"$object":"W","fields":{"a":1,"l":[1,2]}}"#);
    let reference = r#"{"$object":"C","fields":{"n":1}}"#;
    assert_eq!(msgpack("83c001c0a143a16e01"), reference);
}

/// Written by PHP 8.2 with msgpack 2.2, and read as PHP reads it.
#[test]
fn msgpack_values_that_are_met_again_are_followed() {
    let read = |text| notation::write(&msgpack::read(&hex(text), &BOUNDS()).unwrap());
    let object = r#"{"$id":1,"of":{"$object":"N","fields":{"n":1}}}"#;
    let same = r#"{"$same":1}"#;
    assert_eq!(
        read("84a16182c0a14ea16e01a16282c0040002a1639101a16482c0040002"),
        format!(r#"{{"a":{object},"b":{same},"c":[1],"d":{same}}}"#)
    );
    // An array that two variables share.
    assert_eq!(
        read("82a16183c00100010102a16282c0020002"),
        format!(r#"{{"a":{{"$id":1,"of":[1,2]}},"b":{same}}}"#)
    );
    // An object that holds itself, and an array that does.
    let of = format!(r#"{{"$object":"W","fields":{{"a":{same}}}}}"#);
    assert_eq!(read("81a17782c0a157a16182c0040002"), format!(r#"{{"w":{{"$id":1,"of":{of}}}}}"#));
    let of = format!(r#"{{"user":"x","self":{same}}}"#);
    assert_eq!(
        read("82a475736572a178a473656c6683c001a475736572a178a473656c6682c0020002"),
        format!(r#"{{"user":"x","self":{{"$id":1,"of":{of}}}}}"#)
    );
    // What `__serialize` gives has a number too.
    let text = "86a16f82c0a14ea16e01a17382c0a153c082a2696e920102a16f82c0040002a17482c0040003a17082c0040002a1759103\
                a17682c0040003";
    let given = format!(r#"{{"$id":2,"of":{{"$object":"S","fields":{{"in":[1,2],"o":{same}}}}}}}"#);
    let again = r#"{"$same":2}"#;
    assert_eq!(
        read(text),
        format!(r#"{{"o":{object},"s":{given},"t":{again},"p":{same},"u":[3],"v":{again}}}"#)
    );
    // After a reference the extension's numbers are too low, and PHP reads the array instead of the object.
    let array = r#"{"$id":1,"of":{"k":1}}"#;
    assert_eq!(
        read("84a16182c001a16b01a16282c0020002a16f82c0a14ea16e01a17082c0040003"),
        format!(r#"{{"a":{array},"b":{same},"o":{{"$object":"N","fields":{{"n":1}}}},"p":{same}}}"#)
    );
    // A number that leads nowhere loses nothing else.
    assert_eq!(read("82a16101a16282c0040009"), r#"{"a":1,"b":{"$opaque":"reference"}}"#);
    assert_eq!(read("82a16101a16282c0040002"), r#"{"a":1,"b":{"$opaque":"reference"}}"#);
}

#[test]
fn numbers_after_bytes_of_a_class_are_uncertain() {
    let text = br#"a:3:{i:0;C:1:"S":22:{a:2:{i:0;i:1;i:1;i:2;}}i:1;O:1:"N":1:{s:1:"n";i:1;}i:2;r:6;}"#;
    let Value::List(items) = serialize::read(text, &BOUNDS()).unwrap() else { panic!("a list") };
    assert_eq!(items[2], Value::Opaque("reference".into()));
    let error = serialize::read(br#"a:2:{i:0;i:5;i:1;r:2;}"#, &BOUNDS()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "only objects are met again");
}

#[test]
fn copies_are_bounded() {
    // A value that is met again stands once.
    let name = "N".repeat(100_000);
    let many = (1..8_000).map(|at| format!("i:{at};R:2;")).collect::<String>();
    let text = format!(r#"a:8000:{{i:0;E:{}:"{name}:A";{many}}}"#, name.len() + 2);
    let used = allocation_counter::measure(|| drop(serialize::read(text.as_bytes(), &BOUNDS()).unwrap()));
    assert!(used.bytes_max < 8 << 20, "{} bytes", used.bytes_max);
    let head = [&hex("0000000215")[..], &4_001_u16.to_be_bytes()].concat();
    let mut packed =
        [head, hex("0600"), hex("13"), 100_000_u32.to_be_bytes().to_vec(), vec![b'x'; 100_000]].concat();
    for at in 1..4_001_u16 {
        packed.extend([&[8][..], &at.to_be_bytes(), &[0x0e, 0]].concat());
    }
    let kind = igbinary::read(&packed, &BOUNDS()).map(drop).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::TooLarge);
    // Each level announces more than it has.
    let deep = [0xdf, 0, 0xff, 0xff, 0xff].repeat(63);
    let used = allocation_counter::measure(|| {
        drop(msgpack::read(&[deep.clone(), vec![0; 1 << 20]].concat(), &BOUNDS()))
    });
    assert!(used.bytes_max < 16 << 20, "{} bytes", used.bytes_max);
}

#[test]
fn values_that_are_met_again_are_not_written_as_equal_ones() {
    for text in ["p|i:1;q|R:1;", r#"a|E:6:"Suit:H";b|r:1;"#] {
        let value = read(Handler::Php, text.as_bytes(), &BOUNDS()).unwrap();
        assert_eq!(write(Handler::Php, &value).unwrap_err().kind(), ErrorKind::Unwritable, "{text}");
    }
    let once = r#"a|E:6:"Suit:H";"#.as_bytes();
    assert_eq!(write(Handler::Php, &read(Handler::Php, once, &BOUNDS()).unwrap()).unwrap(), once);
    let deep = (0..1_000).fold(Value::Null, |inner, _| Value::List(vec![inner]));
    assert_eq!(serialize::write(&deep).unwrap_err().kind(), ErrorKind::Unwritable);
}

/// The cookie of a name with this plain text, as `EncryptCookies` seals it. The IV does not matter here.
fn laravel_cookie(key: &str, name: &str, plain: &str) -> String {
    use cbc::cipher::block_padding::Pkcs7;
    use cbc::cipher::{BlockModeEncrypt as _, KeyIvInit as _};
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let text = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut prefix = <Hmac<sha1::Sha1>>::new_from_slice(key.as_bytes()).unwrap();
    prefix.update(format!("{name}v2").as_bytes());
    let plain = format!("{}|{plain}", text(&prefix.finalize().into_bytes()));
    let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(key.as_bytes(), &[7; 16]).unwrap();
    let value = STANDARD.encode(cipher.encrypt_padded_vec::<Pkcs7>(plain.as_bytes()));
    let iv = STANDARD.encode([7; 16]);
    let mut mac = <Hmac<sha2::Sha256>>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{iv}{value}").as_bytes());
    let mac = text(&mac.finalize().into_bytes());
    STANDARD.encode(format!(r#"{{"iv":"{iv}","value":"{value}","mac":"{mac}","tag":""}}"#))
}

#[test]
fn laravel_session_in_a_cookie_ends_at_its_time() {
    let (key, id) = ("0123456789abcdef0123456789abcdef", "Abcd1234Abcd1234Abcd1234Abcd1234Abcd1234");
    let cookie = laravel_cookie(key, id, r#"{"data":"a:1:{s:4:\"user\";s:3:\"ada\";}","expires":1000}"#);
    let keys = Encrypter::new([key]).unwrap();
    let read = |id, now| keys.read_cookie(Serialization::Php, id, cookie.as_bytes(), now, &BOUNDS());
    assert_eq!(read(id, 1000.0).unwrap().get("user").and_then(Value::as_text), Some("ada"));
    assert_eq!(read(id, 1001.0).unwrap_err().kind(), ErrorKind::Expired);
    assert_eq!(read("another", 0.0).unwrap_err().kind(), ErrorKind::Purpose);
}

#[test]
fn laravel_sealed_payloads_are_read_in_each_store() {
    let sealed = Sample::named("laravel", "file-encrypted-cbc");
    let keys = keys(&sealed);
    let id = "Abcd1234Abcd1234Abcd1234Abcd1234Abcd1234";
    let text = std::str::from_utf8(&sealed.bytes).unwrap();
    let row = STANDARD.encode(text);
    let cached = format!("s:{}:\"{text}\";", text.len());
    let cookie = laravel_cookie(&sealed.secrets()[0], id, &format!(r#"{{"data":"{text}","expires":1000}}"#));
    let php = Serialization::Php;
    let expected = keys.read(php, &sealed.bytes, &BOUNDS()).unwrap();
    assert_eq!(expected.get("user").and_then(Value::as_text), Some("alice"));
    assert_eq!(keys.read_payload(php, text.as_bytes(), &BOUNDS()).unwrap(), expected);
    assert_eq!(keys.read_row(php, row.as_bytes(), &BOUNDS()).unwrap(), expected);
    assert_eq!(keys.read_cached(php, cached.as_bytes(), &BOUNDS()).unwrap(), expected);
    assert_eq!(keys.read_cookie(php, id, cookie.as_bytes(), 0.0, &BOUNDS()).unwrap(), expected);
    let other = Encrypter::new(["fedcba9876543210fedcba9876543210"]).unwrap();
    for kind in [
        other.read_row(php, row.as_bytes(), &BOUNDS()).map_err(|error| error.kind()),
        other.read_cached(php, cached.as_bytes(), &BOUNDS()).map_err(|error| error.kind()),
    ] {
        assert_eq!(kind, Err(ErrorKind::Signature));
    }
    // Payloads that are not sealed.
    let plain = Sample::named("laravel", "file").bytes;
    let expected = laravel::read(php, &plain, &BOUNDS()).unwrap();
    assert_eq!(keys.read_payload(php, &plain, &BOUNDS()).unwrap(), expected);
    assert_eq!(keys.read_row(php, STANDARD.encode(&plain).as_bytes(), &BOUNDS()).unwrap(), expected);
}

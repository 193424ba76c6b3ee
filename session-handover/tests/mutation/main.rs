//! Damaged input: no panic, no hang, and memory that follows the size of the input.
//!
//! The short form decodes thousands of inputs per family. `SESSION_KIT_FULL=1` decodes ten million.

mod dense;
mod pages;
mod resealed;
mod seal;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fastrand::Rng;
use hmac::Hmac;
use session_conformance::testing::amount;
use session_handover::node::{cookie_session, express, iron_session};
use session_handover::perl::{apache, catalyst, cgi_session, dumper, mojolicious, plack, storable, yaml};
use session_handover::php::{igbinary, laravel, lzf, msgpack as php_msgpack, serialize, session};
use session_handover::python::{beaker, django, django_cache, flask, flask_session, pickle, starlette};
use session_handover::ruby::{marshal, msgpack, rack, rails, rails_cache};
use session_handover::rust::cookie::{Key, Security};
use session_handover::rust::{actix_session, async_session, axum_session, tower_sessions};
use session_handover::{Bounds, ErrorKind, Typing, Value, notation};

use seal::{hex, hmac, sha1, sha256};

/// What one input of at most 64 KiB may take.
const LONGEST: Duration = Duration::from_secs(1);

/// The bounds of all readers here.
fn bounds() -> Bounds {
    let mut bounds = Bounds::default();
    bounds.size = 256 << 10;
    bounds
}

/// Peak of live bytes that an input may cause: the bounds, and a multiple of the input for the tree.
fn limit(input: usize) -> u64 {
    // The densest formats take 200 bytes for each byte of input, and twice that where a list has just grown.
    (1 << 20) + 512 * u64::try_from(input).expect("a length")
}

fn seeds(names: &[&str]) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    names.iter().map(|name| std::fs::read(folder.join(name)).expect("a sample")).collect()
}

fn mutate(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[rng.usize(..seeds.len())].clone();
    for _ in 0..=rng.usize(..6) {
        let at = rng.usize(..=input.len());
        match rng.u8(..8) {
            0 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
            1 if at < input.len() => {
                input[at] =
                    *rng.choice(b"\0\x01\x02\x03\x04\x7f\x80\xff{}[]'\"\\$@!&*:;,-=\n ").expect("a byte")
            }
            2 => input.truncate(at),
            3 => {
                let end = rng.usize(at..=input.len());
                input.drain(at..end);
            }
            4 => {
                let other = &seeds[rng.usize(..seeds.len())];
                let from = rng.usize(..=other.len());
                let end = rng.usize(from..=other.len());
                input.splice(at..at, other[from..end].iter().copied());
            }
            5 => {
                // A part many times: depth and counts.
                let end = rng.usize(at..=input.len()).min(at + 24);
                let part = input[at..end].repeat(rng.usize(..64));
                input.splice(at..at, part);
            }
            6 if at + 4 <= input.len() => {
                let number =
                    *rng.choice(&[0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, 0x10_0000]).expect("a number");
                let bytes = if rng.bool() { number.to_be_bytes() } else { number.to_le_bytes() };
                input[at..at + 4].copy_from_slice(&bytes);
            }
            _ => input.insert(at, rng.u8(..)),
        }
        input.truncate(1 << 16);
    }
    input
}

fn run(seeds: &[Vec<u8>], decode: impl Fn(&[u8])) {
    for seed in seeds {
        decode(seed);
    }
    let mut rng = session_conformance::testing::rng();
    let timed = |input: &[u8]| {
        #[expect(clippy::disallowed_methods, reason = "a stopwatch of a test")]
        let start = Instant::now();
        decode(input);
        start.elapsed()
    };
    for _ in 0..amount(10_000, 10_000_000) {
        let input = mutate(&mut rng, seeds);
        let mut time = Duration::ZERO;
        let used = allocation_counter::measure(|| time = timed(&input));
        if time > LONGEST {
            // The machine may have been busy.
            time = (0..3).map(|_| timed(&input)).min().unwrap_or(time);
        }
        assert!(time < LONGEST, "{time:?} for {} bytes of input", input.len());
        assert!(
            used.bytes_max <= limit(input.len()),
            "{} bytes of memory for {} of input",
            used.bytes_max,
            input.len()
        );
    }
}

/// Walks what was decoded, as a caller does.
fn walk(value: Result<Value, session_handover::Error>) {
    if let Ok(value) = value {
        notation::write(&value);
        let _ = value.deserialize_into::<serde_json::Value>(Typing::Lenient);
    }
}

#[test]
fn damaged_storable_is_an_error_or_a_value() {
    let mut seeds = seeds(&[
        "storable/refs-native.storable",
        "storable/refs-net.storable",
        "storable/hook-net.storable",
        "storable/numbers-native.storable",
        "storable/strings-net.storable",
        "storable/booleans-perl-5.40-net.storable",
        "catalyst/file-session.storable",
        "catalyst/file-expires.storable",
        "plack/file.storable",
    ]);
    let text = &self::seeds(&["catalyst/redis-session.txt"])[0];
    let text: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    seeds.push(STANDARD.decode(text).expect("base64"));
    run(&seeds, |input| {
        walk(storable::read(input, &bounds()));
        walk(apache::read(input, &bounds()));
        walk(apache::read(STANDARD.encode(input).as_bytes(), &bounds()));
        let stored = catalyst::read_file(input, &bounds()).and_then(catalyst::stored);
        walk(stored.map(|stored| catalyst::live(stored.value, 1.8e9)));
        let session = catalyst::read_text(STANDARD.encode(input).as_bytes(), &bounds());
        walk(session.map(|session| catalyst::live(session, 1.8e9)));
    });
}

#[test]
fn damaged_dump_is_an_error_or_a_value() {
    let seeds = seeds(&[
        "cgi-session/nested.dump",
        "cgi-session/strings.dump",
        "cgi-session/numbers.dump",
        "cgi-session/expiry.dump",
        "cgi-session/booleans-perl-5.40.dump",
    ]);
    run(&seeds, |input| {
        walk(dumper::read(input, &bounds()));
        cgi_session(input, cgi_session::Serializer::Dumper);
    });
}

/// Reads a session of CGI::Session, and its ends.
fn cgi_session(input: &[u8], serializer: cgi_session::Serializer) {
    for serializer in [serializer, cgi_session::Serializer::Detect] {
        let Ok(session) = cgi_session::read(input, serializer, &bounds()) else { continue };
        let life = cgi_session::Life::of(&session);
        let _ = life.key_ended("cart", 1_700_000_700);
        // Before and after the ends of the samples' keys.
        for now in [0, 1_700_000_700] {
            if let Some(session) = cgi_session::live(session.clone(), now) {
                walk(Ok(session));
            }
        }
    }
}

#[test]
fn damaged_yaml_is_an_error_or_a_value() {
    let seeds = seeds(&["cgi-session/yaml.yml", "dancer/session.yml", "dancer2/session.yml"]);
    run(&seeds, |input| {
        walk(yaml::read(input, &bounds()));
        cgi_session(input, cgi_session::Serializer::Yaml);
    });
}

#[test]
fn damaged_perl_cookies_are_errors_or_sessions() {
    let seeds = seeds(&["plack/cookie.txt", "mojolicious/cookie-set.txt", "mojolicious/cookie-forever.txt"]);
    let plack = plack::Cookie::new("plack secret");
    let mojolicious = mojolicious::Cookie::new(["mojo secret"]);
    run(&seeds, |input| {
        let _ = plack.read(input, 0.0, &bounds());
        let _ = mojolicious.read(input, 0.0, &bounds());
    });
}

#[test]
fn damaged_marshal_is_an_error_or_a_value() {
    let seeds = seeds(&["rack/marshal-types.marshal", "rack/redis.value"]);
    run(&seeds, |input| {
        walk(marshal::read(input, &bounds()));
        walk(rack::read_redis(input, &bounds()));
    });
}

#[test]
fn damaged_rows_of_rails_are_errors_or_sessions() {
    let mut seeds = seeds(&["rack/marshal-types.marshal", "rack/redis.value"]);
    seeds.push(br#"{"value":{"user":"alice","n":[1,2.5,null]}}"#.to_vec());
    seeds.push(br#"{"user":"alice","list":[1,true,{"a":"b"}]}"#.to_vec());
    run(&seeds, |input| {
        walk(rails::read_row(input, &bounds()));
        walk(rails::read_row(STANDARD.encode(input).as_bytes(), &bounds()));
    });
}

#[test]
fn damaged_cache_entries_are_errors_or_values() {
    let mut seeds = seeds(&["rails/cache-redis-6.1.value", "rails/cache-redis-7.2.value"]);
    seeds.push(b"\xcc\x80\x85\xa1a\xc7\x03\x07\x00\x01\x00\xa1b\xd6\x06\xce\x00\x25\x8c\x13\xa1c\xc7\x02\x0c\x91\x01\xa1d\xd4\x00x\xa1e\x93\xc0\xc3\xcb\x3f\xf8\0\0\0\0\0\0".to_vec());
    run(&seeds, |input| {
        walk(rails_cache::read(input, &bounds()).map(|entry| entry.value));
        walk(msgpack::read(input, &bounds()));
    });
}

#[test]
fn damaged_ruby_cookies_are_errors_or_sessions() {
    let rack_seeds = seeds(&["rack/cookie-2.2.cookie", "rack/cookie-3.1.cookie"]);
    let secret = "rack-secret-".repeat(8);
    let rack = rack::Cookie::new([secret]);
    run(&rack_seeds, |input| walk(rack.read(input, &bounds())));
}

#[test]
fn damaged_rails_cookies_are_errors_or_sessions() {
    let seeds = seeds(&[
        "rails/cookie-5-cbc.cookie",
        "rails/cookie-6.1-marshal.cookie",
        "rails/cookie-7.2-json.cookie",
    ]);
    let rails = rails::Cookie::new("_myapp_session", ["a1b2c3d4".repeat(16)]);
    run(&seeds, |input| {
        let _ = rails.read(input, 1.8e9, &bounds());
    });
}

#[test]
fn damaged_pickle_is_an_error_or_a_value() {
    let mut seeds = seeds(&[
        "django/cache-redis.value",
        "django/cache-redis-types.value",
        "django/cache-file.djcache",
        "flask-session/redis-old-pickle.value",
        "beaker/file-pickle.cache",
    ]);
    // Protocol 0: a map with text, an object of an old class, and Python 2's numbers and text.
    seeds.push(b"(dp0\nVuser\np1\nVal\\u0069ce\np2\nsS'o'\n(iapp\nOld\np3\n(dS'x'\nI01\nsL12345678901234567890L\nF1e+25\nsbs.".to_vec());
    // Protocol 2: a set, bytes, a UUID and an object with variables in slots.
    seeds.push(b"\x80\x02}(X\x01\0\0\0sc__builtin__\nset\n]K\x01a\x85RX\x01\0\0\0bc_codecs\nencode\nX\x01\0\0\0yX\x06\0\0\0latin1\x86RX\x01\0\0\0uc__builtin__\nobject\n)\x81cuuid\nUUID\n)\x81}X\x03\0\0\0intK\x05sbX\x01\0\0\0ocapp\nSlots\n)\x81N}X\x01\0\0\0aK\x01s\x86bu.".to_vec());
    run(&seeds, |input| {
        walk(pickle::read(input, &bounds()));
        walk(django_cache::read(input, &bounds()));
        walk(django_cache::read_row(input, &bounds()));
        walk(django_cache::read_row(STANDARD.encode(input).as_bytes(), &bounds()));
        walk(django_cache::read_file(input, 0.0, &bounds()).map(|entry| entry.value));
    });
}

#[test]
fn damaged_django_sessions_are_errors_or_sessions() {
    let seeds = seeds(&[
        "django/db-2.2-json.txt",
        "django/db-2.2-pickle.txt",
        "django/db-4.2-pickle.txt",
        "django/db-compressed.txt",
        "django/db-numbers.txt",
        "django/signed-cookie.txt",
        "django/signed-cookie-3.0.txt",
    ]);
    let sessions = django::Sessions::new(["django-sample-secret-A-0123456789"]);
    run(&seeds, |input| {
        if let Ok(opened) = sessions.read_row(input, &bounds()) {
            let _ = sessions.write(&opened.value, &opened.envelope, 0);
            walk(Ok(opened.value));
        }
        let _ = sessions.read_cookie(input, 0.0, &bounds());
    });
}

#[test]
fn damaged_django_sessions_that_are_signed_are_errors_or_sessions() {
    let mut seeds = seeds(&["django/db-compressed.txt", "django/db-text.txt", "django/db-4.2-pickle.txt"]);
    seeds.iter_mut().for_each(|seed| {
        let end = seed.iter().position(|&byte| byte == b':').expect("a payload");
        seed.truncate(end);
    });
    seeds.push(
        br#"{"a":[1,-0.5e3,NaN,-Infinity,"\ud83d\ude00\ud800"],"b":{"n":123456789012345678901}}"#.to_vec(),
    );
    let secret = b"a secret";
    let sessions = django::Sessions::new([secret]);
    run(&seeds, |input| {
        // As a row of Django 5, and as one of Django 2.
        let payload = [input, b":1xXLOS"].concat();
        let key = sha256(&[b"django.contrib.sessions.SessionStoresigner", &secret[..]].concat());
        let mac = hmac::<Hmac<sha2::Sha256>>(&key, &payload);
        let row = [&payload, b":".as_slice(), URL_SAFE_NO_PAD.encode(mac).as_bytes()].concat();
        let opened = sessions.read_row(&row, &bounds());
        assert!(!opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::Signature));
        if let Ok(opened) = opened {
            let _ = sessions.write(&opened.value, &opened.envelope, 0);
            walk(Ok(opened.value));
        }
        let key = sha1(&[b"django.contrib.sessionsSessionStore", &secret[..]].concat());
        let mac = hex(&hmac::<Hmac<sha1::Sha1>>(&key, input));
        let row = STANDARD.encode([mac.as_bytes(), b":", input].concat());
        let opened = sessions.read_row(row.as_bytes(), &bounds());
        assert!(!opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::Signature));
        walk(opened.map(|opened| opened.value));
    });
}

#[test]
fn damaged_flask_and_starlette_cookies_are_errors_or_sessions() {
    let mut seeds = seeds(&[
        "flask/cookie-compressed.txt",
        "flask/cookie-permanent-flash.txt",
        "flask/cookie-tag-lookalike.txt",
        "flask/cookie-tags.txt",
        "starlette/cookie-basic.txt",
    ]);
    seeds.push(
        br#"{"a":{" t":[{" b":"AP8="},{" di":{" u__":1}}]},"d":{" d":"Wed, 15 Jan 2025 12:00:00 GMT"}}"#
            .to_vec(),
    );
    let (flask, starlette) = (flask::Cookie::new(["a secret"]), starlette::Cookie::new(["a secret"]));
    let sign = |key: &[u8], payload: &[u8]| {
        let signed =
            [payload, b".", URL_SAFE_NO_PAD.encode(1_800_000_000_u32.to_be_bytes()).as_bytes()].concat();
        let mac = hmac::<Hmac<sha1::Sha1>>(key, &signed);
        [&signed, b".".as_slice(), URL_SAFE_NO_PAD.encode(mac).as_bytes()].concat()
    };
    run(&seeds, |input| {
        let _ = flask.read(input, 1.8e9, &bounds());
        let _ = starlette.read(input, 1.8e9, &bounds());
        // The damage is in what a valid signature covers: the payload as it stands, and the text in it.
        let payload = match input.iter().position(|&byte| byte == b'.') {
            Some(0) | None => input.to_vec(),
            Some(end) => input[..end].to_vec(),
        };
        let key = hmac::<Hmac<sha1::Sha1>>(b"a secret", b"cookie-session");
        for payload in [payload, URL_SAFE_NO_PAD.encode(input).into_bytes()] {
            let opened = flask.read(&sign(&key, &payload), 1.8e9, &bounds());
            walk(opened.map(|opened| opened.value));
        }
        let key = sha1(b"itsdangerous.Signersignera secret");
        let cookie = sign(&key, STANDARD.encode(input).as_bytes());
        let opened = starlette.read(&cookie, 1.8e9, &bounds());
        assert!(!opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::Signature));
        walk(opened.map(|opened| opened.value));
    });
}

#[test]
fn damaged_flask_session_values_are_errors_or_sessions() {
    let seeds = seeds(&[
        "flask-session/file.cachelib",
        "flask-session/redis-browser-session.value",
        "flask-session/redis-msgpack.value",
        "flask-session/redis-msgpack-types.value",
        "flask-session/redis-old-pickle.value",
        "flask-session/redis-signed-id.value",
    ]);
    run(&seeds, |input| {
        walk(flask_session::read(input, &bounds()));
        walk(flask_session::read_file(input, 0.0, &bounds()).map(|entry| entry.value));
        let _ = flask_session::unsign_id(b"a secret", input);
    });
}

#[test]
fn damaged_beaker_sessions_are_errors_or_sessions() {
    let seeds =
        seeds(&["beaker/file-pickle.cache", "beaker/file-encrypted.cache", "beaker/cookie-signed.txt"]);
    let plain = beaker::Sessions::default().validate_key("a secret");
    let keys = beaker::Sessions::default().validate_key("beaker-validate-A");
    let gcm = keys.clone().encrypt_key("beaker-encrypt-A", beaker::Cipher::Gcm);
    let json = keys.encrypt_key("beaker-encrypt-A", beaker::Cipher::Ctr).serializer(beaker::Serializer::Json);
    run(&seeds, |input| {
        for sessions in [&plain, &gcm, &json] {
            walk(sessions.read_file(input, 0.0, &bounds()));
            walk(sessions.read_value(input, 0.0, &bounds()));
            walk(sessions.read_cookie(input, 0.0, &bounds()));
        }
        // The pickle itself is damaged, and the signature is valid.
        let content =
            input.strip_prefix(b"beaker.session.id=").and_then(|rest| rest.get(40..)).unwrap_or(input);
        let bytes = STANDARD.decode(content).unwrap_or_else(|_| input.to_vec());
        let text = STANDARD.encode(bytes);
        let mac = hex(&hmac::<Hmac<sha1::Sha1>>(b"a secret", text.as_bytes()));
        let opened = plain.read_cookie(format!("{mac}{text}").as_bytes(), 0.0, &bounds());
        assert!(!opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::Signature));
        walk(opened);
    });
}

#[test]
fn damaged_php_session_is_an_error_or_a_value() {
    let seeds = seeds(&[
        "php/arrays.sess",
        "php/references.sess",
        "php/objects.sess",
        "php/objects-builtin.sess",
        "php/enums.sess",
        "php/floats.sess",
        "php/strings.sess",
        "php/cycle.sess",
        "php/keys-binary.sess",
        "php/references-serialize.sess",
        "symfony/native.sess",
    ]);
    run(&seeds, |input| {
        for handler in [session::Handler::Php, session::Handler::PhpBinary, session::Handler::PhpSerialize] {
            let value = session::read(handler, input, &bounds());
            if let Ok(value) = &value {
                let _ = session::write(handler, value);
            }
            walk(value);
        }
    });
}

#[test]
fn damaged_packed_php_session_is_an_error_or_a_value() {
    let seeds = seeds(&[
        "php/basic-igbinary.igb",
        "php/objects-igbinary.igb",
        "php/basic-msgpack.mpk",
        "php/redis-lzf.value",
    ]);
    run(&seeds, |input| {
        walk(igbinary::read_session(input, &bounds()));
        walk(php_msgpack::read_session(input, &bounds()));
        if let Ok(plain) = lzf::decompress(input, &bounds()) {
            walk(serialize::read(&plain, &bounds()));
        }
    });
}

#[test]
fn damaged_laravel_cookies_are_errors_or_sessions() {
    let seeds =
        seeds(&["laravel/cookie-cbc.txt", "laravel/file-encrypted-cbc.sess", "laravel/file-json.sess"]);
    let keys = laravel::Encrypter::new(["0123456789abcdef0123456789abcdef"]).expect("a key");
    run(&seeds, |input| {
        let _ = keys.session_id("laravel_session", input, &bounds());
        walk(keys.read(laravel::Serialization::Php, input, &bounds()));
        walk(laravel::read(laravel::Serialization::Json, input, &bounds()));
    });
}

#[test]
fn damaged_payloads_of_laravel_are_errors_or_sessions() {
    let mut seeds = seeds(&["laravel/file.sess", "laravel/file-json.sess"]);
    seeds.push(b"eyJpdiI6IiIsInZhbHVlIjoiIiwibWFjIjoiIiwidGFnIjoiIn0=".to_vec());
    let keys = laravel::Encrypter::new(["0123456789abcdef0123456789abcdef"]).expect("a key");
    run(&seeds, |input| {
        let bounds = bounds();
        let row = STANDARD.encode(input);
        let cached = [format!("s:{}:\"", input.len()).as_bytes(), input, b"\";"].concat();
        for of in [laravel::Serialization::Php, laravel::Serialization::Json] {
            walk(laravel::read(of, input, &bounds));
            walk(laravel::read_row(of, input, &bounds));
            walk(laravel::read_row(of, row.as_bytes(), &bounds));
            walk(laravel::read_cached(of, input, &bounds));
            walk(laravel::read_cached(of, &cached, &bounds));
            walk(keys.read_payload(of, input, &bounds));
            walk(keys.read_row(of, row.as_bytes(), &bounds));
            walk(keys.read_cached(of, &cached, &bounds));
        }
    });
}

#[test]
fn damaged_express_session_is_an_error_or_a_value() {
    let seeds = seeds(&[
        "express/json-types.value",
        "express/json-all-cookie-options.value",
        "express/json-expires-false.value",
        "express/file-store.value",
    ]);
    run(&seeds, |input| {
        let value = express::read(input, &bounds());
        if let Ok(value) = &value {
            express::file_end(value, 3600.0);
            // A session that is written is read as the same.
            if let Ok(text) = express::write(value) {
                let again = express::read(&text, &bounds()).expect("a session that was written");
                assert_eq!(express::write(&again).expect("a session that was read"), text);
            }
        }
        walk(value);
    });
}

#[test]
fn damaged_node_cookies_are_errors_or_sessions() {
    let seeds = seeds(&[
        "express/cookie-signed-escapes.txt",
        "express/cookie-signed.txt",
        "cookie-session/signed.txt",
        "iron-session/sealed.txt",
    ]);
    let express = express::Cookie::new(["express-sample-secret-A"]);
    let cookie_session = cookie_session::Cookie::new(["older", "express-sample-secret-A"]);
    let iron_session =
        iron_session::Cookie::new("iron", "iron-sample-password-A-0123456789abcdef").expect("a password");
    run(&seeds, |input| {
        let _ = express.session_id(input, &bounds());
        walk(cookie_session.read(input, &bounds()));
        walk(iron_session.read(input, 0.0, &bounds()).map(|opened| opened.value));
    });
}

#[test]
fn damaged_tower_sessions_record_is_an_error_or_a_value() {
    let seeds = seeds(&[
        "tower-sessions/record-basic.msgpack",
        "tower-sessions/record-values.msgpack",
        "tower-sessions/redis.msgpack",
    ]);
    run(&seeds, |input| {
        walk(tower_sessions::read(input, &bounds()).map(|record| record.value));
    });
}

#[test]
fn damaged_rust_sessions_are_errors_or_values() {
    let mut seeds = seeds(&[
        "async-session/session.value",
        "async-session/session-expiry.value",
        "async-session/cookie-store.txt",
    ]);
    seeds.push(br#"{"data":{"o":"[1,null]","user":"\"alice\"","n":"3"},"longterm":false}"#.to_vec());
    seeds.push(br#"{"o":"[1,{\"a\":[]}]","user":"\"alice\"","n":"3"}"#.to_vec());
    run(&seeds, |input| {
        let bounds = bounds();
        walk(async_session::read(input, &bounds).map(|session| session.value));
        walk(async_session::read_cookie(input, &bounds).map(|session| session.value));
        walk(axum_session::read(input, &bounds).map(|row| row.value));
        walk(actix_session::read(input, &bounds));
    });
}

#[test]
fn damaged_rust_cookies_are_errors_or_sessions() {
    let seeds = seeds(&[
        "actix-session/cookie-store-private.txt",
        "actix-session/cookie-store-signed.txt",
        "actix-session/redis-cookie-signed.txt",
    ]);
    let key = Key::new(&[7; 64]).expect("a key");
    let signed = actix_session::cookie(Security::Signed(key.clone()));
    let private = tower_sessions::cookie(Security::Private(key.clone()));
    let axum = axum_session::SessionCookie::new(Some(key.clone()));
    run(&seeds, |input| {
        let bounds = bounds();
        for text in [signed.open(input, &bounds), private.open(input, &bounds)].into_iter().flatten() {
            walk(actix_session::read(text.as_bytes(), &bounds));
        }
        let _ = axum.session_id(input, Some(&axum_session::Peer::default()), &bounds);
        walk(axum_session::read_sealed(&key, "id", input, &bounds).map(|row| row.value));
    });
}

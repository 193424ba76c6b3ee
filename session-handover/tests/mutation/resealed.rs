//! Damage inside valid signatures and seals: what the holder of a stolen key, or an old program with a fault, can send.

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::Hmac;
use session_conformance::testing::amount;
use session_handover::node::{cookie_session, express, iron_session};
use session_handover::perl::{mojolicious, plack};
use session_handover::php::laravel;
use session_handover::ruby::{rack, rails};
use session_handover::rust::cookie::{Key, Security};
use session_handover::rust::{actix_session, async_session, axum_session, tower_sessions};
use session_handover::{Bounds, Error, ErrorKind};

use crate::seal::{IV, NONCE, cbc, ctr, gcm, hex, hmac, pbkdf2_sha1, pbkdf2_sha256};
use crate::{bounds, run, seeds, walk};

type Sha1 = Hmac<sha1::Sha1>;
type Sha256 = Hmac<sha2::Sha256>;

/// The ways of an input. The short form takes all of them, the long one a single way for each input: the same one if a slow
/// input is tried again.
struct Ways {
    of: usize,
    input: Cell<usize>,
}

impl Ways {
    fn new(of: usize) -> Self {
        Self { of: amount(1, of), input: Cell::default() }
    }

    fn begin(&self, input: &[u8]) {
        self.input.set(input.iter().map(|byte| usize::from(*byte)).sum());
    }

    fn takes(&self, way: usize) -> bool {
        (self.input.get() + way).is_multiple_of(self.of)
    }
}

/// The damage has reached the decoder behind the signature.
fn opened<T>(result: Result<T, Error>) -> Result<T, Error> {
    if let Err(error) = &result {
        assert_ne!(error.kind(), ErrorKind::Signature, "{error}");
    }
    result
}

#[test]
fn damaged_signed_perl_cookies_are_errors_or_sessions() {
    let mut seeds = seeds(&["plack/file.storable", "storable/refs-net.storable"]);
    seeds.push(br#"{"user":"alice","expires":2000000000,"new_flash":{"notice":"hi"}}ZZZZ"#.to_vec());
    seeds.push(br#"{"expiration":"0","expires":"2e9","l":[1,"2",null,1.5]}"#.to_vec());
    let storable = plack::Cookie::new("plack secret");
    let json = storable.clone().serializer(plack::Serializer::Json).expires(1e12);
    let mojolicious = mojolicious::Cookie::new(["mojo secret"]);
    run(&seeds, |input| {
        let bounds = bounds();
        let data = STANDARD.encode(input);
        let mac = hex(&hmac::<Sha1>(b"plack secret", data.as_bytes()));
        let cookie = format!("1795883697.5:{data}:{mac}");
        for settings in [&storable, &json] {
            walk(opened(settings.read(cookie.as_bytes(), 1.8e9, &bounds)).map(|opened| opened.value));
        }
        let data = data.replace('=', "-");
        let mac = hex(&hmac::<Sha256>(b"mojo secret", format!("mojolicious={data}").as_bytes()));
        let cookie = format!("mojolicious={data}--{mac}");
        walk(opened(mojolicious.read(cookie.as_bytes(), 1.8e9, &bounds)).map(|opened| opened.value));
    });
}

#[test]
fn damaged_sealed_rack_cookies_are_errors_or_sessions() {
    let mut seeds = seeds(&["rack/marshal-types.marshal", "rack/redis.value"]);
    seeds.push(br#"{"session_id":"abc","user":"alice","n":[1,2.5,null]}"#.to_vec());
    let secret = "rack-secret-".repeat(8);
    let marshal = rack::Cookie::new([secret.clone()]);
    let coders = [rack::Coder::Json, rack::Coder::ZipJson].map(|coder| marshal.clone().coder(coder));
    let (key, mac_key) = secret.as_bytes().split_at(32);
    let message_key = hmac::<Sha256>(key, &[3; 32]);
    let ways = Ways::new(3);
    run(&seeds, |input| {
        ways.begin(input);
        let bounds = bounds();
        let data = STANDARD.encode(input);
        let signed = format!("{data}--{}", hex(&hmac::<Sha1>(secret.as_bytes(), data.as_bytes())));
        // Behind two bytes of padding, and as the padding itself.
        for (at, plain) in [[b"\x02\0xx", input].concat(), [b"\0", input].concat()].iter().enumerate() {
            if !ways.takes(at) {
                continue;
            }
            let head = [&[1][..], &[3; 32], &IV].concat();
            let first = [&head[..], &ctr(&message_key, plain)].concat();
            let first = [&first[..], &hmac::<Sha256>(mac_key, &first)].concat();
            let head = [&[2][..], &[3; 32]].concat();
            let (sealed, tag) = gcm(&message_key, plain, &head);
            let second = [&head[..], &NONCE, &tag, &sealed].concat();
            for cookie in [first, second] {
                let cookie = URL_SAFE_NO_PAD.encode(cookie);
                for settings in [&marshal, &coders[0]] {
                    walk(opened(settings.read(cookie.as_bytes(), &bounds)));
                }
            }
        }
        for settings in [&marshal, &coders[0], &coders[1]].iter().filter(|_| ways.takes(2)) {
            walk(opened(settings.read(signed.as_bytes(), &bounds)));
        }
    });
}

#[test]
fn damaged_sealed_rails_cookies_are_errors_or_sessions() {
    let mut seeds = seeds(&["rack/marshal-types.marshal"]);
    let message = STANDARD.encode(r#"{"session_id":"abc","user":"alice"}"#);
    let about = r#""exp":"2040-01-15T12:34:56.789Z","pur":"cookie._myapp_session""#;
    seeds.push(format!(r#"{{"_rails":{{"message":"{message}",{about}}}}}"#).into_bytes());
    seeds.push(format!(r#"{{"_rails":{{"data":{{"user":"alice","n":1.5}},{about}}}}}"#).into_bytes());
    seeds.push(br#"{"session_id":"abc","user":"alice","n":[1,2.5,null]}"#.to_vec());
    seeds.push(b"\xcc\x80\x81\xa6_rails\x82\xa4data\x81\xa1a\xc7\x03\x07\x00\x01\x00\xa3exp\xc0".to_vec());
    let secret = "a1b2c3d4".repeat(16);
    let rails = rails::Cookie::new("_myapp_session", [secret.clone()]);
    let secret = secret.as_bytes();
    let cipher = pbkdf2_sha256(secret, "authenticated encrypted cookie", 1000, 32);
    let signature = pbkdf2_sha1(secret, "signed cookie", 1000, 64);
    let old_cipher = pbkdf2_sha1(secret, "encrypted cookie", 1000, 32);
    let old_signature = pbkdf2_sha1(secret, "signed encrypted cookie", 1000, 64);
    let ways = Ways::new(3);
    run(&seeds, |input| {
        ways.begin(input);
        let (sealed, tag) = gcm(&cipher, input, b"");
        let parts = [&sealed[..], &NONCE, &tag].map(|part| STANDARD.encode(part));
        let data = STANDARD.encode(input);
        let signed = format!("{data}--{}", hex(&hmac::<Sha1>(&signature, data.as_bytes())));
        let both = format!("{}--{}", STANDARD.encode(cbc(&old_cipher, input)), STANDARD.encode(IV));
        let both = STANDARD.encode(both);
        let old = format!("{both}--{}", hex(&hmac::<Sha1>(&old_signature, both.as_bytes())));
        for (way, cookie) in [parts.join("--"), signed, old].iter().enumerate() {
            if !ways.takes(way) {
                continue;
            }
            let read = rails.read(cookie.as_bytes(), 1.8e9, &bounds());
            walk(opened(read).map(|opened| opened.value));
        }
    });
}

/// Seals as Laravel's encrypter does, in CBC and in GCM.
fn by_laravel(key: &[u8], plain: &[u8]) -> [String; 2] {
    let (iv, value) = (STANDARD.encode(IV), STANDARD.encode(cbc(key, plain)));
    let mac = hex(&hmac::<Sha256>(key, format!("{iv}{value}").as_bytes()));
    let in_cbc = format!(r#"{{"iv":"{iv}","value":"{value}","mac":"{mac}","tag":""}}"#);
    let (sealed, tag) = gcm(key, plain, b"");
    let [iv, value, tag] = [&NONCE[..], &sealed, &tag].map(|part| STANDARD.encode(part));
    let in_gcm = format!(r#"{{"iv":"{iv}","value":"{value}","mac":"","tag":"{tag}"}}"#);
    [in_cbc, in_gcm].map(|text| STANDARD.encode(text))
}

#[test]
fn damaged_sealed_laravel_sessions_are_errors_or_sessions() {
    let mut seeds = seeds(&["laravel/file.sess", "laravel/file-json.sess"]);
    seeds.push(br#"{"data":"a:1:{s:4:\"user\";s:5:\"alice\";}","expires":4102444800}"#.to_vec());
    seeds.push(br#"s:27:"a:1:{s:4:"user";s:3:"ada";}";"#.to_vec());
    let (key, id) = (b"0123456789abcdef0123456789abcdef", "Abcd1234Abcd1234Abcd1234Abcd1234Abcd1234");
    let keys = laravel::Encrypter::new([std::str::from_utf8(key).expect("text")]).expect("a key");
    let prefix = hex(&hmac::<Sha1>(key, format!("{id}v2").as_bytes()));
    let php = laravel::Serialization::Php;
    let ways = Ways::new(3);
    run(&seeds, |input| {
        ways.begin(input);
        let bounds = bounds();
        let text = [format!("s:{}:\"", input.len()).as_bytes(), input, b"\";"].concat();
        for (way, plain) in [input, &text].into_iter().enumerate() {
            if !ways.takes(way) {
                continue;
            }
            let [in_cbc, in_gcm] = by_laravel(key, plain);
            walk(opened(keys.read_payload(php, in_cbc.as_bytes(), &bounds)));
            walk(opened(keys.read(laravel::Serialization::Json, in_gcm.as_bytes(), &bounds)));
        }
        if !ways.takes(2) {
            return;
        }
        for cookie in by_laravel(key, &[prefix.as_bytes(), b"|", input].concat()) {
            let _ = opened(keys.session_id(id, cookie.as_bytes(), &bounds));
            walk(opened(keys.read_cookie(php, id, cookie.as_bytes(), 0.0, &bounds)));
        }
    });
}

/// Reads an id that Express has signed.
fn signed_id(express: &express::Cookie, id: &str, bounds: &Bounds) {
    let mac = STANDARD_NO_PAD.encode(hmac::<Sha256>(b"a secret", id.as_bytes()));
    let cookie: String = format!("s:{id}.{mac}").bytes().map(|byte| format!("%{byte:02X}")).collect();
    let read = express.session_id(format!("connect.sid={cookie}").as_bytes(), bounds);
    assert_eq!(read.ok().as_deref(), Some(id).filter(|id| !id.is_empty()));
}

#[test]
fn damaged_signed_node_cookies_are_errors_or_sessions() {
    let mut seeds = seeds(&["express/json-types.value"]);
    seeds.push(br#"{"user":"alice","list":[1,null,1.5],"text":"\ud83d\ude00\ud800"}"#.to_vec());
    seeds.push(br#"{"persistent":{"user":"alice"},"flash":{}}"#.to_vec());
    seeds.push(b"xWTEaSXaLWPmWNQmfs6WsFBwZTjEiuyk".to_vec());
    let express = express::Cookie::new(["a secret"]);
    let cookie_session = cookie_session::Cookie::new(["a secret"]);
    let password = "iron-sample-password-A-0123456789abcdef";
    let iron_session = iron_session::Cookie::new("iron", password).expect("a password");
    let [cipher, signature] = ["aa", "bb"].map(|salt| pbkdf2_sha1(password.as_bytes(), salt, 1, 32));
    let ways = Ways::new(3);
    run(&seeds, |input| {
        ways.begin(input);
        let bounds = bounds();
        if ways.takes(0) {
            signed_id(&express, &String::from_utf8_lossy(input), &bounds);
        }
        if ways.takes(1) {
            let value = URL_SAFE_NO_PAD.encode(input);
            let mac = hmac::<Sha1>(b"a secret", format!("session={value}").as_bytes());
            let header = format!("session={value}; session.sig={}", URL_SAFE_NO_PAD.encode(mac));
            walk(opened(cookie_session.read(header.as_bytes(), &bounds)));
        }
        if !ways.takes(2) {
            return;
        }
        let sealed = URL_SAFE_NO_PAD.encode(cbc(&cipher, input));
        let base = format!("Fe26.2*1*aa*{}*{sealed}*2111243731955", URL_SAFE_NO_PAD.encode(IV));
        let mac = URL_SAFE_NO_PAD.encode(hmac::<Sha256>(&signature, base.as_bytes()));
        for version in ["", "~2"] {
            let header = format!("iron={base}*bb*{mac}{version}");
            walk(opened(iron_session.read(header.as_bytes(), 0.0, &bounds)).map(|opened| opened.value));
        }
    });
}

#[test]
fn damaged_sealed_rust_cookies_are_errors_or_sessions() {
    let mut seeds = seeds(&["async-session/session.value"]);
    seeds.push(br#"{"user":"\"alice\"","o":"{\"a\":[1,null]}","text":"raw"}"#.to_vec());
    seeds.push(br#"{"data":{"o":"[1,null]","user":"\"alice\"","n":"3"},"longterm":false}"#.to_vec());
    let key = Key::new(&[7; 64]).expect("a key");
    let security = [Security::Signed(key.clone()), Security::Private(key.clone())];
    let [signed, private] = security.map(actix_session::cookie);
    let tower = tower_sessions::cookie(Security::Signed(key.clone()));
    let tide = async_session::cookie("id", Security::Private(key.clone()));
    let axum = axum_session::SessionCookie::new(Some(key.clone())).name("id");
    let ways = Ways::new(5);
    run(&seeds, |input| {
        ways.begin(input);
        let bounds = bounds();
        let text = String::from_utf8_lossy(input);
        let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let mac = |more: &str| STANDARD.encode(hmac::<Sha256>(&[7; 32], format!("{text}{more}").as_bytes()));
        let by_name = |name: &str| {
            let (sealed, tag) = gcm(&[7; 32], text.as_bytes(), name.as_bytes());
            STANDARD.encode([&NONCE[..], &sealed, &tag].concat())
        };
        let with_mac = format!("id={}", escaped(&format!("{}{text}", mac(""))));
        let in_seal = format!("id={}", escaped(&by_name("id")));
        let cookies = [(&signed, &with_mac), (&tower, &with_mac), (&private, &in_seal), (&tide, &in_seal)];
        for (way, (cookie, header)) in cookies.into_iter().enumerate() {
            if !ways.takes(way) {
                continue;
            }
            let opened = cookie.open(header.as_bytes(), &bounds).expect("what was signed");
            assert_eq!(opened, text);
            walk(actix_session::read(opened.as_bytes(), &bounds));
            walk(async_session::read(opened.as_bytes(), &bounds).map(|session| session.value));
        }
        if !ways.takes(4) {
            return;
        }
        let header = format!("id={}", escaped(&format!("{}{text}", mac(";;;;"))));
        let peer = axum_session::Peer::default();
        assert_eq!(axum.session_id(header.as_bytes(), Some(&peer), &bounds).expect("what was signed"), text);
        walk(
            opened(axum_session::read_sealed(&key, "a row", by_name("a row").as_bytes(), &bounds))
                .map(|row| row.value),
        );
    });
}

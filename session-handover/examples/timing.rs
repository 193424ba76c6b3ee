//! Prints how long reading a session takes, in microseconds: `cargo run --release --all-features --example timing`.
//!
//! The time of the signature alone, and of serde_json for the text in the cookie, stand beside that of a signed session.

use std::hint::black_box;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use session_handover::php::session;
use session_handover::python::{django, django_cache};
use session_handover::{Bounds, Value};
use sha2::Digest as _;

const SECRET: &str = "django secret";

/// The least time of a run in microseconds, which other work on the machine disturbs least.
#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn time<T>(run: impl Fn() -> T) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..200 {
        let start = Instant::now();
        for _ in 0..50 {
            black_box(run());
        }
        least = least.min(start.elapsed().as_secs_f64() * 1e6 / 50.0);
    }
    least
}

/// A session of a user with a cart, in JSON.
fn text(items: usize) -> String {
    let items: Vec<_> = (0..items)
        .map(|item| format!(r#"{{"id":{item},"name":"item {item}","price":19.5,"gift":false}}"#))
        .collect();
    let user = r#""_auth_user_id":"1","_auth_user_backend":"django.contrib.auth.backends.ModelBackend","user":"alice""#;
    format!(r#"{{{user},"cart":[{}]}}"#, items.join(","))
}

fn hmac(key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac.finalize().into_bytes().to_vec())
}

/// A signature of Django's cookie.
fn sign(payload: &str) -> Option<String> {
    let salt = format!("django.contrib.sessions.backends.signed_cookiessigner{SECRET}");
    let mac = hmac(&sha2::Sha256::digest(salt.as_bytes()), payload.as_bytes())?;
    Some(format!("{payload}:{}", URL_SAFE_NO_PAD.encode(mac)))
}

fn deflated(text: &str) -> Option<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).ok()?;
    encoder.finish().ok()
}

#[expect(clippy::print_stdout, reason = "a command")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bounds = &Bounds::default();
    let sessions = django::Sessions::new([SECRET]);
    println!(
        "| session | bytes | read, µs | signature alone, µs | serde_json of the text, µs |\n|---|---|---|---|---|"
    );
    for (name, items) in [("small", 1), ("of 2 KiB", 33)] {
        let text = text(items);
        let plain = format!("{}:1xXLOT", URL_SAFE_NO_PAD.encode(&text));
        let packed = format!(".{}:1xXLOT", URL_SAFE_NO_PAD.encode(deflated(&text).ok_or("zlib")?));
        for (kind, payload) in [("", plain), (", compressed", packed)] {
            let cookie = sign(&payload).ok_or("a signature")?;
            sessions.read_cookie(cookie.as_bytes(), 0.0, bounds)?;
            let read = time(|| sessions.read_cookie(cookie.as_bytes(), 0.0, bounds));
            let signature = time(|| sign(&payload));
            let json = time(|| serde_json::from_str::<serde_json::Value>(&text));
            println!(
                "| Django's cookie {name}{kind} | {} of {} | {read:.2} | {signature:.2} | {json:.2} |",
                cookie.len(),
                text.len()
            );
        }
    }
    // {'user': 'alice', 'n': 3, 'l': [1, None, 'x'] * 50}
    let mut pickle = b"\x80\x04}(\x8c\x04user\x8c\x05alice\x8c\x01nK\x03\x8c\x01l](".to_vec();
    (0..50).for_each(|_| pickle.extend(b"K\x01N\x8c\x01x\x94"));
    pickle.extend(b"eu.");
    django_cache::read(&pickle, bounds)?;
    println!("| pickle | {} | {:.2} | | |", pickle.len(), time(|| django_cache::read(&pickle, bounds)));
    let cart = Value::List((0..80).map(|item| Value::Text(format!("the item {item}").into())).collect());
    let value = Value::Map(vec![
        (Value::Text("user".into()), Value::Text("alice".into())),
        (Value::Text("cart".into()), cart),
    ]);
    let php = session::write(session::Handler::Php, &value)?;
    println!(
        "| PHP | {} | {:.2} | | |",
        php.len(),
        time(|| session::read(session::Handler::Php, &php, bounds))
    );
    Ok(())
}

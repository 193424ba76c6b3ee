//! The crate `php_serde`, and Django's cookie read by hand with the usual crates.

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use session_bench_work::{Args, Sample, Work, decode, serve};
use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn Error>> {
    serve(std::env::args().skip(1), sample)
}

fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    Ok(match args.work {
        Work::DecodePhp => {
            let read = || php_serde::from_bytes::<Session>(decode::PHP.as_bytes()).map(black_box).is_ok();
            decode::measure(args, read, || true)?
        }
        Work::DecodeDjango => decode::measure(args, || django().is_some(), || signed().is_some())?,
        _ => return Err("not a work of this peer".into()),
    })
}

/// The payload of the cookie, if its signature holds.
fn signed() -> Option<&'static str> {
    let (signed, signature) = decode::DJANGO.rsplit_once(':')?;
    let key = Sha256::new()
        .chain_update(b"django.contrib.sessions.backends.signed_cookiessigner")
        .chain_update(decode::SECRET)
        .finalize();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(signed.as_bytes());
    mac.verify_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    Some(signed.rsplit_once(':')?.0)
}

fn django() -> Option<serde_json::Value> {
    let packed = URL_SAFE_NO_PAD.decode(signed()?.strip_prefix('.')?).ok()?;
    let mut text = Vec::new();
    flate2::bufread::ZlibDecoder::new(&*packed).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok().map(black_box)
}

/// The session of the bench. The crate has no type for any value, so it decodes what this type says.
#[derive(Deserialize)]
#[allow(dead_code)]
struct Session {
    user: String,
    user_id: i64,
    roles: Vec<String>,
    csrf: String,
    login: Login,
    cart: Vec<Item>,
    flash: Vec<String>,
    locale: String,
    currency: String,
    history: Vec<String>,
    last: Option<String>,
    newsletter: bool,
    address: BTreeMap<String, String>,
    token: String,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Login {
    at: i64,
    from: String,
    agent: String,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Item {
    id: i64,
    name: String,
    price: f64,
    count: i64,
    gift: bool,
}

//! Sessions of other systems, and the measuring of their decoding.

use std::hint::black_box;
use std::time::Duration;

use crate::args::Args;
use crate::run::stopwatch;
use crate::sample::Sample;

/// A session of 2 KiB as PHP 8.2 writes it with `session.serialize_handler = php_serialize`: a user, a cart, a history.
pub const PHP: &str = include_str!("decode/session.php.txt");

/// The same session in a cookie of Django 5.2 (`signed_cookies`), which compresses it.
pub const DJANGO: &str = include_str!("decode/cookie.txt");

/// The `SECRET_KEY` of [`DJANGO`].
pub const SECRET: &str = "django secret";

/// Decodings between two looks at the clock: few, so that most batches are not interrupted on a busy machine.
const BATCH: u32 = 20;

/// Measures `decode`, and in turns with it `signature`, which checks the signature and decodes nothing.
///
/// The figures are `ns` (median of decoding) and `beyond_ns` (that minus the median of the signature).
///
/// # Errors
/// A call returned `false`.
pub fn measure(
    args: &Args,
    decode: impl Fn() -> bool,
    signature: impl Fn() -> bool,
) -> Result<Sample, String> {
    let (mut whole, mut signatures) = (Vec::new(), Vec::new());
    let start = stopwatch();
    while start.elapsed() < args.warm_up + args.measured {
        let (a, b) = (batch(&decode)?, batch(&signature)?);
        if start.elapsed() > args.warm_up {
            whole.push(a);
            signatures.push(b);
        }
    }
    let (whole, signature) = (median(whole), median(signatures));
    Ok(Sample::new().with("ns", whole).with("beyond_ns", whole - signature))
}

/// Nanoseconds per call.
fn batch(call: impl Fn() -> bool) -> Result<f64, String> {
    let start = stopwatch();
    let good = (0..BATCH).fold(true, |good, _| black_box(call()) && good);
    let elapsed: Duration = start.elapsed();
    if good {
        Ok(elapsed.as_secs_f64() * 1e9 / f64::from(BATCH))
    } else {
        Err("a session was not decoded".into())
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

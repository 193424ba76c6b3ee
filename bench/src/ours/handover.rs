//! session-handover: sessions of PHP and Django.

use std::error::Error;
use std::hint::black_box;

use session_bench_work::{Args, Sample, Work, decode};
use session_handover::Bounds;
use session_handover::php::serialize;
use session_handover::python::django::Sessions;

pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let bounds = Bounds::default();
    Ok(match args.work {
        Work::DecodePhp => {
            let read = || serialize::read_session(decode::PHP.as_bytes(), &bounds).map(black_box).is_ok();
            decode::measure(args, read, || true)?
        }
        Work::DecodeDjango => {
            let sessions = Sessions::new([decode::SECRET]).max_age(f64::INFINITY);
            let read =
                |cookie: &str| sessions.read_cookie(cookie.as_bytes(), 0.0, &bounds).map(black_box).is_ok();
            // A signature that does not hold costs the same.
            let forged = format!("{}A", &decode::DJANGO[..decode::DJANGO.len() - 1]);
            decode::measure(args, || read(decode::DJANGO), || !read(&forged))?
        }
        _ => return Err("not a work of session-handover".into()),
    })
}

//! Our own subjects, run as programs of their own like every peer: the bench calls itself.

mod driver;
mod memory;
mod session;
mod sqlite;
mod web;

use std::error::Error;

use session_bench_work::{Args, Sample};

/// Does what `args` ask for.
pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    match args.subject.as_str() {
        "memory" => memory::sample(args),
        "sqlite" => sqlite::sample(args),
        "session" => session::sample(args),
        "web" => web::sample(args),
        other => Err(format!("{other:?} is not a subject").into()),
    }
}

//! Our subjects. The bench runs itself as a separate program for each, like the peers.

mod actix;
mod driver;
mod handover;
mod memory;
mod mix;
mod purge;
mod session;
mod stall;
mod stores;
mod web;

use std::error::Error;

use session_bench_work::{Args, Sample, Work};

use driver::Replaces;

/// Runs the subject that `args` name.
pub(crate) fn sample(args: &Args) -> Result<Sample, Box<dyn Error>> {
    if args.work == Work::Mix {
        return mix::sample(args);
    }
    match args.subject.as_str() {
        "memory" => memory::sample(args),
        "sqlite" => stores::sqlite(args),
        "mmap" => stores::mmap(args),
        "file" => stores::file(args),
        "sled" => stores::sled(args),
        "postgres" => stores::postgres(args, true),
        "postgres-default" => stores::postgres(args, false),
        "delegate" => stores::delegate(args),
        "redis" => stores::redis(args, Replaces::Loaded),
        "redis-at-revision" => stores::redis(args, Replaces::Revision),
        "near-redis" => stores::near_redis(args),
        "redis-cluster" => stores::redis(args, Replaces::Loaded),
        "session" => session::sample(args),
        "web" => web::sample(args),
        "sealed" => web::sealed(args),
        "actix" => actix::sample(args),
        "actix-sealed" => actix::sealed(args),
        "handover" => handover::sample(args),
        other => Err(format!("{other:?} is not a subject").into()),
    }
}

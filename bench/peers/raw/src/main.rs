//! The engines without a driver, used in the fastest plain way: the reference for the drivers.

mod file;
mod lmdb;
mod map;
mod redis;
mod sled;
mod sqlite;

use session_bench_work::serve;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    serve(std::env::args().skip(1), |args| match args.subject.as_str() {
        "dashmap" => map::sample(args),
        "inline" => sqlite::inline(args),
        "group" => sqlite::group(args),
        "lmdb" => lmdb::sample(args),
        "sled" => sled::sample(args),
        "file" => file::sample(args),
        "redis" => redis::single(args),
        "cluster" => redis::cluster(args),
        other => Err(format!("{other:?} is not a subject").into()),
    })
}

/// The key of a record as bytes, as our drivers write it.
fn key(record: usize) -> Box<[u8]> {
    format!("session:{}", session_bench_work::text_id(record)).into_bytes().into()
}

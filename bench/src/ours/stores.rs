//! The drivers whose stores outlive the program, with their defaults.

use std::error::Error;
use std::sync::Arc;

use session_bench_work::{Args, Durability, Sample};
use session_core::Clock;
use session_store_file::File;
use session_store_mmap::Mmap;
use session_store_redis::Redis;
use session_store_sled::Sled;
use session_store_sqlite::Sqlite;

use super::driver;

pub(crate) fn sqlite(args: &Args) -> Result<Sample, Box<dyn Error>> {
    use session_store_sqlite::{Config, Durability as Survives};

    let durability = match args.durability {
        Durability::Power => Survives::Power,
        _ => Survives::Process,
    };
    let config = Config::new(args.dir.join("ours.db")).durability(durability);
    driver::sample::<_, 1>(args, async |clock: Arc<dyn Clock>| Sqlite::open(config.clone().clock(clock)))
}

pub(crate) fn mmap(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let mut config = session_store_mmap::Config::new(args.dir.join("ours.map"));
    if args.records > 500_000 {
        // More than the default holds.
        config = config.max_bytes(4 << 30);
    }
    driver::sample::<_, 64>(args, async |clock: Arc<dyn Clock>| Mmap::open(config.clone().clock(clock)))
}

pub(crate) fn file(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let config = session_store_file::Config::new(&args.dir);
    driver::sample::<_, 1>(args, async |clock: Arc<dyn Clock>| File::open(config.clone().clock(clock)))
}

pub(crate) fn sled(args: &Args) -> Result<Sample, Box<dyn Error>> {
    use session_store_sled::{Config, Durability as Survives};

    let durability = match args.durability {
        Durability::Relaxed => Survives::Relaxed,
        _ => Survives::Process,
    };
    let config = Config::new(args.dir.join("ours.sled")).durability(durability);
    driver::sample::<_, 1>(args, async |clock: Arc<dyn Clock>| Sled::open(config.clone().clock(clock)))
}

pub(crate) fn redis(args: &Args, cluster: bool) -> Result<Sample, Box<dyn Error>> {
    use session_store_redis::Config;

    let config = if cluster { Config::cluster(args.url.split(',')) } else { Config::new(&args.url) };
    driver::sample::<_, 1>(args, async |clock: Arc<dyn Clock>| {
        Redis::connect(config.clone().clock(clock)).await
    })
}

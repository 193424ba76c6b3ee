//! The drivers whose stores outlive the program, with their defaults.

use std::error::Error;
use std::sync::Arc;

use session_bench_work::{Args, Durability, Sample};
use session_core::{Clock, Durability as Survives};
use session_near::{NearCache, NearConfig};
use session_store_file::FileStore;
use session_store_mmap::MmapStore;
use session_store_postgres::{PostgresConfig, PostgresStore};
use session_store_redis::RedisStore;
use session_store_sled::SledStore;
use session_store_sqlite::{SqliteConfig, SqliteStore};

use super::driver::{self, Replaces};

pub(crate) fn sqlite(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let config = SqliteConfig::new(args.dir.join("ours.db")).durability(promised(args));
    driver::sample::<_, 1>(args, Replaces::Revision, async |clock: Arc<dyn Clock>| {
        SqliteStore::open(config.clone().clock(clock))
    })
}

pub(crate) fn mmap(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let mut config = session_store_mmap::MmapConfig::new(args.dir.join("ours.map"));
    if args.records > 500_000 {
        // More than the default holds.
        config = config.max_bytes(4 << 30);
    }
    driver::sample::<_, 64>(args, Replaces::Revision, async |clock: Arc<dyn Clock>| {
        MmapStore::open(config.clone().clock(clock))
    })
}

pub(crate) fn file(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let config = session_store_file::FileConfig::new(&args.dir).durability(promised(args));
    driver::sample::<_, 1>(args, Replaces::Revision, async |clock: Arc<dyn Clock>| {
        FileStore::open(config.clone().clock(clock))
    })
}

pub(crate) fn sled(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let flushes = args.durability != Durability::Relaxed;
    let path = args.dir.join("ours.sled");
    let config = session_store_sled::SledConfig::new(path).flush_each_change(flushes);
    driver::sample::<_, 1>(args, Replaces::Revision, async |clock: Arc<dyn Clock>| {
        SledStore::open(config.clone().clock(clock))
    })
}

pub(crate) fn postgres(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let config = PostgresConfig::new(&args.url).durability(promised(args)).prepare(true);
    driver::sample::<_, 1>(args, Replaces::Loaded, async |clock: Arc<dyn Clock>| {
        PostgresStore::open(config.clone().clock(clock)).await
    })
}

pub(crate) fn redis(args: &Args, replaces: Replaces) -> Result<Sample, Box<dyn Error>> {
    use session_store_redis::RedisConfig;

    let cluster = args.subject == "redis-cluster";
    let config =
        if cluster { RedisConfig::cluster(args.url.split(',')) } else { RedisConfig::new(&args.url) };
    driver::sample::<_, 1>(args, replaces, async |clock: Arc<dyn Clock>| {
        RedisStore::open(config.clone().clock(clock)).await
    })
}

/// With the default options: a record is read from the server once a second.
pub(crate) fn near_redis(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let config = session_store_redis::RedisConfig::new(&args.url);
    driver::sample::<_, 1>(args, Replaces::Loaded, async |clock: Arc<dyn Clock>| {
        NearCache::open(RedisStore::open(config.clone().clock(clock)).await?, NearConfig::default())
    })
}

fn promised(args: &Args) -> Survives {
    if args.durability == Durability::Power { Survives::Power } else { Survives::Process }
}

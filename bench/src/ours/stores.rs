//! The drivers whose stores outlive the program, with their defaults.

use std::error::Error;
use std::sync::Arc;

use session_bench_work::{Args, Sample};
use session_core::Clock;
use session_near::{NearCache, NearConfig};
use session_store_delegate::{DelegateConfig, DelegateStore};
use session_store_file::FileStore;
use session_store_mmap::MmapStore;
use session_store_postgres::PostgresStore;
use session_store_redis::RedisStore;
use session_store_sled::SledStore;
use session_store_sqlite::SqliteStore;

use super::driver::{self, Replaces};

/// The options of each driver for its work.
pub(crate) mod config {
    use session_bench_work::{Args, Durability};
    use session_core::Durability as Survives;
    use session_store_file::FileConfig;
    use session_store_mmap::MmapConfig;
    use session_store_postgres::PostgresConfig;
    use session_store_redis::RedisConfig;
    use session_store_sled::SledConfig;
    use session_store_sqlite::SqliteConfig;

    pub(crate) fn sqlite(args: &Args) -> SqliteConfig {
        SqliteConfig::new(args.dir.join("ours.db")).durability(promised(args))
    }

    pub(crate) fn mmap(args: &Args) -> MmapConfig {
        let config = MmapConfig::new(args.dir.join("ours.map"));
        // The default holds fewer.
        match args.records {
            5_000_001.. => config.max_bytes(8 << 30),
            500_001.. => config.max_bytes(4 << 30),
            _ => config,
        }
    }

    pub(crate) fn file(args: &Args) -> FileConfig {
        FileConfig::new(&args.dir).durability(promised(args))
    }

    pub(crate) fn sled(args: &Args) -> SledConfig {
        let flushes = args.durability != Durability::Relaxed;
        SledConfig::new(args.dir.join("ours.sled")).flush_each_change(flushes)
    }

    pub(crate) fn postgres(args: &Args) -> PostgresConfig {
        PostgresConfig::new(&args.url).durability(promised(args)).prepare(true)
    }

    pub(crate) fn redis(args: &Args) -> RedisConfig {
        let cluster = args.subject == "redis-cluster";
        if cluster { RedisConfig::cluster(args.url.split(',')) } else { RedisConfig::new(&args.url) }
    }

    fn promised(args: &Args) -> Survives {
        if args.durability == Durability::Power { Survives::Power } else { Survives::Process }
    }
}

pub(crate) fn sqlite(args: &Args) -> Result<Sample, Box<dyn Error>> {
    driver::sample::<_, 1>(args, Replaces::Revision, async |clock: Arc<dyn Clock>| {
        SqliteStore::open(config::sqlite(args).clock(clock))
    })
}

pub(crate) fn mmap(args: &Args) -> Result<Sample, Box<dyn Error>> {
    driver::sample::<_, 64>(args, Replaces::Revision, async |clock: Arc<dyn Clock>| {
        MmapStore::open(config::mmap(args).clock(clock))
    })
}

pub(crate) fn file(args: &Args) -> Result<Sample, Box<dyn Error>> {
    driver::sample::<_, 1>(args, Replaces::Revision, async |clock: Arc<dyn Clock>| {
        FileStore::open(config::file(args).clock(clock))
    })
}

pub(crate) fn sled(args: &Args) -> Result<Sample, Box<dyn Error>> {
    driver::sample::<_, 1>(args, Replaces::Revision, async |clock: Arc<dyn Clock>| {
        SledStore::open(config::sled(args).clock(clock))
    })
}

/// The example of an application with sessions in its own table.
pub(crate) fn delegate(args: &Args) -> Result<Sample, Box<dyn Error>> {
    let visitors = delegate_example::Visitors::open(args.dir.join("ours.db"), None)?;
    driver::sample::<_, 1>(args, Replaces::Loaded, async |clock: Arc<dyn Clock>| {
        let config = DelegateConfig::new(visitors.clone()).mapping(delegate_example::locate);
        Ok(DelegateStore::pooled(config.clock(clock)))
    })
}

pub(crate) fn postgres(args: &Args, prepare: bool) -> Result<Sample, Box<dyn Error>> {
    driver::sample::<_, 1>(args, Replaces::Loaded, async |clock: Arc<dyn Clock>| {
        PostgresStore::open(config::postgres(args).prepare(prepare).clock(clock)).await
    })
}

pub(crate) fn redis(args: &Args, replaces: Replaces) -> Result<Sample, Box<dyn Error>> {
    driver::sample::<_, 1>(args, replaces, async |clock: Arc<dyn Clock>| {
        RedisStore::open(config::redis(args).clock(clock)).await
    })
}

/// With the default options: a record is read from the server once a second.
pub(crate) fn near_redis(args: &Args) -> Result<Sample, Box<dyn Error>> {
    driver::sample::<_, 1>(args, Replaces::Loaded, async |clock: Arc<dyn Clock>| {
        NearCache::open(RedisStore::open(config::redis(args).clock(clock)).await?, NearConfig::default())
    })
}

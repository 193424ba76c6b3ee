//! From the parts of a URL to a driver's options, and to its open store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use session_core::{Driver, DynDriver, Result};

use crate::error::OpenError;
use crate::options::read;
use crate::url::Url;

/// Opens a store, as often as it is called.
pub(crate) type Opener = Arc<dyn Fn() -> Opening + Send + Sync>;

type Opening = Pin<Box<dyn Future<Output = Result<DynDriver>> + Send>>;

/// Reads the options of the URL's driver.
pub(crate) fn opener(url: &Url) -> std::result::Result<Opener, OpenError> {
    match url.scheme.name {
        #[cfg(feature = "memory")]
        "memory" => {
            local(url, |config: crate::memory::MemoryConfig| crate::memory::MemoryStore::open(config))
        }
        #[cfg(feature = "file")]
        "file" => local(url, |config: crate::file::FileConfig| crate::file::FileStore::open(config)),
        #[cfg(feature = "mmap")]
        "mmap" => local(url, |config: crate::mmap::MmapConfig| crate::mmap::MmapStore::open(config)),
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            local(url, |config: crate::sqlite::SqliteConfig| crate::sqlite::SqliteStore::open(config))
        }
        #[cfg(feature = "sled")]
        "sled" => local(url, |config: crate::sled::SledConfig| crate::sled::SledStore::open(config)),
        #[cfg(feature = "postgres")]
        "postgres" => {
            let config: crate::postgres::PostgresConfig = read(url)?;
            Ok(Arc::new(move || {
                let opening = crate::postgres::PostgresStore::open(config.clone());
                Box::pin(async { opening.await.map(DynDriver::new) })
            }))
        }
        #[cfg(feature = "redis")]
        name if name.starts_with("redis") => {
            let config: crate::redis::RedisConfig = read(url)?;
            Ok(Arc::new(move || {
                let opening = crate::redis::RedisStore::open(config.clone());
                Box::pin(async { opening.await.map(DynDriver::new) })
            }))
        }
        _ => Err(url.scheme.missing_feature()),
    }
}

/// A driver whose opening waits for a disk or for another process, so it runs on a thread for blocking calls.
#[allow(dead_code, reason = "a driver of a server alone does not need it")]
fn local<C, D>(url: &Url, open: fn(C) -> Result<D>) -> std::result::Result<Opener, OpenError>
where
    C: DeserializeOwned + Clone + Send + Sync + 'static,
    D: Driver,
{
    let config: C = read(url)?;
    Ok(Arc::new(move || {
        let config = config.clone();
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || open(config)).await {
                Ok(opened) => opened.map(DynDriver::new),
                Err(failed) => std::panic::resume_unwind(failed.into_panic()),
            }
        })
    }))
}

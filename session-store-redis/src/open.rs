//! Opening a store, and what its handles share.

use std::sync::Arc;

use session_core::{Key, Result};

use crate::config::RedisConfig;
use crate::link::Link;
use crate::script::Scripts;

/// The shared part of all handles of a store.
pub(crate) struct Inner {
    pub(crate) link: Arc<Link>,
    pub(crate) config: Arc<RedisConfig>,
    pub(crate) scripts: Scripts,
}

impl Inner {
    pub(crate) async fn open(config: RedisConfig) -> Result<Self> {
        config.check()?;
        let config = Arc::new(config);
        let link = Link::connect(Arc::clone(&config)).await?;
        Ok(Self { link, config, scripts: Scripts::new() })
    }

    /// The name of a key in Redis.
    pub(crate) fn name(&self, key: &Key) -> Vec<u8> {
        [self.config.namespace.as_bytes(), key.as_bytes()].concat()
    }
}

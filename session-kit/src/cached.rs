//! The cache before a store, which the option `near` asks for.

use std::sync::Arc;
use std::time::Duration;

use session_core::DynDriver;

use crate::error::{OpenError, OpenErrorKind};
use crate::near::{NearCache, NearConfig};
use crate::opener::Opener;
use crate::options::read_near;
use crate::url::Url;

#[derive(serde::Deserialize)]
struct Options {
    #[serde(default, deserialize_with = "some_duration")]
    near: Option<Duration>,
    near_max_bytes: Option<u64>,
}

fn some_duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    session_core::deserialize_duration(deserializer).map(Some)
}

/// Opens the store of `inner`, with a cache before it if the URL has the option.
pub(crate) fn opener(url: &Url, inner: Opener) -> Result<Opener, OpenError> {
    let wrong = |text| Err(OpenError::new(OpenErrorKind::InvalidValue, text));
    let config = match read_near(url)? {
        Options { near: None, near_max_bytes: None } => return Ok(inner),
        Options { near: None, near_max_bytes: Some(_) } => {
            return wrong("option `near_max_bytes` needs `near`, such as `near=1s`");
        }
        Options { near: Some(near), .. } if near > Duration::from_secs(60) => {
            return wrong("option `near` takes a duration from `1s` to `60s`");
        }
        Options { near_max_bytes: Some(..65_536), .. } => {
            return wrong("option `near_max_bytes` takes `64KiB` or more");
        }
        Options { near: Some(near), near_max_bytes } => {
            let config = NearConfig::from(near);
            near_max_bytes.map_or(config.clone(), |bytes| config.max_bytes(bytes))
        }
    };
    Ok(Arc::new(move || {
        let (opening, config) = (inner(), config.clone());
        Box::pin(async move { Ok(DynDriver::new(NearCache::open(opening.await?, config)?)) })
    }))
}

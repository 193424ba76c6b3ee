//! Opening the store that a URL names.

use std::fmt;
use std::str::FromStr;

use session_core::DynDriver;
use session_manager::Sweep;
use tokio::runtime::Handle;

use crate::Sessions;
use crate::error::{OpenError, OpenErrorKind};
use crate::scheme::Scheme;
use crate::url::Url;

/// Opens the store that `url` names, such as `sqlite:///var/lib/app/sessions.db?durability=power`.
///
/// The [crate's documentation](crate#store-urls) lists the schemes and their options. A tokio runtime is required;
/// drivers that wait for a disk open on its threads for blocking calls.
///
/// # Errors
/// [`OpenErrorKind::Store`] if the driver cannot open the store, [`OpenErrorKind::NoRuntime`] outside of a tokio runtime;
/// another kind if the URL is wrong. The text says what would be right.
pub async fn open(url: &str) -> Result<DynDriver, OpenError> {
    url.parse::<StoreUrl>()?.open().await
}

/// Opens the store that `url` names, and removes expired sessions from it for as long as the result or a clone of it lives.
///
/// The short form of `Sessions::builder(open(url).await?).sweep(Sweep::default()).build()`. Call that for other options, and
/// leave `sweep` out if another process removes expired sessions. A store that removes them itself, such as Redis, is not
/// asked to.
///
/// # Errors
/// As [`open`].
pub async fn open_sessions(url: &str) -> Result<Sessions, OpenError> {
    let store = open(url).await?;
    let sessions = Sessions::builder(store).sweep(Sweep::default()).build();
    sessions.map_err(|error| OpenError::new(OpenErrorKind::Store, error.to_string()))
}

/// A checked store URL, for applications that read their configuration before they open the store.
///
/// [`FromStr`] checks everything that needs neither a disk nor a server. With feature `serde` it is `Deserialize`, from
/// text. `Debug` shows the scheme only, because a URL may contain a password.
///
/// ```
/// use session_kit::{OpenErrorKind, StoreUrl};
///
/// let error = "memory:?max_bytes=64MB".parse::<StoreUrl>().unwrap_err();
/// # if cfg!(feature = "memory") {
/// assert_eq!(error.kind(), OpenErrorKind::InvalidValue);
/// # }
/// ```
#[derive(Clone)]
pub struct StoreUrl {
    scheme: &'static Scheme,
    #[cfg(feature = "serde")]
    opener: crate::opener::Opener,
}

impl StoreUrl {
    /// The URL of a store that exists. Opening it fails with
    /// [`StoreErrorKind::Missing`](session_core::StoreErrorKind::Missing) if the store is missing. It creates neither files
    /// nor tables, also if options of the URL ask for that. For tools that look at the store of an application.
    ///
    /// Redis has nothing that would have to exist.
    ///
    /// # Errors
    /// As [`FromStr`]; `InvalidUrl` for `memory:`, which no other process can open.
    pub fn existing(text: &str) -> Result<Self, OpenError> {
        let mut url = Url::parse(text)?;
        url.forbid_creation()?;
        Self::of(&url)
    }

    fn of(url: &Url) -> Result<Self, OpenError> {
        Ok(Self {
            scheme: url.scheme,
            #[cfg(feature = "serde")]
            opener: opener(url)?,
        })
    }

    /// The scheme, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme.name
    }

    /// Opens the store: see [`open`].
    ///
    /// # Errors
    /// The driver cannot open the store, or no tokio runtime runs this future.
    pub async fn open(&self) -> Result<DynDriver, OpenError> {
        if Handle::try_current().is_err() {
            let text = "a tokio runtime is required: call this in one, such as that of `#[tokio::main]`";
            return Err(OpenError::new(OpenErrorKind::NoRuntime, text));
        }
        #[cfg(feature = "serde")]
        return (self.opener)().await.map_err(|error| OpenError::store(self.scheme.name, error));
        #[cfg(not(feature = "serde"))]
        Err(self.scheme.missing_feature())
    }
}

/// The driver of the URL, with the cache that the URL asks for.
#[cfg(feature = "serde")]
fn opener(url: &Url) -> Result<crate::opener::Opener, OpenError> {
    let opener = crate::opener::opener(url)?;
    #[cfg(feature = "near")]
    let opener = crate::cached::opener(url, opener)?;
    Ok(opener)
}

impl FromStr for StoreUrl {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        Self::of(&Url::parse(text)?)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreUrl").field("scheme", &self.scheme.name).finish_non_exhaustive()
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for StoreUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Runs the example of the chapter.
#[cfg(all(doctest, feature = "memory", feature = "migrate", feature = "sqlite"))]
#[doc = include_str!("../docs/outgrow-one-machine.md")]
struct OutgrowOneMachine;

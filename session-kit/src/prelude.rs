//! The names that most applications use: `use session_kit::prelude::*;`.

#[cfg(feature = "tower")]
pub use crate::SessionLayer;
#[cfg(feature = "actix")]
pub use crate::SessionMiddleware;
#[cfg(feature = "cookie")]
pub use crate::{CookieConfig, CookieState};
pub use crate::{Driver as _, DriverExt as _, DynDriver, Session, SessionRef, Sessions, StoreUrl, Sweep};
#[cfg(any(feature = "actix", feature = "tower"))]
pub use crate::{LazySession, SessionValue, Typed};

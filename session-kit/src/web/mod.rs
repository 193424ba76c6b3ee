//! The web layers, and the additions of the facade.

#[cfg(any(feature = "actix", feature = "axum"))]
mod require_user;
mod same_origin;

#[cfg(feature = "actix")]
mod actix;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "tower")]
mod tower;

#[cfg(feature = "actix")]
pub use self::actix::SameOriginMiddleware;
#[cfg(feature = "tower")]
pub use self::tower::SameOriginService;
#[cfg(any(feature = "actix", feature = "axum"))]
pub use require_user::{LoginPage, RequireFresh, RequireUser};
pub use same_origin::SameOriginLayer;

#[cfg(feature = "actix")]
pub use session_actix::{CarriedSessionMiddleware, SessionMiddleware, peer_address};
#[cfg(feature = "tower")]
pub use session_tower::{CarriedSessionLayer, CommitBody, DefaultRefusal, Refuse, RefuseWith, SessionLayer};
pub use session_web::{ClearSiteData, ClientAddress, LazySession, Refusal, RoutePolicy, SessionValue, Typed};

//! Where each system has its sessions.

#[cfg(feature = "handover-beaker")]
mod beaker;
#[cfg(feature = "handover-django")]
mod django;
#[cfg(feature = "handover-express")]
mod express;
#[cfg(feature = "handover-flask")]
mod flask;
#[cfg(feature = "handover-laravel")]
mod laravel;
#[cfg(feature = "handover-perl")]
mod perl;
mod php;
#[cfg(feature = "handover-rails")]
mod rails;
#[cfg(feature = "handover-rust")]
mod rust;

#[cfg(all(feature = "handover-perl", unix))]
pub(super) use perl::catalyst_values;

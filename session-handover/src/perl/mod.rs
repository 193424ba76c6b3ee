//! Sessions of Perl's web frameworks.

/// Perl does not tell numbers from text, and neither does YAML.pm.
#[cfg(feature = "serde")]
pub const TYPING: crate::Typing = crate::Typing::Lenient;

#[cfg(feature = "apache-session")]
pub mod apache;
#[cfg(feature = "catalyst")]
pub mod catalyst;
#[cfg(feature = "cgi-session")]
pub mod cgi_session;
#[cfg(feature = "dancer")]
pub mod dancer;
#[cfg(feature = "dumper")]
pub mod dumper;
#[cfg(feature = "fastmmap")]
pub mod fastmmap;
#[cfg(feature = "mojolicious")]
pub mod mojolicious;
#[cfg(feature = "plack")]
pub mod plack;
#[cfg(feature = "storable")]
pub mod storable;
#[cfg(any(feature = "cgi-session", feature = "catalyst"))]
mod without;
#[cfg(feature = "yaml-pm")]
pub mod yaml;

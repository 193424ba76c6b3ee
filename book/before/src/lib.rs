//! The programs of other libraries that the book shows before ours.

pub mod actix_session;
pub mod tower_sessions;

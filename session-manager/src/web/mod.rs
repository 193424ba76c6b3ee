//! The session as an extractor of web frameworks, and errors as their responses.

mod answer;

#[cfg(feature = "actix")]
mod actix;
#[cfg(feature = "axum")]
mod axum;

//! Throw-away Redis servers and clusters, for tests and the bench: real ones, each in a directory and on ports of its
//! own, killed when their handle is dropped.

mod cluster;
mod program;
mod server;

pub use cluster::Cluster;
pub use program::program;
pub use server::{Options, Server};

//! Throw-away Redis servers and clusters, for tests and the bench: real ones, each in a directory and on ports of its
//! own. They end with their handle, and with the process that started them, even if that is killed.

mod cluster;
mod ports;
mod program;
mod server;

pub use cluster::Cluster;
pub use program::{find, program, unpack};
pub use server::{Options, Server};

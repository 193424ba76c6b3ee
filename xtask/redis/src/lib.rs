//! Temporary Redis servers and clusters for tests and the bench, each with its own directory and ports. They end with
//! their handle, and with the process that started them, even if that process is killed.

mod cluster;
mod known;
mod nodes;
mod program;
mod server;
mod shim;

pub use cluster::Cluster;
pub use known::{Known, SERVERS};
pub use program::{engine, program, unpack};
pub use server::{Options, Server, command};

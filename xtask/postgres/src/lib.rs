//! Temporary PostgreSQL servers, their standbys, and PgBouncer, for tests and the bench, each with its own directory and
//! port. They end with their handle, and with the process that started them, even if that process is killed.

mod authority;
mod bouncer;
mod process;
mod program;
mod server;

pub use authority::Authority;
pub use bouncer::Bouncer;
pub use program::programs;
pub use server::{Options, Server, sql};

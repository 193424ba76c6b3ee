//! What is particular to files: kills in mid-store, links, strays, torn and damaged files, directories that vanish,
//! lost permission, full disks, what dead writers leave, very many files.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; child processes are told by variables and tell by their output"
)]

mod damage;
mod kill;
mod place;
mod purge;
mod scale;
mod support;
mod trouble;

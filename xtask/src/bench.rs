//! `cargo xtask bench`: our work and the peers' side by side. The measuring is session-bench's.

use std::path::PathBuf;

use clap::Args;

use crate::{Result, cargo};

/// What is measured.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only the rows of this area: web, memory, sqlite, mmap, redis, file, sled or scale; may be given several times
    #[arg(long, value_name = "AREA")]
    only: Vec<String>,
    /// Short runs, and scale only if it is asked for: enough to see that it works, too short to quote
    #[arg(long)]
    quick: bool,
    /// Says which rows there are, and measures nothing
    #[arg(long)]
    list: bool,
    /// Writes the rows as a JSON array to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result {
    let mut command = cargo::cargo(["run", "--release", "--package", "session-bench", "--"]);
    for area in &options.only {
        command.args(["--only", area]);
    }
    if options.quick {
        command.arg("--quick");
    }
    if options.list {
        command.arg("--list");
    }
    if let Some(file) = &options.json {
        // Taken where the command was typed, for cargo runs in the workspace's folder.
        command.arg("--json").arg(std::path::absolute(file)?);
    }
    cargo::run(&mut command, false)
}

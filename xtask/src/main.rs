//! The chores of the workspace: `cargo xtask <verb>`. CI calls the same verbs as a developer.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this program is for")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod cargo;
mod ci;
mod conformance;
mod demo;
mod tally;
mod test;

/// What a chore ends with: an error text goes to stderr, and the program's exit code is not zero.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The chores of the workspace", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Builds and starts the example shop; Ctrl-C stops it. With --check: drives it as a browser would and says which
    /// promises hold
    Demo(demo::Options),
    /// Runs every test there is, and sums up
    Test(test::Options),
    /// Runs the conformance suites of the drivers and prints the matrix of clauses
    Conformance(conformance::Options),
    /// Measures our drivers and web layer beside their peers and prints the ratios
    Bench(bench::Options),
    /// Formatting, lints, documentation, each feature by itself, dependencies, and all tests
    Ci(ci::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Demo(options) => demo::run(&options),
        Verb::Test(options) => test::run(&options),
        Verb::Conformance(options) => conformance::run(&options),
        Verb::Bench(options) => bench::run(&options),
        Verb::Ci(options) => ci::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

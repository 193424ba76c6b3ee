//! `cargo xtask test`: every test there is, and a sum at the end.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use clap::Args;

use crate::tally::Tally;
use crate::{Result, cargo, conformance, demo};

/// How the tests are run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Longer histories, and at least 200 kills for each test that kills
    #[arg(long)]
    pub(crate) full: bool,
}

pub(crate) fn run(options: &Options) -> Result {
    // The matrix is joined from what this very run leaves behind, never from an older one.
    conformance::forget()?;
    let parts = [
        ("cargo test --workspace --all-features", harness(options.full)?),
        ("conformance matrix", Tally::one(conformance::report()?)),
        ("demo --check", told(demo::check(true))),
    ];

    println!();
    let mut all = Tally::default();
    for (name, tally) in &parts {
        let Tally { passed, failed, ignored } = tally;
        println!("{name:<40} {passed:>5} passed  {failed:>3} failed  {ignored:>3} ignored");
        all.add(tally);
    }
    let nothing: Vec<_> = parts.iter().filter(|(_, tally)| tally.passed + tally.failed == 0).collect();
    for (name, _) in &nothing {
        println!("{name}: nothing ran, which is a failure");
    }
    all.failed += nothing.len() as u64;
    println!("\n{} passed, {} failed", all.passed, all.failed);
    if all.is_good() { Ok(()) } else { Err("not all tests passed".into()) }
}

/// All tests and doctests of all crates, with every feature. One command, so that everything is compiled once.
fn harness(full: bool) -> Result<Tally> {
    let mut command = cargo::cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
    if full {
        command.envs(conformance::FULL);
    }
    cargo::show(&command);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().ok_or("cargo has no stdout")?;
    let mut tally = Tally::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.read(&line);
    }
    // What does not compile, and a test binary that aborts, leave no line to count.
    if !child.wait()?.success() && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// A part that could not even run is one failure.
fn told(tally: Result<Tally>) -> Tally {
    tally.unwrap_or_else(|error| {
        println!("FAIL {error}");
        Tally::one(false)
    })
}

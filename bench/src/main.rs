#![doc = include_str!("../README.md")]

mod console;
mod groups;
mod homes;
mod measure;
mod ours;
mod programs;
mod report;
mod rows;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use session_bench_work::serve;

use crate::groups::{Area, Group};
use crate::measure::Effort;
use crate::programs::Programs;
use crate::rows::{against_before, groups};

/// The first argument of a subject: the bench runs itself, or an earlier build of itself, with it.
const SUBJECT: &str = "subject";

/// The same work over our drivers and their peers, as ratios within one run.
#[derive(Debug, Parser)]
#[command(name = "session-bench")]
struct Cli {
    /// Measure this area only; may be repeated
    #[arg(long, value_name = "AREA")]
    only: Vec<Area>,
    /// Three short runs instead of five longer ones, without scale, large and stall unless named: a first look
    #[arg(long)]
    quick: bool,
    /// Also write the rows as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// List the rows and measure nothing
    #[arg(long)]
    list: bool,
    /// The directory for stores on disk; by default beside the built programs
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Compare with this earlier build of session-bench instead of the peers
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
}

fn main() -> ExitCode {
    let answer = if std::env::args().nth(1).as_deref() == Some(SUBJECT) {
        serve(std::env::args().skip(2), ours::sample).map(|()| true)
    } else {
        bench(&Cli::parse())
    };
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            console::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Returns whether every requested row was measured. The ratios do not affect the exit code.
fn bench(cli: &Cli) -> Result<bool, Box<dyn Error>> {
    let asked = |area| match cli.only.as_slice() {
        [] => !cli.quick || ![Area::Scale, Area::Large, Area::Stall].contains(&area),
        only => only.contains(&area),
    };
    let groups = groups().into_iter().filter(|group| asked(group.area));
    let groups: Vec<_> = match &cli.before {
        None => groups.collect(),
        Some(_) => against_before(groups.collect()),
    };
    if cli.list {
        report::list(&groups);
        return Ok(true);
    }
    let effort = if cli.quick { Effort::QUICK } else { Effort::FULL };
    let mut programs = Programs::build(&groups, cli.data.as_deref(), cli.before.clone())?;
    let measured = measure::all(&groups, &mut programs, effort);
    report::table(&measured.rows);
    if groups.iter().any(Group::on_disk) {
        report::filesystem(programs.data())?;
    }
    if let Some(path) = &cli.json {
        std::fs::write(path, serde_json::to_string_pretty(&measured.rows)? + "\n")?;
    }
    Ok(measured.complete)
}

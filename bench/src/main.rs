#![doc = include_str!("../README.md")]

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
use session_bench_work::{Args, Counting};

use crate::groups::{Area, Group};
use crate::measure::Effort;
use crate::programs::Programs;
use crate::rows::groups;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The word with which the bench calls itself to be measured.
const SUBJECT: &str = "subject";

/// The same work over our drivers and their peers, as ratios within one run.
#[derive(Debug, Parser)]
#[command(name = "session-bench")]
struct Cli {
    /// Only the rows of this area; may be given several times
    #[arg(long, value_name = "AREA")]
    only: Vec<Area>,
    /// Three short runs instead of five longer ones, and scale only if it is asked for: for a look, not for a figure
    #[arg(long)]
    quick: bool,
    /// Write the rows as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Say which rows there are, and measure nothing
    #[arg(long)]
    list: bool,
    /// Where the stores on disk are made; beside the built programs by default
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

fn main() -> ExitCode {
    let answer = if std::env::args().nth(1).as_deref() == Some(SUBJECT) {
        subject().map(|()| true)
    } else {
        bench(&Cli::parse())
    };
    match answer {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn subject() -> Result<(), Box<dyn Error>> {
    ours::sample(&Args::parse(std::env::args().skip(2))?)?.print();
    Ok(())
}

/// Whether everything that was asked for was measured; what the ratios are is no matter of the exit code.
fn bench(cli: &Cli) -> Result<bool, Box<dyn Error>> {
    let asked = |area| match cli.only.as_slice() {
        [] => !cli.quick || area != Area::Scale,
        only => only.contains(&area),
    };
    let groups: Vec<_> = groups().into_iter().filter(|group| asked(group.area)).collect();
    if cli.list {
        report::list(&groups);
        return Ok(true);
    }
    let effort = if cli.quick { Effort::QUICK } else { Effort::FULL };
    let mut programs = Programs::build(&groups, cli.data.as_deref())?;
    let measured = measure::all(&groups, &mut programs, effort);
    report::table(&measured.rows);
    if groups.iter().any(Group::on_disk) {
        report::filesystem(programs.data())?;
    }
    if let Some(path) = &cli.json {
        std::fs::write(path, report::json(&measured.rows))?;
    }
    Ok(measured.complete)
}

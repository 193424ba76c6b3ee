//! Prints the matrix of conformance from the result files that the suites left: `matrix FORMAT FOLDER DRIVER…`, with
//! the format `text`, `json` or `summary`. It exits with 1 if the matrix is red and with 2 if there is none.
//!
//! `cargo xtask conformance` builds this beside the suites, so that xtask itself need not wait for the crates of the
//! workspace to compile.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this program is for")]

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use session_conformance::Level;
use session_conformance::matrix::{Column, Matrix, Verdict};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [format, folder, drivers @ ..] = arguments.as_slice() else {
        eprintln!("matrix FORMAT FOLDER DRIVER…");
        return ExitCode::from(2);
    };
    let drivers: Vec<_> = drivers.iter().map(String::as_str).collect();
    let mut matrix = match Matrix::read(Path::new(folder), &drivers) {
        Ok(matrix) => matrix,
        Err(error) => {
            eprintln!("{folder}: {error}");
            return ExitCode::from(2);
        }
    };
    match format.as_str() {
        "text" => print!("{}", matrix.text()),
        "json" => println!("{}", matrix.json()),
        "summary" => {
            matrix.drivers.truncate(drivers.len());
            print!("{}", summary(&matrix));
        }
        other => {
            eprintln!("{other} is no format");
            return ExitCode::from(2);
        }
    }
    if matrix.is_green() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// A Markdown table with a row for each level and a column for each driver.
fn summary(matrix: &Matrix) -> String {
    let names: Vec<_> = matrix.drivers.iter().map(|driver| driver.name.as_str()).collect();
    let mut text =
        format!("| level | clauses | {} |\n|---|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for level in Level::ALL {
        let cells: Vec<_> = matrix.drivers.iter().map(|driver| cell(driver, *level)).collect();
        let clauses = session_conformance::CLAUSES.iter().filter(|clause| clause.level == *level).count();
        if clauses > 0 {
            let _ = writeln!(text, "| {level} | {clauses} | {} |", cells.join(" | "));
        }
    }
    text
}

fn cell(driver: &Column, level: Level) -> String {
    use Verdict::{Error, Fail, Known, NotApplicable, NotRun, Pass};
    let count = |verdict: Verdict| {
        let cells = driver.clauses.iter();
        cells.filter(|cell| cell.level == level.as_str() && cell.verdict == verdict).count()
    };
    let counts = [Pass, NotApplicable, Known, Fail, Error, NotRun].map(|verdict| (count(verdict), verdict));
    let said: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, verdict)| format!("{count} {verdict}"))
        .collect();
    said.join(", ")
}

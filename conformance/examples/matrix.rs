//! Prints the matrix of what the suites have left. A crate with a driver has the same program.

use std::process::ExitCode;

fn main() -> ExitCode {
    session_conformance::matrix::main()
}

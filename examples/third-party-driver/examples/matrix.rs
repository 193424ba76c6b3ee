//! Prints the matrix of the driver's suite.

fn main() -> std::process::ExitCode {
    session_conformance::matrix::main()
}

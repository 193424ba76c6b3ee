//! Prints the matrix of what the suites have left: `matrix text|json|summary DIRECTORY [DRIVER…]`. The drivers that are
//! named are in it whether or not they left anything. It ends with 0 if all is green, with 1 if anything is red, and
//! with 2 if the matrix cannot be read.

use std::path::Path;
use std::process::ExitCode;

use session_conformance::matrix::Matrix;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [format, directory, drivers @ ..] = &args[..] else {
        eprintln!("matrix text|json|summary DIRECTORY [DRIVER…]");
        return ExitCode::from(2);
    };
    let drivers: Vec<&str> = drivers.iter().map(String::as_str).collect();
    let matrix = match Matrix::read(Path::new(directory), &drivers) {
        Ok(matrix) => matrix,
        Err(error) => {
            eprintln!("{directory}: {error}");
            return ExitCode::from(2);
        }
    };
    match format.as_str() {
        "text" => println!("{}", matrix.text()),
        "json" => println!("{}", matrix.json()),
        "summary" => print!("{}", matrix.summary(&drivers)),
        other => {
            eprintln!("no format {other}: text, json or summary");
            return ExitCode::from(2);
        }
    }
    ExitCode::from(u8::from(!matrix.is_green()))
}

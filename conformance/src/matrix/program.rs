//! The program that prints the matrix, for any crate with a suite.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use super::Matrix;

const USAGE: &str = "\
usage: matrix text|json|html|summary RESULTS [DRIVER...]
       matrix site RESULTS FOLDER [DRIVER...]
RESULTS is the folder target/conformance. A named DRIVER is in the matrix whether or not it left results.
site writes index.html, matrix.json and a badge of each driver, DRIVER.svg and DRIVER.json, to FOLDER.
";

/// Prints the matrix of what the suites have left. It is a whole `main`: give your crate an `examples/matrix.rs` that
/// calls it, with `session-conformance` as a dev-dependency.
///
/// The exit code is 0 if all is green, 1 if anything is red, and 2 if the matrix cannot be read or written.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let printed = match arguments[..] {
        ["site", results, folder, ref drivers @ ..] => site(results, Path::new(folder), drivers),
        [format, results, ref drivers @ ..] if format != "site" => print(format, results, drivers),
        _ => Err(USAGE.to_owned()),
    };
    match printed {
        Ok(green) => ExitCode::from(u8::from(!green)),
        Err(error) => {
            let _ = io::stderr().write_all(format!("{}\n", error.trim_end()).as_bytes());
            ExitCode::from(2)
        }
    }
}

fn print(format: &str, results: &str, drivers: &[&str]) -> Result<bool, String> {
    let matrix = read(results, drivers)?;
    let text = match format {
        "text" => matrix.text() + "\n",
        "json" => matrix.json() + "\n",
        "html" => matrix.html(),
        "summary" => matrix.summary(drivers),
        _ => return Err(format!("no format {format}\n{USAGE}")),
    };
    io::stdout().write_all(text.as_bytes()).map_err(|error| format!("stdout: {error}"))?;
    Ok(matrix.is_green())
}

fn site(results: &str, folder: &Path, drivers: &[&str]) -> Result<bool, String> {
    let matrix = read(results, drivers)?;
    matrix.write_site(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(matrix.is_green())
}

fn read(results: &str, drivers: &[&str]) -> Result<Matrix, String> {
    let matrix = Matrix::read(Path::new(results), drivers).map_err(|error| format!("{results}: {error}"))?;
    match matrix.drivers.is_empty() {
        true => Err(format!("{results}: no results; run `cargo test --test conformance` first")),
        false => Ok(matrix),
    }
}

impl Matrix {
    /// Writes a folder to publish: `index.html`, `matrix.json`, and for each driver its badge, `<driver>.svg` and
    /// `<driver>.json`.
    ///
    /// # Errors
    /// If the folder or a file cannot be written.
    pub fn write_site(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("index.html"), self.html())?;
        fs::write(folder.join("matrix.json"), self.json())?;
        for driver in &self.drivers {
            let (name, badge) = (super::folder(&driver.name), driver.badge(&self.spec));
            fs::write(folder.join(format!("{name}.svg")), badge.svg())?;
            fs::write(folder.join(format!("{name}.json")), badge.endpoint())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CLAUSES, Verdict, declare, leave};
    use super::*;
    use crate::level::Requirement;

    #[test]
    fn site_has_the_page_and_a_badge_of_each_driver() {
        let dir = tempfile::tempdir().unwrap();
        let (results, out) = (dir.path().join("results"), dir.path().join("a/site"));
        leave(&results, "my store", "1", "B02", Verdict::Pass, "");
        let green = site(results.to_str().unwrap(), &out, &[]).unwrap();
        assert!(!green, "all other clauses did not run");
        for file in ["index.html", "matrix.json", "my-store.svg", "my-store.json"] {
            assert!(out.join(file).metadata().unwrap().len() > 0, "{file}");
        }
    }

    #[test]
    fn error_of_a_declared_clause_is_red() {
        let dir = tempfile::tempdir().unwrap();
        let (results, out) = (dir.path().join("results"), dir.path().join("site"));
        let is_green = || site(results.to_str().unwrap(), &out, &["one"]).unwrap();
        declare(&results, "one", "1", &[(Requirement::Damage, "no way in")]);
        let lacks = |id: &str| ["F01", "F03"].contains(&id);
        for clause in CLAUSES.iter().filter(|clause| !lacks(clause.id)) {
            leave(&results, "one", "1", clause.id, Verdict::Pass, "");
        }
        assert!(is_green(), "the declared clauses do not apply");
        leave(&results, "one", "1", "F01", Verdict::Error, "no damage()");
        assert!(!is_green(), "a result is newer than the declaration");
    }

    #[test]
    fn wrong_arguments_and_missing_results_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().to_str().unwrap();
        assert!(print("text", empty, &[]).unwrap_err().contains("cargo test --test conformance"));
        leave(dir.path(), "one", "1", "B02", Verdict::Pass, "");
        assert!(print("xml", empty, &[]).unwrap_err().contains("usage: matrix"));
    }
}

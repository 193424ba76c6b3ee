//! `cargo xtask conformance`: runs the drivers' suites and prints the matrix of clauses.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};

use crate::{Result, cargo};

/// The test target in which a driver's suite stands. It is built with the features that `cargo xtask test` builds with,
/// so that whichever comes second compiles nothing.
const BUILD: &[&str] = &["test", "--workspace", "--all-features", "--no-run", "--test", "conformance"];

/// As an example it is built with the features of the tests, as above; named in that command it would be a test itself.
const PRINTER: &[&str] = &["build", "--workspace", "--all-features", "--example", "matrix"];

/// What makes the tests run their long forms.
pub(crate) const FULL: [(&str, &str); 1] = [("SESSION_KIT_FULL", "1")];

/// What is run, and how it is shown.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this driver, such as `memory` or `sqlite`
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// How the matrix is written; whatever else is said goes to stderr
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Writes the matrix to this file and not to stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Longer histories, at least 200 kills for each clause that kills, and the drivers' own long tests
    #[arg(long)]
    full: bool,
    /// Puts the summary into README.md
    #[arg(long, conflicts_with = "driver")]
    write_readme: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Format {
    fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

pub(crate) fn run(options: &Options) -> Result {
    let built = build(if options.full { &["--test", "driver"] } else { &[] })?;
    // With all drivers there is the reference driver too, whose mutants show that the clauses bite.
    let drivers: Vec<_> = built
        .suites
        .iter()
        .filter(|suite| options.driver.as_ref().is_none_or(|wanted| suite.driver == *wanted))
        .collect();
    if drivers.is_empty() {
        let known: Vec<_> = built.suites.iter().map(|suite| suite.driver.as_str()).collect();
        return Err(match &options.driver {
            Some(driver) => format!("there is no driver {driver}; there are: {}", known.join(", ")).into(),
            None => "no driver has a conformance suite, so nothing was run".into(),
        });
    }

    forget()?;
    let mut failed = Vec::new();
    for suite in &drivers {
        eprintln!("\nThe suite of {}:", suite.driver);
        let mut command = Command::new(&suite.program.path);
        command.current_dir(&suite.program.folder);
        if options.full {
            command.envs(FULL);
        }
        if let Err(error) = cargo::run(&mut command, true) {
            eprintln!("xtask: {error}");
            failed.push(suite.driver.clone());
        }
    }

    let mut expected = ours()?;
    // A driver that was asked for by name brings its other engines with it.
    expected
        .retain(|name| options.driver.as_ref().is_none_or(|wanted| name.split('-').next() == Some(wanted)));
    let (matrix, green) = built.matrix(options.format.as_str(), &expected)?;
    match &options.out {
        Some(file) => {
            fs::write(file, &matrix).map_err(|error| format!("{}: {error}", file.display()))?;
            eprintln!("the matrix is in {}", file.display());
        }
        None => print!("{matrix}"),
    }
    if options.write_readme {
        write_readme(&built)?;
    }
    if !green {
        return Err("the matrix is red: a clause failed, its harness did, or it was not run".into());
    }
    if !failed.is_empty() {
        return Err(format!("tests failed: {}", failed.join(", ")).into());
    }
    Ok(())
}

/// Removes what earlier runs have left, so that nothing old counts.
pub(crate) fn forget() -> Result {
    match fs::remove_dir_all(results()?) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints the matrix of what a run of all tests has left, and whether it is green and README.md has its summary.
pub(crate) fn report() -> Result<bool> {
    let built = build(&[])?;
    let (matrix, green) = built.matrix("text", &ours()?)?;
    println!("\n{matrix}");
    let current = fs::read_to_string(cargo::root().join(README))?.contains(&built.summary()?);
    if !current {
        println!("the matrix in {README} is not this one: cargo xtask conformance --write-readme");
    }
    Ok(green && current)
}

const README: &str = "README.md";
const BEGIN: &str = "<!-- matrix: cargo xtask conformance --write-readme -->\n";
const END: &str = "<!-- end of matrix -->\n";

fn write_readme(built: &Built) -> Result {
    let path = cargo::root().join(README);
    let text = fs::read_to_string(&path)?;
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or("README.md has no place for the matrix")?;
    fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", built.summary()?))?;
    eprintln!("README.md has the matrix");
    Ok(())
}

/// Where the tests leave their results: beside cargo's folder for the files of tests.
fn results() -> Result<PathBuf> {
    Ok(match cargo::option("SESSION_CONFORMANCE_OUT") {
        Some(folder) => PathBuf::from(folder),
        None => cargo::target()?.join("conformance"),
    })
}

/// What the folders of drivers begin with.
const STORE: &str = "session-store-";

/// What a driver's crate has a second suite for, over another engine: it is never to be missing unnoticed.
const ENGINES: &[&str] = &["redis-cluster"];

/// The drivers that must be in the matrix, whether or not they have a suite and leave any result. The reference driver
/// and the example's are in it as well, under the names that their harnesses give them.
fn ours() -> Result<Vec<String>> {
    let mut found: Vec<_> = ENGINES.iter().map(|&name| name.to_owned()).collect();
    for entry in fs::read_dir(cargo::root())? {
        let entry = entry?;
        if let Some(driver) = entry.file_name().to_string_lossy().strip_prefix(STORE)
            && entry.path().join("Cargo.toml").is_file()
        {
            found.push(driver.to_owned());
        }
    }
    found.sort();
    if found.len() == ENGINES.len() { Err("there are no drivers".into()) } else { Ok(found) }
}

/// A program with a driver's tests.
struct Suite {
    driver: String,
    program: cargo::Program,
}

/// What has been built.
struct Built {
    suites: Vec<Suite>,
    printer: PathBuf,
}

impl Built {
    /// The matrix of these drivers, and of any other that left results; and whether it is green.
    fn matrix(&self, format: &str, drivers: &[String]) -> Result<(String, bool)> {
        let mut command = Command::new(&self.printer);
        command.arg(format).arg(results()?).args(drivers).current_dir(cargo::root());
        let output = command.stderr(Stdio::inherit()).output()?;
        let green = match output.status.code() {
            Some(0) => true,
            Some(1) => false,
            _ => return Err(format!("the matrix could not be made ({})", output.status).into()),
        };
        Ok((String::from_utf8(output.stdout)?, green))
    }

    /// The matrix of the drivers that people use, summed up by level, for README.md.
    fn summary(&self) -> Result<String> {
        Ok(self.matrix("summary", &ours()?)?.0)
    }
}

fn build(more: &[&str]) -> Result<Built> {
    let mut suites = Vec::new();
    for program in cargo::build(&[BUILD, more].concat())? {
        let package = program.package();
        let driver = package.strip_prefix(STORE);
        // Other crates' tests of that name are not a driver's.
        if program.name == "conformance" || program.name == "driver" && driver.is_some() {
            suites.push(Suite { driver: driver.unwrap_or(&package).to_owned(), program });
        }
    }
    suites.sort_by(|a, b| (&a.driver, &a.program.name).cmp(&(&b.driver, &b.program.name)));
    Ok(Built { suites, printer: cargo::build_one("matrix", PRINTER)? })
}

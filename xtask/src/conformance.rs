//! `cargo xtask conformance`: runs the drivers' suites and prints the matrix of clauses.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::servers::{self, Engine};
use crate::{Result, cargo, third_party};

/// Builds the suites of the drivers, with the features of `cargo xtask test`, so that each reuses the build of the
/// other.
const BUILD: &[&str] = &["test", "--workspace", "--all-features", "--no-run", "--test", "conformance"];

/// Builds the printer of the matrix, with the same features.
const PRINTER: &[&str] = &["build", "--workspace", "--all-features", "--example", "matrix"];

/// The driver of the guide, in a workspace of its own.
pub(crate) const EXAMPLE: &str = "examples/third-party-driver";

/// Makes the tests run their long forms.
pub(crate) const FULL: [(&str, &str); 1] = [("SESSION_KIT_FULL", "1")];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only this driver, such as `memory` or `sqlite`
    #[arg(long, value_name = "NAME")]
    driver: Option<String>,
    /// The server for `--driver redis`, by its name in `cargo xtask servers`, such as `valkey-9`, or `all`. Also builds and runs
    /// the driver's own tests
    #[arg(long, value_name = "NAME", conflicts_with = "write_readme")]
    server: Option<String>,
    /// The format of the matrix; everything else goes to stderr
    #[arg(long, value_parser = ["text", "json", "html"], default_value = "text")]
    format: String,
    /// Also writes a folder to publish: the matrix as a page and as JSON, and a badge of each driver
    #[arg(long, value_name = "FOLDER")]
    site: Option<PathBuf>,
    /// Writes the matrix to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Long forms: longer histories, at least 200 kills for each clause that kills, and the drivers' own long tests
    #[arg(long)]
    full: bool,
    /// Puts the summary into README.md
    #[arg(long, conflicts_with = "driver")]
    write_readme: bool,
    /// Runs the suite over published stores of other projects instead, and writes THIRD-PARTY.md. With --driver only
    /// those whose name contains NAME. With `page` runs nothing, and writes the page from the results of earlier runs
    #[arg(
        long,
        value_name = "WHAT",
        value_parser = ["run", "page"],
        num_args = 0..=1,
        default_missing_value = "run",
        conflicts_with_all = ["server", "site", "out", "full", "write_readme"],
    )]
    third_party: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result {
    match options.third_party.as_deref() {
        Some("page") => return third_party::write_page(),
        Some(_) => return third_party::run(options.driver.as_deref()),
        None => {}
    }
    let chosen = match (&options.server, options.driver.as_deref()) {
        (Some(name), Some("redis")) => servers::fetch(name)?,
        (Some(_), _) => return Err("--server needs --driver redis".into()),
        (None, _) => Vec::new(),
    };
    let built = build(if options.full || options.server.is_some() { &["--test", "driver"] } else { &[] })?;
    // Includes the reference driver, whose mutants show that the clauses can fail.
    let drivers: Vec<_> = built
        .suites
        .iter()
        .filter(|(driver, _)| options.driver.as_ref().is_none_or(|wanted| driver == wanted))
        .collect();
    if drivers.is_empty() {
        let known: Vec<_> = built.suites.iter().map(|(driver, _)| driver.as_str()).collect();
        return Err(match &options.driver {
            Some(driver) => format!("unknown driver {driver}; known are: {}", known.join(", ")).into(),
            None => "found no conformance suite".into(),
        });
    }

    forget()?;
    let mut failed = Vec::new();
    for (driver, program, engine) in drivers.iter().flat_map(|(driver, program)| {
        engines(driver, program, &chosen).into_iter().map(move |engine| (driver, program, engine))
    }) {
        let name = engine.as_ref().map_or_else(|| driver.clone(), |(name, _)| format!("{driver} on {name}"));
        eprintln!("\nThe suite of {name}:");
        let mut command = Command::new(&program.path);
        command.current_dir(&program.folder);
        if options.full {
            command.envs(FULL);
        }
        if let Some(engine) = &engine {
            servers::choose(&mut command, engine);
        }
        if let Err(error) = cargo::run(&mut command, true) {
            eprintln!("xtask: {error}");
            failed.push(name);
        }
    }

    let expected = expected(options.driver.as_deref(), &chosen)?;
    let (matrix, green) = built.matrix(&options.format, &expected)?;
    match &options.out {
        Some(file) => {
            fs::write(file, &matrix).map_err(|error| format!("{}: {error}", file.display()))?;
            eprintln!("the matrix is in {}", file.display());
        }
        None => print!("{matrix}"),
    }
    if let Some(folder) = &options.site {
        built.site(folder, &expected)?;
        eprintln!("the matrix and the badges are in {}", folder.display());
    }
    if options.write_readme {
        write_readme(&built)?;
    }
    if !green {
        return Err("the matrix is red: a clause or its harness failed, or did not run".into());
    }
    if !failed.is_empty() {
        return Err(format!("tests failed: {}", failed.join(", ")).into());
    }
    Ok(())
}

/// The servers on which a program runs; `None` is the usual one.
fn engines(driver: &str, program: &cargo::Program, chosen: &[Engine]) -> Vec<Option<Engine>> {
    if !chosen.is_empty() {
        return chosen.iter().cloned().map(Some).collect();
    }
    if (driver, &*program.name) != ("redis", "conformance") {
        return vec![None];
    }
    match servers::valkey() {
        Ok(valkey) => vec![None, Some(valkey)],
        // The matrix shows that its clauses did not run.
        Err(error) => {
            eprintln!("xtask: {error}");
            vec![None]
        }
    }
}

/// The columns that the matrix must have. A named driver includes its other engines.
fn expected(driver: Option<&str>, chosen: &[Engine]) -> Result<Vec<String>> {
    if !chosen.is_empty() {
        let with_cluster = |(name, _): &Engine| [name.clone(), format!("{name}-cluster")];
        return Ok(chosen.iter().flat_map(with_cluster).collect());
    }
    let mut expected = ours()?;
    expected.retain(|name| {
        let engine = name.split('-').next().map(|engine| if engine == "valkey" { "redis" } else { engine });
        driver.is_none() || engine == driver
    });
    Ok(expected)
}

/// Removes the results of earlier runs.
pub(crate) fn forget() -> Result {
    match fs::remove_dir_all(results()?) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints the matrix of the last run. Returns whether it is green and README.md has its summary. Where Valkey cannot be
/// fetched, its columns are not expected and README.md is not compared.
pub(crate) fn report() -> Result<bool> {
    let built = build(&[])?;
    let mut expected = ours()?;
    let valkey = servers::valkey();
    if valkey.is_err() {
        expected.retain(|name| !name.starts_with("valkey"));
    }
    let (matrix, green) = built.matrix("text", &expected)?;
    println!("\n{matrix}");
    if let Err(error) = valkey {
        println!("not run: the columns of Valkey, so the matrix in {README} is not compared: {error}");
        return Ok(green);
    }
    let current = fs::read_to_string(cargo::root().join(README))?.contains(&built.summary()?);
    if !current {
        println!("the matrix in {README} is out of date: cargo xtask conformance --write-readme");
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
    let (before, after) = parts.ok_or("README.md lacks the markers of the matrix")?;
    fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", built.summary()?))?;
    eprintln!("README.md has the matrix");
    Ok(())
}

/// The folder in which the tests leave their results.
fn results() -> Result<PathBuf> {
    Ok(match cargo::option("SESSION_CONFORMANCE_OUT") {
        Some(folder) => PathBuf::from(folder),
        None => cargo::target()?.join("conformance"),
    })
}

/// The prefix of the drivers' folders.
const STORE: &str = "session-store-";

/// The further suites of drivers with several engines. A missing one must not go unnoticed.
const ENGINES: &[&str] = &["redis-cluster", "valkey", "valkey-cluster"];

/// The drivers that must be in the matrix, even without any result. The reference driver and the example's driver are
/// in it too, under the names of their harnesses.
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
    if found.len() == ENGINES.len() { Err("found no driver".into()) } else { Ok(found) }
}

/// The built programs.
struct Built {
    /// The name of each driver and a program with its tests.
    suites: Vec<(String, cargo::Program)>,
    printer: PathBuf,
}

impl Built {
    /// The matrix of these drivers and of all others with results, and whether it is green.
    fn matrix(&self, format: &str, drivers: &[String]) -> Result<(String, bool)> {
        let mut command = Command::new(&self.printer);
        command.arg(format).arg(results()?).args(drivers).current_dir(cargo::root());
        Self::printed(command)
    }

    /// Writes the page, the JSON and the badges to a folder, which is relative to the caller's directory.
    fn site(&self, folder: &Path, drivers: &[String]) -> Result {
        let mut command = Command::new(&self.printer);
        command.arg("site").arg(results()?).arg(folder).args(drivers);
        Self::printed(command).map(drop)
    }

    fn printed(mut command: Command) -> Result<(String, bool)> {
        let output = command.stderr(Stdio::inherit()).output()?;
        let green = match output.status.code() {
            Some(0) => true,
            Some(1) => false,
            _ => return Err(format!("printing the matrix failed ({})", output.status).into()),
        };
        Ok((String::from_utf8(output.stdout)?, green))
    }

    /// The matrix of the published drivers by level, for README.md.
    fn summary(&self) -> Result<String> {
        Ok(self.matrix("summary", &ours()?)?.0)
    }
}

/// The arguments for the tests of the example, with all clauses of level session: the matrix has them all.
pub(crate) fn example() -> Result<Vec<String>> {
    let features = ["--features", "session-conformance/session-all"].map(str::to_owned);
    Ok(cargo::standalone(EXAMPLE)?.into_iter().chain(features).collect())
}

fn build(more: &[&str]) -> Result<Built> {
    let mut suites = Vec::new();
    let example: Vec<String> = ["test".into(), "--no-run".into(), "--test".into(), "conformance".into()]
        .into_iter()
        .chain(example()?)
        .collect();
    for program in cargo::build(&[BUILD, more].concat())?.into_iter().chain(cargo::build(&example)?) {
        let package = program.package();
        let driver = package.strip_prefix(STORE);
        // Other crates have tests of the name `driver` too.
        if program.name == "conformance" || program.name == "driver" && driver.is_some() {
            suites.push((driver.unwrap_or(&package).to_owned(), program));
        }
    }
    suites.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
    Ok(Built { suites, printer: cargo::build_one("matrix", PRINTER)? })
}

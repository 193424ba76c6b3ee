//! The matrix driver x clause, joined from the result files that the tests leave.
//!
//! [`main`] is a program that prints it. To do the same in a program of your own:
//!
//! ```no_run
//! use std::path::Path;
//! use session_conformance::matrix::{Matrix, reset};
//!
//! let dir = Path::new("target/conformance");
//! reset(dir)?; // what an earlier run left must not count
//! // … run `cargo test -p <driver> --test conformance` for each driver, and ignore its exit code …
//! let matrix = Matrix::read(dir, &["memory", "sqlite"])?;
//! println!("{}", matrix.text());
//! std::fs::write("matrix.json", matrix.json())?;
//! assert!(matrix.is_green());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A test leaves `<dir>/<driver>/<clause>.json`; an ignored test leaves nothing, and the test of clause B01 leaves
//! `declared.json`, from which the reasons of `n/a` come. A clause with neither is `not run`, which is red. A clause with
//! both has its own result, because `declared.json` may be older than the list `lacks` of the last run.

mod badge;
mod html;
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use crate::level::{Level, Requirement, words};
use crate::table::{CLAUSES, Clause};

pub use badge::Badge;
pub use program::main;

/// The clause whose test writes down what is declared.
pub(crate) const DECLARATIONS: &str = "B01";
const DECLARED: &str = "declared.json";

words! {
    /// The result of a clause on a driver.
    Verdict {
        /// The driver keeps it.
        Pass = "pass",
        /// It does not.
        Fail = "fail",
        /// It does not apply, with a declared reason that clause B01 checks.
        NotApplicable = "n/a",
        /// It fails, as declared, with a link.
        Known = "known",
        /// The harness could not do its part.
        Error = "error",
        /// Nothing is known.
        NotRun = "not run",
    }
}

impl Verdict {
    /// Whether it makes the run a failure.
    #[must_use]
    pub const fn is_red(self) -> bool {
        matches!(self, Self::Fail | Self::Error | Self::NotRun)
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The whole matrix. Serialized, it is the JSON form.
#[derive(Clone, Debug, Serialize)]
pub struct Matrix {
    /// The version of the specification.
    pub spec: String,
    /// One entry per driver.
    pub drivers: Vec<Column>,
}

/// One driver.
#[derive(Clone, Debug, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its version, empty where nothing was run.
    pub version: String,
    /// Every clause of the table, in its order.
    pub clauses: Vec<Cell>,
}

/// One clause on one driver.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The clause.
    pub id: String,
    /// Its level.
    pub level: String,
    /// Whether it is a MUST.
    pub must: bool,
    /// The result.
    pub verdict: Verdict,
    /// Why, where the verdict needs a word; else empty.
    pub reason: String,
}

/// Removes the results of earlier runs.
///
/// # Errors
/// Where the directory cannot be removed or made.
pub fn reset(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    std::fs::create_dir_all(dir)
}

impl Matrix {
    /// Joins the result files in `dir` with the table: for the drivers that are `expected`, whether or not they left
    /// anything, and then for any others that did.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn read(dir: &Path, expected: &[&str]) -> io::Result<Self> {
        let mut folders: BTreeSet<String> = BTreeSet::new();
        if dir.exists() {
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.insert(entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
        let mut drivers = Vec::new();
        for name in expected {
            folders.remove(&folder(name));
            drivers.push(Column::read(&dir.join(folder(name)), name));
        }
        drivers.extend(folders.iter().map(|name| Column::read(&dir.join(name), name)));
        Ok(Self { spec: env!("CARGO_PKG_VERSION").to_owned(), drivers })
    }

    /// Whether nothing is red, and there is anything at all.
    #[must_use]
    pub fn is_green(&self) -> bool {
        !self.drivers.is_empty() && self.drivers.iter().all(|driver| driver.red().next().is_none())
    }

    /// The JSON form.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings, numbers and lists always serialize")
    }

    /// A Markdown table with a row per level and a column per driver of these names: how many clauses pass, and how
    /// many do not apply. Other verdicts are counted too.
    #[must_use]
    pub fn summary(&self, drivers: &[&str]) -> String {
        let columns: Vec<&Column> =
            self.drivers.iter().filter(|driver| drivers.contains(&driver.name.as_str())).collect();
        let names: String = columns.iter().map(|driver| format!(" {} |", driver.name)).collect();
        let mut text = format!("| level | clauses |{names}\n|---|---|{}\n", "---|".repeat(columns.len()));
        for &level in Level::ALL {
            let total = CLAUSES.iter().filter(|clause| clause.level == level).count();
            if total == 0 {
                continue;
            }
            let cells: String = columns.iter().map(|driver| format!(" {} |", driver.at(level))).collect();
            let _ = writeln!(text, "| {level} | {total} |{cells}");
        }
        text
    }

    /// A table for people: a row per clause, a column per driver, the reasons below.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("Conformance with specification {}\n\n", self.spec);
        let width = |driver: &Column| driver.name.len().max("not run".len()) + 2;
        let head: String =
            self.drivers.iter().map(|driver| format!("{:<1$}", driver.name, width(driver))).collect();
        let _ = writeln!(text, "{:<5} {:<11} {:<7} {head}sentence", "id", "level", "");
        for (index, clause) in CLAUSES.iter().enumerate() {
            let cells: String = self
                .drivers
                .iter()
                .map(|driver| format!("{:<1$}", driver.clauses[index].verdict, width(driver)))
                .collect();
            let (level, strength) = (clause.level, clause.strength());
            let _ = writeln!(text, "{:<5} {level:<11} {strength:<7} {cells}{}", clause.id, clause.text);
        }
        for driver in &self.drivers {
            let _ = writeln!(text, "\n{} {}: {}", driver.name, driver.version, driver.totals());
            for (reason, ids) in driver.reasons() {
                let _ = writeln!(text, "  {}: {reason}", ids.join(" "));
            }
        }
        text
    }
}

impl Column {
    fn read(dir: &Path, name: &str) -> Self {
        let declared: Option<Declared> = parse(&dir.join(DECLARED));
        let mut column = Self { name: name.to_owned(), version: String::new(), clauses: Vec::new() };
        if let Some(declared) = &declared {
            column.name.clone_from(&declared.driver);
            column.version.clone_from(&declared.version);
        }
        for clause in CLAUSES.iter() {
            let found: Option<Found> = parse(&dir.join(format!("{}.json", clause.id)));
            let (verdict, reason) = match (found, declared.as_ref().and_then(|all| all.reason(clause))) {
                (Some(found), _) => {
                    (Verdict::from_word(&found.verdict).unwrap_or(Verdict::NotRun), found.reason)
                }
                (None, Some(reason)) => (Verdict::NotApplicable, reason),
                (None, None) => (Verdict::NotRun, "its test left no result".to_owned()),
            };
            column.clauses.push(Cell {
                id: clause.id.to_owned(),
                level: clause.level.to_string(),
                must: clause.must,
                verdict,
                reason,
            });
        }
        column
    }

    /// The clauses that make the run a failure.
    pub fn red(&self) -> impl Iterator<Item = &Cell> {
        self.clauses.iter().filter(|cell| cell.verdict.is_red())
    }

    /// How many of each verdict a level has.
    fn at(&self, level: Level) -> String {
        let cells = self.clauses.iter().filter(|cell| cell.level == level.as_str());
        counted(grouped(cells.map(|cell| (cell.verdict.as_str(), ()))))
    }

    fn totals(&self) -> String {
        let mut groups = grouped(self.clauses.iter().map(|cell| (cell.verdict.as_str(), ())));
        groups.sort();
        counted(groups)
    }

    fn reasons(&self) -> Vec<(String, Vec<&str>)> {
        let cells = self.clauses.iter().filter(|cell| !cell.reason.is_empty());
        grouped(cells.map(|cell| (format!("{}, {}", cell.verdict, cell.reason), cell.id.as_str())))
    }
}

/// The values of each name, in the order in which the names come first.
fn grouped<K: PartialEq, V>(pairs: impl Iterator<Item = (K, V)>) -> Vec<(K, Vec<V>)> {
    let mut groups: Vec<(K, Vec<V>)> = Vec::new();
    for (name, value) in pairs {
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => groups.push((name, vec![value])),
        }
    }
    groups
}

fn counted(groups: Vec<(&str, Vec<()>)>) -> String {
    groups.iter().map(|(word, all)| format!("{} {word}", all.len())).collect::<Vec<_>>().join(", ")
}

#[derive(Deserialize)]
struct Declared {
    driver: String,
    version: String,
    lacks: BTreeMap<String, String>,
}

impl Declared {
    fn reason(&self, clause: &Clause) -> Option<String> {
        let reason = |need: &Requirement| self.lacks.get(need.as_str()).map(|why| format!("{need}: {why}"));
        clause.needs.iter().find_map(reason)
    }
}

#[derive(Deserialize)]
struct Found {
    verdict: String,
    reason: String,
}

/// Leaves what is declared, and removes the results of clauses that no longer apply.
pub(crate) fn declare(dir: &Path, driver: &str, version: &str, lacks: &[(Requirement, &'static str)]) {
    let is_lacked = |need: &Requirement| lacks.iter().any(|(lacked, _)| lacked == need);
    for clause in CLAUSES.iter().filter(|clause| clause.needs.iter().any(is_lacked)) {
        let _ = std::fs::remove_file(dir.join(folder(driver)).join(format!("{}.json", clause.id)));
    }
    let lacks: BTreeMap<_, _> = lacks.iter().map(|(need, why)| (need.as_str(), *why)).collect();
    write(dir, driver, DECLARED, &json!({ "driver": driver, "version": version, "lacks": lacks }));
}

/// Leaves the result of one test.
pub(crate) fn leave(dir: &Path, driver: &str, version: &str, id: &str, verdict: Verdict, reason: &str) {
    let found =
        json!({ "driver": driver, "version": version, "clause": id, "verdict": verdict, "reason": reason });
    write(dir, driver, &format!("{id}.json"), &found);
}

/// The directory of the results, next to the scratch directory of the integration tests.
pub(crate) fn next_to(scratch: &str) -> PathBuf {
    let scratch = Path::new(scratch);
    scratch.parent().unwrap_or(scratch).join("conformance")
}

// A result that cannot be written shows as `not run`, which is red: no need to fail the test as well.
fn write(dir: &Path, driver: &str, file: &str, content: &Value) {
    let dir = dir.join(folder(driver));
    let temporary = dir.join(format!(".{file}.{}", std::process::id()));
    let _ = std::fs::create_dir_all(&dir)
        .and_then(|()| std::fs::write(&temporary, content.to_string()))
        .and_then(|()| std::fs::rename(&temporary, dir.join(file)));
}

fn parse<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn folder(driver: &str) -> String {
    driver.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_results_are_not_run_and_lacks_have_reasons() {
        let dir = tempfile::tempdir().unwrap();
        declare(dir.path(), "one", "1.2.3", &[(Requirement::Traverse, "no listing")]);
        leave(dir.path(), "one", "1.2.3", "B02", Verdict::Pass, "");
        leave(dir.path(), "one", "1.2.3", "B03", Verdict::Known, "https://example.org/1");
        let matrix = Matrix::read(dir.path(), &["one", "two"]).unwrap();
        let cell = |driver: usize, id: &str| {
            let cells = &matrix.drivers[driver].clauses;
            cells.iter().find(|cell| cell.id == id).unwrap().clone()
        };
        assert_eq!(cell(0, "B02").verdict, Verdict::Pass);
        assert_eq!(cell(0, "B03").verdict, Verdict::Known);
        assert_eq!(cell(0, "B04").verdict, Verdict::NotRun);
        assert_eq!(cell(0, "T01").verdict, Verdict::NotApplicable);
        assert_eq!(cell(0, "T01").reason, "Traverse: no listing");
        assert_eq!(matrix.drivers[0].version, "1.2.3");
        assert!(matrix.drivers[1].clauses.iter().all(|cell| cell.verdict == Verdict::NotRun));
        assert!(!matrix.is_green());
        assert!(matrix.text().contains("not run"));

        let json: serde_json::Value = serde_json::from_str(&matrix.json()).unwrap();
        let first = &json["drivers"][0]["clauses"][1];
        assert_eq!(first["id"], "B02");
        assert_eq!(first["level"], "basic");
        assert_eq!(first["must"], true);
        assert_eq!(first["verdict"], "pass");
        assert_eq!(first["reason"], "");
    }

    #[test]
    fn result_wins_over_older_declaration() {
        let dir = tempfile::tempdir().unwrap();
        declare(dir.path(), "one", "1", &[(Requirement::Damage, "no way in")]);
        let cell = || {
            let matrix = Matrix::read(dir.path(), &["one"]).unwrap();
            let cell = matrix.drivers[0].clauses.iter().find(|cell| cell.id == "F01").unwrap().clone();
            (cell.verdict, cell.reason)
        };
        assert_eq!(cell(), (Verdict::NotApplicable, "Damage: no way in".to_owned()));
        leave(dir.path(), "one", "1", "F01", Verdict::Error, "no damage()");
        assert_eq!(cell(), (Verdict::Error, "no damage()".to_owned()));
        leave(dir.path(), "one", "1", "F01", Verdict::Pass, "");
        assert_eq!(cell().0, Verdict::Pass);
    }

    #[test]
    fn new_declaration_removes_older_results() {
        let dir = tempfile::tempdir().unwrap();
        for id in ["B02", "F01"] {
            leave(dir.path(), "one", "1", id, Verdict::Fail, "text");
        }
        declare(dir.path(), "one", "1", &[(Requirement::Damage, "no way in")]);
        let matrix = Matrix::read(dir.path(), &["one"]).unwrap();
        let verdict = |id| matrix.drivers[0].clauses.iter().find(|cell| cell.id == id).unwrap().verdict;
        assert_eq!((verdict("B02"), verdict("F01")), (Verdict::Fail, Verdict::NotApplicable));
    }

    #[test]
    fn reset_removes_results_and_empty_is_not_green() {
        let dir = tempfile::tempdir().unwrap();
        leave(dir.path(), "one", "1", "B02", Verdict::Pass, "");
        reset(dir.path()).unwrap();
        let matrix = Matrix::read(dir.path(), &[]).unwrap();
        assert!(matrix.drivers.is_empty() && !matrix.is_green());
    }
}

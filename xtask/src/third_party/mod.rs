//! `cargo xtask conformance --third-party`: runs the suite over published stores of other projects, and writes
//! THIRD-PARTY.md.

mod findings;
mod groups;
mod page;
mod results;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Result, cargo, test};
use groups::{GROUPS, Group};
use results::{Results, slug};

/// The folder of the workspaces, the adapter and the results.
const FOLDER: &str = "third-party";
const PAGE: &str = "THIRD-PARTY.md";

/// A file system in memory. The stores on disk are there.
const MEMORY: &str = "/dev/shm";

/// The limit of one store. The runner itself stops asking after five minutes.
const STORE: Duration = Duration::from_secs(400);
const PROGRAM: Duration = Duration::from_secs(60);

/// Runs the stores whose group or name contains `only`, or all, and writes the page. The other stores keep their results.
pub(crate) fn run(only: Option<&str>) -> Result {
    let mut asked = 0;
    for group in GROUPS {
        let wanted = |name: &str| only.is_none_or(|only| group.folder.contains(only) || name.contains(only));
        let stores: Vec<&str> = group.stores.iter().copied().filter(|name| wanted(name)).collect();
        if stores.is_empty() {
            continue;
        }
        asked += stores.len();
        match build(group) {
            Ok(built) => {
                for store in stores {
                    note(store, ask(&built, store))?;
                }
                for program in group.programs {
                    show(group, &built, program)?;
                }
            }
            Err(error) => {
                eprintln!("xtask: {error}");
                for store in stores {
                    note(store, Err("its workspace does not build here".into()))?;
                }
            }
        }
    }
    if asked == 0 {
        return Err(format!("no store or group {:?}", only.unwrap_or_default()).into());
    }
    write_page()
}

/// Writes the page from the results of the last runs.
pub(crate) fn write_page() -> Result {
    let results = Results::read(&folder())?;
    fs::write(cargo::root().join(PAGE), page::render(&results)?)?;
    eprintln!("{PAGE} is written");
    for (name, reason) in results.not_run() {
        eprintln!("not run: {name}: {reason}");
    }
    Ok(())
}

fn folder() -> PathBuf {
    cargo::root().join(FOLDER)
}

/// The programs of a group.
struct Built {
    runner: PathBuf,
    examples: Vec<(String, PathBuf)>,
}

fn build(group: &Group) -> Result<Built> {
    let manifest = folder().join(group.folder).join("Cargo.toml").display().to_string();
    let target = cargo::target()?.join("third-party").display().to_string();
    let programs = cargo::build(&[
        "build",
        "--locked",
        "--bins",
        "--examples",
        "--manifest-path",
        &manifest,
        "--target-dir",
        &target,
    ])?;
    let runner = format!("third-party-{}", group.folder);
    let mut built = Built { runner: PathBuf::new(), examples: Vec::new() };
    for program in programs {
        if program.name == runner {
            built.runner = program.path;
        } else {
            built.examples.push((program.name, program.path));
        }
    }
    Ok(built)
}

/// The result of a store, as its runner prints it.
fn ask(built: &Built, store: &str) -> Result<Value> {
    eprintln!("\n{store}:");
    let mut command = Command::new(&built.runner);
    // No clause of this run is about power loss, and a sync takes no time there.
    if Path::new(MEMORY).is_dir() {
        command.env("TMPDIR", MEMORY);
    }
    let text = output(command.args(["run", store]), STORE)?;
    Ok(serde_json::from_str(&text)?)
}

/// Writes the result of a store, or the reason for its lack, with the date.
fn note(store: &str, result: Result<Value>) -> Result {
    let mut result = result.unwrap_or_else(|error| json!({ "name": store, "not_run": error.to_string() }));
    result["date"] = today()?.into();
    results::write(&folder(), &slug(store), &result)
}

/// Runs a program of a finding, and keeps its output.
fn show(group: &Group, built: &Built, name: &str) -> Result {
    let found = built.examples.iter().find(|(known, _)| known == name);
    let (_, path) = found.ok_or_else(|| format!("{}/examples has no {name}", group.folder))?;
    let mut command = if group.server {
        let mut command = Command::new(&built.runner);
        command.arg("with-server").arg(path);
        command
    } else {
        Command::new(path)
    };
    eprintln!("\n{name}:");
    let text = output(&mut command, PROGRAM)?;
    eprint!("{text}");
    let result = json!({ "program": format!("{}/examples/{name}.rs", group.folder), "output": text, "date": today()? });
    results::write(&folder(), &format!("program-{name}"), &result)
}

/// The standard output of a program that succeeds within `limit`. It goes through a file, because processes that outlive
/// the program would keep a pipe open.
fn output(command: &mut Command, limit: Duration) -> Result<String> {
    let path = cargo::target()?.join("third-party").join(format!("output-{}.txt", std::process::id()));
    let mut child = command.stdin(Stdio::null()).stdout(fs::File::create(&path)?).spawn()?;
    let began = test::stopwatch();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if began.elapsed() < limit => test::pause(),
            None => {
                child.kill()?;
                child.wait()?;
                return Err(format!("it took longer than {} s", limit.as_secs()).into());
            }
        }
    };
    let text = fs::read_to_string(&path)?;
    fs::remove_file(&path)?;
    if status.success() { Ok(text) } else { Err(format!("its program failed ({status})").into()) }
}

/// The date in UTC.
fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_what_the_results_render() {
        let results = Results::read(&folder()).expect("the results are readable");
        let page = fs::read_to_string(cargo::root().join(PAGE)).expect("the page is readable");
        let again = page::render(&results).expect("the results render");
        assert!(page == again, "{PAGE} is out of date: cargo xtask conformance --third-party");
    }

    #[test]
    fn at_least_ten_stores_have_run() {
        let results = Results::read(&folder()).expect("the results are readable");
        assert!(results.stores().count() >= 10, "{} stores", results.stores().count());
    }

    #[test]
    fn findings_with_causes_were_seen() {
        let results = Results::read(&folder()).expect("the results are readable");
        for finding in findings::FINDINGS {
            let seen = results.stores().any(|store| !finding.clauses_of(&store).is_empty());
            assert!(seen || finding.is_without_clause(), "no store shows: {}", finding.title);
        }
        for title in ["save after a delete", "Expired sessions", "taken id is overwritten", "Torn reads"] {
            assert!(findings::FINDINGS.iter().any(|finding| finding.title.contains(title)), "{title}");
        }
    }

    #[test]
    fn groups_name_every_example_and_findings_every_program() {
        let programs: Vec<String> = GROUPS
            .iter()
            .flat_map(|group| {
                group.programs.iter().map(|name| format!("{}/examples/{name}.rs", group.folder))
            })
            .collect();
        for group in GROUPS {
            let folder = folder().join(group.folder).join("examples");
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let name = entry.expect("a folder that can be listed").file_name();
                let path = format!("{}/examples/{}", group.folder, name.to_string_lossy());
                assert!(programs.contains(&path), "no group runs {path}");
            }
        }
        let shown: Vec<&str> = findings::FINDINGS
            .iter()
            .flat_map(|finding| finding.programs.iter().map(|(path, _)| *path))
            .collect();
        for program in &programs {
            assert!(shown.contains(&program.as_str()), "no finding shows {program}");
        }
    }
}

//! The program of a workspace of stores.

use std::process::ExitCode;

use serde_json::json;

use crate::judge;
use crate::probe;
use crate::report::version;
use crate::store::Store;

/// A store of the program.
pub struct Entry {
    name: &'static str,
    package: &'static str,
    library: &'static str,
    engine: fn() -> Option<String>,
    run: fn() -> Vec<serde_json::Value>,
    serve: fn(&str),
}

/// The entry of a store.
#[must_use]
pub fn entry<S: Store>() -> Entry {
    Entry {
        name: S::NAME,
        package: S::PACKAGE,
        library: S::TRAIT,
        engine: S::engine,
        run: || {
            let judged = judge::judge::<S>();
            let clauses = judged.iter().flat_map(|(clause, cell)| {
                let half: Vec<_> = if clause.id == "E01" { probe::probe::<S>().into() } else { Vec::new() };
                std::iter::once(cell.json(clause)).chain(half)
            });
            clauses.collect()
        },
        serve: |test| {
            // Plays the role of a child process, and ends it.
            let _ = judge::suite::<S>().examine("B02", test, std::time::Duration::from_secs(1));
        },
    }
}

const USAGE: &str = "usage: PROGRAM list | run STORE\n";

/// `list` prints the names of the stores, one a line. `run STORE` prints the store's result as JSON; progress goes to
/// stderr. `lock` is the workspace's `Cargo.lock`.
#[must_use]
pub fn main(lock: &str, entries: &[Entry]) -> ExitCode {
    if let Some(tag) = session_conformance::child_tag() {
        if let Some(entry) = entries.iter().find(|entry| entry.name == tag) {
            (entry.serve)("role");
        }
        return ExitCode::from(3);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => {
            entries.iter().for_each(|entry| println!("{}", entry.name));
            ExitCode::SUCCESS
        }
        ["run", name] => match entries.iter().find(|entry| entry.name == name) {
            Some(entry) => {
                let result = json!({
                    "name": entry.name,
                    "package": entry.package,
                    "version": version(lock, entry.package),
                    "trait": entry.library,
                    "engine": (entry.engine)(),
                    "clauses": (entry.run)(),
                });
                println!("{result:#}");
                ExitCode::SUCCESS
            }
            None => {
                eprintln!("no store {name:?}");
                ExitCode::from(2)
            }
        },
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

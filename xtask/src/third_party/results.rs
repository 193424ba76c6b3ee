//! The results of the last runs, one JSON file per store and program.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::groups::{CONTROL, GROUPS};
use crate::Result;

/// All results, by the names of their files.
pub(crate) struct Results(BTreeMap<String, Value>);

/// The file of a store.
pub(crate) fn slug(store: &str) -> String {
    let parts = store.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase()
}

pub(crate) fn write(folder: &Path, name: &str, result: &Value) -> Result {
    let folder = folder.join("results");
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(format!("{name}.json")), format!("{result:#}\n"))?)
}

/// A verdict of a clause on a store.
pub(crate) struct Cell<'a> {
    pub(crate) id: &'a str,
    /// `pass`, `fail`, `trait`, `n/a`, `error` or `not run`.
    pub(crate) verdict: &'a str,
    pub(crate) reason: &'a str,
}

/// A store that has run.
pub(crate) struct Store<'a> {
    pub(crate) name: &'a str,
    result: &'a Value,
    control: &'a Value,
}

impl Results {
    /// Reads the folder `results`.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(folder.join("results"))? {
            let path = entry?.path();
            if let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) {
                let value = serde_json::from_str(&fs::read_to_string(&path)?);
                all.insert(name.to_owned(), value.map_err(|error| format!("{}: {error}", path.display()))?);
            }
        }
        Ok(Self(all))
    }

    fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::Null)
    }

    fn names() -> impl Iterator<Item = &'static str> {
        GROUPS.iter().flat_map(|group| group.stores).copied().filter(|name| *name != CONTROL)
    }

    /// The stores that have run, in the order of the page.
    pub(crate) fn stores(&self) -> impl Iterator<Item = Store<'_>> {
        let control = self.get(CONTROL);
        let all = Self::names().map(move |name| Store { name, result: self.get(&slug(name)), control });
        all.filter(|store| store.result["clauses"].is_array())
    }

    /// The stores that have not run, and why.
    pub(crate) fn not_run(&self) -> impl Iterator<Item = (&'static str, &str)> {
        Self::names().filter(|name| !self.get(&slug(name))["clauses"].is_array()).map(|name| {
            let reason = self.get(&slug(name))["not_run"].as_str();
            (name, reason.unwrap_or("it has no result"))
        })
    }

    /// The control, of which only the failures count.
    pub(crate) fn control(&self) -> Store<'_> {
        Store { name: CONTROL, result: self.get(CONTROL), control: &Value::Null }
    }

    /// The output of a program, and the date of its run.
    pub(crate) fn program(&self, path: &str) -> Result<(&str, &str)> {
        let name = path.rsplit('/').next().and_then(|file| file.strip_suffix(".rs")).unwrap_or(path);
        let result = self.get(&format!("program-{name}"));
        let text = |key: &str| result[key].as_str().ok_or_else(|| format!("no result of {path}"));
        Ok((text("output")?, text("date")?))
    }
}

impl<'a> Store<'a> {
    /// A text of the result; empty for a missing one.
    pub(crate) fn text(&self, key: &str) -> &'a str {
        self.result[key].as_str().unwrap_or_default()
    }

    /// All clauses in the order of the specification.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Cell<'a>> + use<'a> {
        let control = self.control;
        self.result["clauses"].as_array().into_iter().flatten().map(move |cell| {
            let text = |key: &str| cell[key].as_str().unwrap_or_default();
            let verdict = match text("verdict") {
                "fail" if fails(control, text("id")) => "trait",
                verdict => verdict,
            };
            Cell { id: text("id"), verdict, reason: text("reason") }
        })
    }

    pub(crate) fn cell(&self, id: &str) -> Option<Cell<'a>> {
        self.cells().find(|cell| cell.id == id)
    }

    /// How many clauses have this verdict.
    pub(crate) fn count(&self, verdict: &str) -> usize {
        self.cells().filter(|cell| cell.verdict == verdict).count()
    }
}

fn fails(result: &Value, id: &str) -> bool {
    let clauses = result["clauses"].as_array().into_iter().flatten();
    clauses.into_iter().any(|cell| cell["id"] == id && cell["verdict"] == "fail")
}

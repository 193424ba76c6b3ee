//! The result of one store as JSON, with the cells of the conformance matrix.

use serde_json::{Value, json};
use session_conformance::Clause;

/// The verdict of a clause.
pub(crate) struct Cell {
    pub(crate) verdict: &'static str,
    pub(crate) reason: String,
}

impl Cell {
    pub(crate) fn new(verdict: &'static str, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into() }
    }

    pub(crate) fn json(&self, clause: &Clause) -> Value {
        json!({
            "id": clause.id,
            "level": clause.level.as_str(),
            "must": clause.must,
            "verdict": self.verdict,
            "reason": self.reason,
        })
    }
}

/// The version of `package` in a `Cargo.lock`.
pub(crate) fn version(lock: &str, package: &str) -> Option<String> {
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    lines.next()?;
    Some(lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')?.to_owned())
}

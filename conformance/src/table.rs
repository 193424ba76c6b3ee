//! The table of clauses: the source of the tests and of the matrix. Its rows are in `rows.rs`, its sentences in SPEC.md.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;

use crate::clauses;
use crate::failure::Check;
use crate::level::{Level, Requirement};
use crate::spec;
use crate::stage::Stage;

/// One rule of the specification, and the function that checks it.
#[derive(Clone, Copy)]
pub struct Clause {
    /// Its stable id, which is never used again.
    pub id: &'static str,
    /// The name of its test, which begins with the id.
    pub name: &'static str,
    /// Its level.
    pub level: Level,
    /// Whether it is a MUST, rather than a SHOULD.
    pub must: bool,
    /// The requirements for the clause to apply to a driver.
    pub needs: &'static [Requirement],
    /// The rule, in one sentence.
    pub text: &'static str,
    /// Why it is there, and its limits: the lines below it in SPEC.md.
    pub reason: &'static str,
    pub(crate) check: for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = Check> + Send + 'a>>,
}

impl Clause {
    /// MUST or SHOULD.
    #[must_use]
    pub const fn strength(&self) -> &'static str {
        if self.must { "MUST" } else { "SHOULD" }
    }
}

impl fmt::Debug for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: {}", self.id, self.level, self.strength(), self.text)
    }
}

/// The clause with this id.
#[must_use]
pub fn clause(id: &str) -> Option<&'static Clause> {
    CLAUSES.iter().find(|clause| clause.id == id)
}

macro_rules! data {
    ($($id:ident $name:ident $level:ident [$($need:ident)*] $mutants:tt;)*) => {
        /// Every clause, in order. Those of level session are there with the features `session` and `session-all`.
        pub static CLAUSES: LazyLock<Vec<Clause>> = LazyLock::new(|| {
            let written = spec::parse(spec::PAGE);
            let on_page = |id| written.iter().find(|one| one.id == id).expect("SPEC.md has each clause");
            let mut all = vec![$(Clause {
                id: stringify!($id),
                name: stringify!($name),
                level: Level::from_word(stringify!($level)).expect("a row names its level"),
                must: on_page(stringify!($id)).strength == "MUST",
                needs: &[$(Requirement::$need),*],
                text: on_page(stringify!($id)).text,
                reason: on_page(stringify!($id)).reason,
                check: |stage| Box::pin(clauses::$level::$name(stage)),
            }),*];
            all.sort_by_key(|clause| (clause.level, clause.id.len(), clause.id));
            all
        });
    };
}

crate::__clauses! { data }

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_match_names_and_levels() {
        let mut seen = HashSet::new();
        for clause in CLAUSES.iter() {
            assert!(seen.insert(clause.id), "{} stands twice", clause.id);
            assert!(clause.name.starts_with(&format!("{}_", clause.id.to_lowercase())), "{clause:?}");
            let letter = match clause.level {
                Level::Shared => "P",
                level => &level.as_str()[..1].to_uppercase(),
            };
            assert!(clause.id.starts_with(letter), "{clause:?}");
        }
    }
}

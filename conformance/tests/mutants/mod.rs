//! Each clause is shown to bite: for every defect that its row names, the driver with that defect fails it.

use std::collections::HashSet;
use std::time::Duration;

use session_conformance::{CLAUSES, Failure, Level, Place, Suite, child_tag, clause};

use crate::reference::{Defect, ReferenceHarness};

/// Long enough for a slow machine; a mutant that hangs has failed too.
const PATIENCE: Duration = Duration::from_secs(60);

macro_rules! mutants {
    ($($id:ident $name:ident $level:ident $needs:tt [$($mutant:ident)*];)*) => {
        const TABLE: &[(&str, &[Defect])] = &[$((stringify!($id), &[$(Defect::$mutant),*])),*];

        /// One test per clause, named like the clause's own.
        mod fails {
            use super::{Defect, each_is_caught};
            $(
                #[test]
                fn $name() {
                    each_is_caught(stringify!($id), stringify!($name), &[$(Defect::$mutant),*]);
                }
            )*
        }
    };
}

session_conformance::__clauses! { mutants }

/// The suite of a mutant in a test of `module`.
fn suite(module: &'static str, defect: Defect, power: bool) -> Suite {
    let harness = ReferenceHarness { defect, power, ..ReferenceHarness::default() };
    suite_of(module, harness).tagged(format!("{defect:?}")).recovering_within(Duration::from_secs(2))
}

fn suite_of(module: &'static str, harness: ReferenceHarness) -> Suite {
    let place = Place {
        package: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        target: env!("CARGO_CRATE_NAME"),
        module,
        scratch: env!("CARGO_TARGET_TMPDIR"),
    };
    Suite::new(harness, place, &[], &[])
}

const FAILS: &str = concat!(module_path!(), "::fails");

fn each_is_caught(id: &str, test: &str, mutants: &[Defect]) {
    if let Some(tag) = child_tag() {
        // This process is the child of a mutant: it takes the same defect and plays its role.
        let defect = Defect::ALL.iter().find(|defect| format!("{defect:?}") == tag);
        let _ = suite(FAILS, *defect.unwrap(), id == "D08").examine(id, test, PATIENCE);
        return;
    }
    for &defect in mutants {
        match suite(FAILS, defect, id == "D08").examine(id, test, PATIENCE) {
            Err(Failure::Unmet { expected, actual }) => {
                eprintln!("{id} catches {defect:?}: expected {expected}; got {actual}");
            }
            Err(Failure::Harness(text)) => panic!("{id}: the harness failed for {defect:?}: {text}"),
            Ok(()) => panic!("{id} does not notice {defect:?}"),
        }
    }
}

#[test]
fn every_clause_has_enough_mutants() {
    for (id, mutants) in TABLE {
        let clause = clause(id).unwrap();
        let least = if clause.level <= Level::Concurrent { 1 } else { 2 };
        let distinct: HashSet<_> = mutants.iter().collect();
        assert!(distinct.len() >= least, "{clause:?} has {} mutants and needs {least}", distinct.len());
    }
    assert_eq!(TABLE.len(), CLAUSES.len());
}

#[test]
fn every_defect_is_named_by_a_clause() {
    // One needs a tracer, one is a defect of the harness, and one tests the suite itself. They have their own tests.
    let others = [Defect::PowerDoesNotSync, Defect::PowerWithoutEvidence, Defect::RetrievePanics];
    for defect in Defect::ALL.iter().filter(|defect| !others.contains(defect)) {
        assert!(TABLE.iter().any(|(_, mutants)| mutants.contains(defect)), "no clause names {defect:?}");
    }
}

#[test]
fn d08_passes_with_syncs_and_evidence() {
    let test = "d08_passes_with_syncs_and_evidence";
    let outcome = suite(module_path!(), Defect::Nothing, true).examine("D08", test, PATIENCE);
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn d08_trace_catches_missing_sync() {
    let test = "d08_trace_catches_missing_sync";
    let outcome = suite(module_path!(), Defect::PowerDoesNotSync, true).examine("D08", test, PATIENCE);
    let can_trace = std::process::Command::new("strace").arg("-V").output().is_ok();
    assert_eq!(outcome.is_err(), can_trace, "{outcome:?}");
}

#[test]
fn d08_passes_if_one_handle_locks_the_store() {
    let test = "d08_passes_if_one_handle_locks_the_store";
    let harness = ReferenceHarness { power: true, exclusive: true, ..ReferenceHarness::default() };
    let outcome = suite_of(module_path!(), harness).examine("D08", test, PATIENCE);
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn f07_passes_if_space_is_freed_between_stores() {
    let test = "f07_passes_if_space_is_freed_between_stores";
    let defect = Defect::FullReusesLittle;
    let harness = ReferenceHarness { defect, grows: true, ..ReferenceHarness::default() };
    let outcome = suite_of(module_path!(), harness).examine("F07", test, PATIENCE);
    assert!(outcome.is_ok(), "{outcome:?}");
}

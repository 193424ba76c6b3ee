//! The suite over the reference driver: it passes everything. Every mutant of it fails the clauses that name it.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a driver for tests: it may panic, and it waits in order to lose races"
)]

mod mutants;
mod reference;
mod testing;
mod verdicts;

session_conformance::suite!(
    reference::ReferenceHarness::default(),
    lacks: { PowerLoss: "only with its option `power`; clause D08 is tried with that among the mutants" },
);

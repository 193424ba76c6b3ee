//! Runs the clauses on one store.

use std::time::{Duration, Instant};

use session_conformance::{CLAUSES, Clause, Failure, Level, Place, Requirement, Suite};

use crate::report::Cell;
use crate::store::{Asked, Store};

/// How long a clause may take, and a store.
const CLAUSE: Duration = Duration::from_secs(40);
const STORE: Duration = Duration::from_secs(300);

/// How often a clause with concurrent tasks is tried. A race may be won by luck, so one failure counts.
const RACES: usize = 3;

/// Requirements beyond the four calls, and requirements that this run does not try.
const LACKS: &[(Requirement, &str)] = &[
    (Requirement::Traverse, "the trait lists no sessions"),
    (Requirement::ExactlyOnce, "the trait lists no sessions"),
    (Requirement::AtOnce, "not a claim of the trait"),
    (Requirement::Purge, "the trait's cleanup has no limit and no count"),
    (Requirement::VirtualTime, "the store reads the system's clock"),
    (Requirement::ValueBound, "the store states no largest value"),
    (Requirement::PowerLoss, "not tried: power loss is a matter of the engine's settings"),
    (Requirement::Processes, "not tried: this run asks one process"),
    (Requirement::Damage, "not tried: this run damages no store"),
    (Requirement::Checksum, "not tried: this run damages no store"),
    (Requirement::Index, "not tried: this run damages no store"),
    (Requirement::Outage, "not tried: this run stops no engine"),
    (Requirement::Full, "not tried: this run fills no disk"),
    (Requirement::Permission, "not tried: this run takes no rights away"),
    (Requirement::Files, "not tried: this run moves no files"),
];

/// Clauses that would say something about the adapter and nothing about the store.
const UNASKED: &[(&str, &str)] = &[
    ("B06", "values are JSON; the adapter encodes the data"),
    ("B09", "ids are drawn by the library; the adapter hashes the suite's keys"),
    ("B10", "ids are drawn by the library; the adapter hashes the suite's keys"),
    ("B11", "ids are drawn by the library; the adapter hashes the suite's keys"),
    ("B12", "ids are drawn by the library; the adapter hashes the suite's keys"),
    ("B22", "the revision is a value of the session, which the adapter encodes"),
    ("B30", "stores records of 24 MiB, which takes too long without optimization"),
    ("B31", "needs the errors of a closed store, and the trait has no close"),
    ("B32", "the trait has no close"),
    ("B33", "the trait has no flush"),
    ("C17", "the trait has no close"),
    ("D04", "its history has concurrent conditional changes, which the four calls cannot order (C11)"),
    ("D05", "its history has concurrent conditional changes, which the four calls cannot order (C11)"),
    ("D06", "its history has concurrent conditional changes, which the four calls cannot order (C11)"),
];

/// The suite of a store. The seed is fixed, so that a run can be repeated.
pub(crate) fn suite<S: Store>() -> Suite {
    let place =
        Place { package: S::PACKAGE, version: "", target: "third-party", module: "third_party", scratch: "" };
    Suite::new(Asked::<S>::default(), place, &lacks::<S>(), &[]).tagged(S::NAME)
}

/// The requirements that a store lacks. Those of the store come first and replace the general ones.
fn lacks<S: Store>() -> Vec<(Requirement, &'static str)> {
    let own = S::LACKS.iter();
    let general = LACKS.iter().filter(|(need, _)| !S::LACKS.iter().any(|(own, _)| own == need));
    own.chain(general).copied().collect()
}

/// All clauses in order.
pub(crate) fn judge<S: Store>() -> Vec<(&'static Clause, Cell)> {
    let (suite, lacks) = (suite::<S>(), lacks::<S>());
    let start = stopwatch();
    CLAUSES
        .iter()
        .map(|clause| {
            let cell = not_asked::<S>(clause, &lacks).unwrap_or_else(|| {
                if start.elapsed() > STORE {
                    return Cell::new("not run", "the store's time was over");
                }
                try_often(&suite, clause)
            });
            eprintln!("{:<4} {} {}", clause.id, cell.verdict, cell.reason);
            (clause, cell)
        })
        .collect()
}

fn not_asked<S: Store>(clause: &Clause, lacks: &[(Requirement, &'static str)]) -> Option<Cell> {
    let unasked = S::UNASKED.iter().chain(UNASKED).find(|(id, _)| *id == clause.id);
    let lacked = clause.needs.iter().find_map(|need| lacks.iter().find(|(lacked, _)| lacked == need));
    let reason = unasked.map(|(_, why)| (*why).to_owned());
    let reason = reason.or_else(|| lacked.map(|(need, why)| format!("{need}: {why}")));
    reason.map(|reason| Cell::new("n/a", reason))
}

fn try_often(suite: &Suite, clause: &Clause) -> Cell {
    let races = matches!(clause.level, Level::Concurrent | Level::Shared);
    for _ in 0..if races { RACES } else { 1 } {
        match suite.examine(clause.id, clause.name, CLAUSE) {
            Ok(()) => {}
            // A slow machine looks the same as a call that hangs, so this says nothing about the store.
            Err(Failure::Unmet { expected, .. }) if expected.starts_with("the clause ends within") => {
                return Cell::new("not run", format!("it took longer than {} s", CLAUSE.as_secs()));
            }
            Err(Failure::Unmet { expected, actual }) => {
                return Cell::new("fail", format!("expected {}; got {}", cut(&expected), cut(&actual)));
            }
            Err(Failure::Harness(text)) => return Cell::new("error", cut(&text)),
        }
    }
    Cell::new("pass", "")
}

/// The beginning of a text, on one line.
fn cut(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(240) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[expect(clippy::disallowed_methods, reason = "bounds a run of stores that read the system's clock")]
fn stopwatch() -> Instant {
    Instant::now()
}

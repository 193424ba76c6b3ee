//! The verdict, the message and the result file of a check; declarations cannot be bypassed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use session_conformance::matrix::{Matrix, Verdict, reset};
use session_conformance::testing::FreshPath;
use session_conformance::{CLAUSES, Failure, Harness, HarnessError, Place, Requirement, Suite, Time, clause};
use session_core::{Clock, SystemClock};

use crate::reference::{Defect, Defective, ReferenceHarness};

const PATIENCE: Duration = Duration::from_secs(60);

fn suite(
    harness: impl Harness,
    lacks: &[(Requirement, &'static str)],
    known: &[(&'static str, &'static str)],
    dir: &Path,
) -> Suite {
    let place = Place {
        package: "some-driver",
        version: "1.2.3",
        target: "conformance",
        module: "conformance",
        scratch: env!("CARGO_TARGET_TMPDIR"),
    };
    Suite::new(harness, place, lacks, known).leaving_results_in(dir)
}

fn with(defect: Option<Defect>) -> ReferenceHarness {
    ReferenceHarness { defect, power: false }
}

const LACKS: &[(Requirement, &str)] = &[(Requirement::PowerLoss, "no such option")];

/// Runs the test of a clause; gives its panic, the verdict that it left, and the reason.
fn run(suite: &Suite, id: &str, dir: &Path) -> (Option<String>, Verdict, String) {
    let name = clause(id).unwrap().name;
    let panic = catch_unwind(AssertUnwindSafe(|| suite.run(name))).err();
    let panic = panic.map(|panic| panic.downcast_ref::<String>().cloned().unwrap());
    let matrix = Matrix::read(dir, &["reference"]).unwrap();
    let cell = matrix.drivers[0].clauses.iter().find(|cell| cell.id == id).unwrap().clone();
    (panic, cell.verdict, cell.reason)
}

fn fresh() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let results = dir.path().join("results");
    (dir, results)
}

#[test]
fn failure_shows_clause_result_and_command() {
    let (_guard, dir) = fresh();
    let (panic, verdict, reason) =
        run(&suite(with(Some(Defect::RemoveKeeps)), LACKS, &[], &dir), "B13", &dir);
    let text = panic.unwrap();
    let clause = clause("B13").unwrap();
    for part in [
        "driver:   reference (some-driver 1.2.3)",
        "clause:   B13 (MUST, level basic)",
        clause.text,
        "expected: a removed record: no record",
        "actual:   Record",
        "cargo test -p some-driver --test conformance b13_",
        "SESSION_KIT_SEED=",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    assert_eq!(verdict, Verdict::Fail);
    assert!(reason.contains("no record"), "{reason}");
}

#[test]
fn known_failure_passes_until_it_is_fixed() {
    let (_guard, dir) = fresh();
    let known = &[("B13", "https://example.org/13")];
    let failing = suite(with(Some(Defect::RemoveKeeps)), LACKS, known, &dir);
    assert_eq!(run(&failing, "B13", &dir), (None, Verdict::Known, "https://example.org/13".into()));
    let (panic, verdict, _) = run(&suite(with(None), LACKS, known, &dir), "B13", &dir);
    assert!(panic.unwrap().contains("take it out of `known`"));
    assert_eq!(verdict, Verdict::Fail);
}

#[test]
fn unknown_id_in_known_fails() {
    let (_guard, dir) = fresh();
    let (panic, ..) = run(&suite(with(None), LACKS, &[("B99", "a link")], &dir), "B01", &dir);
    assert!(panic.unwrap().contains("B99"));
}

#[test]
fn declaring_too_much_or_too_little_fails_b01() {
    let (_guard, dir) = fresh();
    assert_eq!(run(&suite(with(None), LACKS, &[], &dir), "B01", &dir).1, Verdict::Pass);
    let (panic, verdict, _) = run(&suite(with(None), &[], &[], &dir), "B01", &dir);
    assert!(panic.unwrap().contains("meets PowerLoss, or `lacks` names it"));
    assert_eq!(verdict, Verdict::Fail);
    for need in [
        Requirement::Traverse,
        Requirement::Purge,
        Requirement::Conditional,
        Requirement::Kill,
        Requirement::Processes,
        Requirement::VirtualTime,
    ] {
        let lacks = [(Requirement::PowerLoss, "no such option"), (need, "an excuse")];
        let (panic, ..) = run(&suite(with(None), &lacks, &[], &dir), "B01", &dir);
        assert!(panic.unwrap().contains(&format!("does not meet {need}")), "{need}");
    }
}

#[test]
fn lacked_clauses_are_not_applicable_with_a_reason() {
    let (_guard, dir) = fresh();
    reset(&dir).unwrap();
    let _ = run(&suite(with(None), LACKS, &[], &dir), "B01", &dir);
    let matrix = Matrix::read(&dir, &["reference"]).unwrap();
    for cell in &matrix.drivers[0].clauses {
        let expected = match cell.id.as_str() {
            "B01" => Verdict::Pass,
            "D08" => Verdict::NotApplicable,
            _ => Verdict::NotRun,
        };
        assert_eq!(cell.verdict, expected, "{cell:?}");
        if cell.id == "D08" {
            assert_eq!(cell.reason, "PowerLoss: no such option");
        }
    }
    assert!(!matrix.is_green());
}

/// A harness whose storage cannot be made, or whose own clock is the real one.
#[derive(Clone, Copy)]
enum Odd {
    NoDisk,
    RealTime,
}

impl Harness for Odd {
    type Driver = Defective;
    type Storage = FreshPath;

    fn name(&self) -> String {
        "reference".into()
    }

    async fn create(&self) -> Result<FreshPath, HarnessError> {
        match self {
            Self::NoDisk => Err(std::io::Error::other("the disk is missing"))?,
            Self::RealTime => ReferenceHarness::default().create().await,
        }
    }

    async fn open(&self, storage: &FreshPath, _: Arc<dyn Clock>) -> Result<Defective, HarnessError> {
        ReferenceHarness::default().open(storage, SystemClock::shared()).await
    }

    fn time(&self) -> Time {
        Time::Real
    }
}

#[test]
fn harness_failure_is_a_red_error() {
    let (_guard, dir) = fresh();
    let (panic, verdict, reason) = run(&suite(Odd::NoDisk, LACKS, &[], &dir), "B02", &dir);
    let text = panic.unwrap();
    assert!(text.contains("the harness failed") && text.contains("the disk is missing"), "{text}");
    assert_eq!((verdict, reason.as_str()), (Verdict::Error, "the disk is missing"));
}

#[test]
fn driver_with_its_own_clock_is_waited_for() {
    // All at once, so that their waits overlap.
    let threads: Vec<_> = CLAUSES
        .iter()
        .filter(|clause| {
            ["T06", "T13"].contains(&clause.id) || clause.level == session_conformance::Level::Expiry
        })
        .filter(|clause| !clause.needs.contains(&Requirement::VirtualTime))
        .map(|clause| {
            std::thread::spawn(move || {
                let (_guard, dir) = fresh();
                let lacks = [(Requirement::VirtualTime, "the engine has its own clock")];
                let outcome =
                    suite(Odd::RealTime, &lacks, &[], &dir).examine(clause.id, clause.name, PATIENCE);
                assert!(outcome.is_ok(), "{clause:?}: {outcome:?}");
            })
        })
        .collect();
    assert!(threads.len() >= 8);
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn hanging_or_panicking_driver_fails() {
    let (_guard, dir) = fresh();
    let slow = suite(Odd::RealTime, &[], &[], &dir);
    let Err(Failure::Unmet { actual, .. }) = slow.examine("E02", "none", Duration::from_millis(50)) else {
        panic!("it waits for two seconds")
    };
    assert_eq!(actual, "it hangs");
    let panicking = suite(with(Some(Defect::RetrievePanics)), LACKS, &[], &dir);
    let Err(Failure::Unmet { actual, .. }) = panicking.examine("B02", "none", PATIENCE) else {
        panic!("it panics")
    };
    assert!(actual.contains("a defect of a driver"), "{actual}");
}

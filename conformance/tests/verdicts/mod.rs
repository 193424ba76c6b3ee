//! The verdict, the message and the result file of a check; declarations cannot be bypassed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use session_conformance::matrix::{Matrix, Verdict, reset};
use session_conformance::testing::FreshPath;
use session_conformance::{
    CLAUSES, Failure, Harness, HarnessResult, Level, Place, Requirement, Suite, Time, clause,
};
use session_core::{Clock, SystemClock};

use crate::reference::{Defect, Defective, ReferenceHarness};

const PATIENCE: Duration = Duration::from_secs(60);
const LACKS: &[(Requirement, &str)] = &[(Requirement::PowerLoss, "no such option")];

type Notes<T> = [(T, &'static str)];

fn suite(harness: impl Harness, lacks: &Notes<Requirement>, known: &Notes<&'static str>) -> Suite {
    let place = Place {
        package: "some-driver",
        version: "1.2.3",
        target: "conformance",
        module: "conformance",
        scratch: env!("CARGO_TARGET_TMPDIR"),
    };
    Suite::new(harness, place, lacks, known)
}

fn with(defect: Defect) -> ReferenceHarness {
    ReferenceHarness { defect, ..ReferenceHarness::default() }
}

/// Runs the test of a clause; gives its panic, the verdict that it left, and the reason.
fn run(suite: Suite, id: &str) -> (Option<String>, Verdict, String) {
    let dir = tempfile::tempdir().unwrap();
    let suite = suite.leaving_results_in(dir.path());
    let name = clause(id).unwrap().name;
    let panic = catch_unwind(AssertUnwindSafe(|| suite.run(name))).err();
    let panic = panic.map(|panic| panic.downcast_ref::<String>().cloned().unwrap());
    let matrix = Matrix::read(dir.path(), &["reference"]).unwrap();
    let cell = matrix.drivers[0].clauses.iter().find(|cell| cell.id == id).unwrap().clone();
    (panic, cell.verdict, cell.reason)
}

#[test]
fn failure_shows_clause_result_and_command() {
    let (panic, verdict, reason) = run(suite(with(Defect::RemoveKeeps), LACKS, &[]), "B13");
    let text = panic.unwrap();
    let clause = clause("B13").unwrap();
    for part in [
        "driver:   reference (some-driver 1.2.3)",
        "clause:   B13 (MUST, level basic)",
        clause.text,
        "expected: a removed record: no record",
        "actual:   Record",
        "because:  Other keys stay unchanged.",
        "change:   remove the record of this key only",
        "read:     \"Changes\" in the README of session-conformance, and B13 in SPEC.md",
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
    let known = &[("B13", "https://example.org/13")];
    let failing = suite(with(Defect::RemoveKeeps), LACKS, known);
    assert_eq!(run(failing, "B13"), (None, Verdict::Known, "https://example.org/13".into()));
    let (panic, verdict, _) = run(suite(with(Defect::Nothing), LACKS, known), "B13");
    assert!(panic.unwrap().contains("take it out of `known`"));
    assert_eq!(verdict, Verdict::Fail);
}

#[test]
fn unknown_id_in_known_fails() {
    let (panic, ..) = run(suite(with(Defect::Nothing), LACKS, &[("B99", "a link")]), "B01");
    assert!(panic.unwrap().contains("B99"));
}

#[test]
fn declaring_too_much_or_too_little_fails_b01() {
    assert_eq!(run(suite(with(Defect::Nothing), LACKS, &[]), "B01").1, Verdict::Pass);
    let (panic, verdict, _) = run(suite(with(Defect::Nothing), &[], &[]), "B01");
    assert!(panic.unwrap().contains("meets PowerLoss, or `lacks` names it"));
    assert_eq!(verdict, Verdict::Fail);
    use Requirement::{Conditional, Kill, Processes, Purge, Traverse, VirtualTime};
    for need in [Traverse, Purge, Conditional, Kill, Processes, VirtualTime] {
        let lacks = [(Requirement::PowerLoss, "no such option"), (need, "an excuse")];
        let (panic, ..) = run(suite(with(Defect::Nothing), &lacks, &[]), "B01");
        assert!(panic.unwrap().contains(&format!("does not meet {need}")), "{need}");
    }
}

#[test]
fn lacked_clauses_are_not_applicable_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    reset(dir.path()).unwrap();
    suite(with(Defect::Nothing), LACKS, &[]).leaving_results_in(dir.path()).run(clause("B01").unwrap().name);
    let matrix = Matrix::read(dir.path(), &["reference"]).unwrap();
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

    async fn create(&self) -> HarnessResult<FreshPath> {
        match self {
            Self::NoDisk => Err(std::io::Error::other("the disk is missing"))?,
            Self::RealTime => ReferenceHarness::default().create().await,
        }
    }

    async fn open(&self, storage: &FreshPath, _: Arc<dyn Clock>) -> HarnessResult<Defective> {
        ReferenceHarness::default().open(storage, SystemClock::shared()).await
    }

    fn time(&self) -> Time {
        Time::Real
    }
}

#[test]
fn harness_failure_is_a_red_error() {
    let (panic, verdict, reason) = run(suite(Odd::NoDisk, LACKS, &[]), "B02");
    let text = panic.unwrap();
    assert!(text.contains("the harness failed") && text.contains("the disk is missing"), "{text}");
    assert_eq!((verdict, reason.as_str()), (Verdict::Error, "the disk is missing"));
}

#[test]
fn d08_without_evidence_is_an_error_of_the_harness() {
    let harness = ReferenceHarness { power: true, ..with(Defect::PowerWithoutEvidence) };
    let (panic, verdict, reason) = run(suite(harness, &[], &[]), "D08");
    let text = panic.unwrap();
    assert!(text.contains("the harness failed") && !text.contains("xtask"), "{text}");
    assert!(reason.contains("no power_evidence(): write it"), "{reason}");
    assert_eq!(verdict, Verdict::Error);
}

#[test]
fn f07_failure_says_how_far_it_came() {
    let suite = suite(with(Defect::FullReusesLittle), LACKS, &[]).recovering_within(Duration::ZERO);
    let (_, verdict, reason) = run(suite, "F07");
    assert_eq!(verdict, Verdict::Fail);
    for part in [
        "record ",
        " of 15 is stored",
        "`Full` after 30 removals",
        "free_space() was called and returned false",
    ] {
        assert!(reason.contains(part), "no {part:?} in {reason}");
    }
}

#[test]
fn driver_with_its_own_clock_is_waited_for() {
    // All at once, so that their waits overlap.
    let threads: Vec<_> = CLAUSES
        .iter()
        .filter(|clause| ["T06", "T13"].contains(&clause.id) || clause.level == Level::Expiry)
        .filter(|clause| !clause.needs.contains(&Requirement::VirtualTime))
        .map(|clause| {
            std::thread::spawn(move || {
                let lacks = [(Requirement::VirtualTime, "the engine has its own clock")];
                let outcome = suite(Odd::RealTime, &lacks, &[]).examine(clause.id, clause.name, PATIENCE);
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
    let slow = suite(Odd::RealTime, &[], &[]);
    let Err(Failure::Unmet { actual, .. }) = slow.examine("E02", "none", Duration::from_millis(50)) else {
        panic!("it waits for two seconds")
    };
    assert_eq!(actual, "a call hangs");
    let panicking = suite(with(Defect::RetrievePanics), LACKS, &[]);
    let Err(Failure::Unmet { actual, .. }) = panicking.examine("B02", "none", PATIENCE) else {
        panic!("it panics")
    };
    assert!(actual.contains("a defect of a driver"), "{actual}");
}

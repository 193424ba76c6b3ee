//! Counting what passed and what failed.

/// The result of one part of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Tally {
    /// The counts in a test program's output. A program that aborts, or prints no result, is one failure.
    pub(crate) fn of_run(output: &str, succeeded: bool) -> Self {
        let mut tally = Self::default();
        let results = || output.lines().filter_map(|line| Some(line.split_once("test result: ")?.1));
        for part in results().flat_map(|counts| counts.split(['.', ';'])) {
            let Some((count, what)) = part.trim().split_once(' ') else { continue };
            let count: u64 = count.parse().unwrap_or(0);
            match what {
                "passed" => tally.passed += count,
                "failed" => tally.failed += count,
                "ignored" => tally.ignored += count,
                _ => {}
            }
        }
        if tally.failed == 0 && (!succeeded || results().next().is_none()) {
            tally.failed = 1;
        }
        tally
    }

    /// Adds another tally.
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// The tally of a single check.
    pub(crate) fn one(passed: bool) -> Self {
        Self { passed: u64::from(passed), failed: u64::from(!passed), ignored: 0 }
    }

    /// Whether at least one test passed and none failed.
    pub(crate) fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_summed_up_and_a_missing_one_is_a_failure() {
        let good =
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s\n";
        let bad = "test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1s\n";
        let empty =
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s\n";
        for (output, succeeded, passed, failed, ignored) in [
            (good, true, 3, 0, 1),
            (good, false, 3, 1, 1),
            (&*format!("running 3 tests\n{good}{bad}"), false, 8, 2, 1),
            ("", true, 0, 1, 0),
            ("running 9 tests\n", false, 0, 1, 0),
            (empty, true, 0, 0, 0),
        ] {
            let tally = Tally::of_run(output, succeeded);
            assert_eq!(tally, Tally { passed, failed, ignored }, "{output:?} {succeeded}");
            assert_eq!(tally.is_good(), failed == 0 && passed > 0);
        }
    }
}

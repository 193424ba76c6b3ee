//! Counting what passed and what failed.

/// The result of one part of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Tally {
    /// Adds the counts of a `test result:` line; ignores any other line.
    fn read(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else { return };
        for part in counts.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(what)) =
                (words.next().and_then(|word| word.parse::<u64>().ok()), words.next())
            else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }

    /// The counts in a test program's output. A program that aborts, or prints no result, is one failure.
    pub(crate) fn of_run(output: &str, succeeded: bool) -> Self {
        let mut tally = Self::default();
        output.lines().for_each(|line| tally.read(line));
        if tally.failed == 0 && (!succeeded || !output.contains("test result: ")) {
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
    fn result_lines_are_summed_up() {
        let mut tally = Tally::default();
        tally.read("running 3 tests");
        tally.read(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        );
        tally.read(
            "test result: FAILED. 5 passed; 2 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1s",
        );
        assert_eq!(tally, Tally { passed: 8, failed: 2, ignored: 1 });
        assert!(!tally.is_good());
    }

    #[test]
    fn program_without_result_is_a_failure() {
        let good =
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s\n";
        let bad = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s\n";
        for (output, succeeded, failed) in [
            (good, true, 0),
            (good, false, 1),
            (bad, false, 2),
            ("", true, 1),
            ("running 9 tests\n", false, 1),
        ] {
            assert_eq!(Tally::of_run(output, succeeded).failed, failed, "{output:?} {succeeded}");
        }
    }

    #[test]
    fn empty_run_is_no_success() {
        let mut tally = Tally::default();
        tally.read(
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        assert!(!tally.is_good());
        tally.add(&Tally::one(true));
        assert!(tally.is_good());
    }
}

//! Counting what passed and what failed.

/// The result of one part of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl Tally {
    /// Adds what one `test result:` line of the test harness says; any other line adds nothing.
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

    /// What a program with tests printed, and whether it ended well. A program that aborts, or that prints no result,
    /// is one failure.
    pub(crate) fn of_run(output: &str, succeeded: bool) -> Self {
        let mut tally = Self::default();
        output.lines().for_each(|line| tally.read(line));
        if tally.failed == 0 && (!succeeded || !output.contains("test result: ")) {
            tally.failed = 1;
        }
        tally
    }

    /// Both together.
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// One thing that passed, or did not.
    pub(crate) fn one(passed: bool) -> Self {
        Self { passed: u64::from(passed), failed: u64::from(!passed), ignored: 0 }
    }

    /// Nothing failed, and something ran: a run of nothing is no success.
    pub(crate) fn is_good(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_harness_are_summed_up() {
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
    fn a_program_without_a_result_is_a_failure() {
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
    fn a_run_of_nothing_is_no_success() {
        let mut tally = Tally::default();
        tally.read(
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        );
        assert!(!tally.is_good());
        tally.add(&Tally::one(true));
        assert!(tally.is_good());
    }
}

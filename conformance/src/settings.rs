//! The few things that a run of the suite takes from its environment.

use std::path::PathBuf;

/// What a run takes from the environment. A test binary has no command line of its own, so these are variables.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `SESSION_CONFORMANCE_FULL=1`: longer histories, and at least 200 kills per crash clause.
    pub full: bool,
    /// `SESSION_CONFORMANCE_SEED=n`: repeats the random choices of an earlier run.
    pub seed: Option<u64>,
    /// `SESSION_CONFORMANCE_OUT=dir`: where the result files go.
    pub out: Option<PathBuf>,
}

#[expect(clippy::disallowed_methods, reason = "this is the place that all others go through")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Settings {
    /// The settings of this process.
    #[must_use]
    pub fn from_env() -> Self {
        Self {
            full: variable("SESSION_CONFORMANCE_FULL").is_some_and(|value| value != "0"),
            seed: variable("SESSION_CONFORMANCE_SEED").and_then(|value| value.parse().ok()),
            out: variable("SESSION_CONFORMANCE_OUT").map(PathBuf::from),
        }
    }
}

/// What a child process is to do, where this process is one.
pub(crate) fn assignment() -> Option<String> {
    variable(ASSIGNMENT)
}

/// The variable that makes a test binary the child of another.
pub(crate) const ASSIGNMENT: &str = "SESSION_CONFORMANCE_CHILD";

//! The settings of a run. They are environment variables, because a test binary has no command line of its own.

use std::path::PathBuf;

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `SESSION_KIT_FULL=1`: the long forms, with longer histories and 200 kills per crash clause.
    pub full: bool,
    /// `SESSION_KIT_SEED=n`: repeats the random choices of an earlier run.
    pub seed: Option<u64>,
    /// `SESSION_CONFORMANCE_OUT=dir`: where the result files go.
    pub out: Option<PathBuf>,
}

impl Settings {
    /// The settings of this process.
    #[must_use]
    pub fn from_env() -> Self {
        Self {
            full: variable("SESSION_KIT_FULL").is_some_and(|value| value != "0"),
            seed: variable("SESSION_KIT_SEED").and_then(|value| value.parse().ok()),
            out: variable("SESSION_CONFORMANCE_OUT").map(PathBuf::from),
        }
    }

    /// The given seed, or a short random seed.
    pub(crate) fn seed_or_fresh(&self) -> u64 {
        self.seed.unwrap_or_else(|| fastrand::u64(..1_000_000))
    }
}

/// The variable with the test and the arguments of a [`ChildProcess`](crate::testing::ChildProcess).
pub(crate) const CHILD_ARGS: &str = "SESSION_KIT_CHILD";

#[expect(clippy::disallowed_methods, reason = "all reads of the environment go through here")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

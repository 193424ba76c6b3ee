//! What all checks of one suite share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::ErasedHarness;
use crate::level::Requirement;
use crate::suite::Place;

/// What all checks of one suite share.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) harness: Arc<dyn ErasedHarness>,
    pub(crate) place: Place,
    pub(crate) lacks: Vec<(Requirement, &'static str)>,
    pub(crate) known: Vec<(&'static str, &'static str)>,
    /// Tells a child process which of several harnesses to use.
    pub(crate) tag: String,
    /// The name of the running test, as the test runner knows it.
    pub(crate) test: String,
    pub(crate) full: bool,
    /// How long a handle may take to work again after a failure.
    pub(crate) recovery: Duration,
    pub(crate) seed: u64,
    /// A note of the check for the matrix, such as the evidence that it relies on.
    pub(crate) remark: Arc<Mutex<String>>,
}

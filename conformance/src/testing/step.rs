//! All orders in which requests can meet, independent of luck and time.
//!
//! A [`Probe`] parks the calls of each request. [`step`] lets one request continue to its next call, so a test decides
//! which request continues. [`Tree`] makes these decisions, and makes others in each run until it has tried all.

use std::future::Future;
use std::pin::Pin;

use session_core::{Driver, Result};

use super::Probe;

/// All sequences of choices, depth first. Each run starts from the beginning.
///
/// ```
/// # use session_conformance::testing::Tree;
/// let mut tree = Tree::new();
/// let mut seen = Vec::new();
/// while tree.again() {
///     seen.push((tree.choose(2), tree.choose(2)));
/// }
/// assert_eq!(seen, [(0, 0), (0, 1), (1, 0), (1, 1)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Each choice, and how many options it had.
    path: Vec<(usize, usize)>,
    at: usize,
    runs: usize,
}

impl Tree {
    /// A tree before its first run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the next run; `false` once every leaf was reached.
    pub fn again(&mut self) -> bool {
        if self.runs > 0 {
            // The last run ended before it used the rest of the path.
            self.path.truncate(self.at);
            while self.path.last().is_some_and(|(chosen, options)| chosen + 1 == *options) {
                self.path.pop();
            }
            match self.path.last_mut() {
                Some((chosen, _)) => *chosen += 1,
                None => return false,
            }
        }
        self.at = 0;
        self.runs += 1;
        true
    }

    /// Chooses a number below `options`. The scenario MUST behave the same after the same choices.
    ///
    /// # Panics
    /// If `options` is zero, or if an earlier run had a different number here.
    pub fn choose(&mut self, options: usize) -> usize {
        assert!(options > 0, "a choice needs an option");
        if self.at == self.path.len() {
            self.path.push((0, options));
        }
        let (chosen, before) = self.path[self.at];
        assert_eq!(before, options, "the scenario behaves differently after the same choices");
        self.at += 1;
        chosen
    }

    /// How many runs have begun.
    #[must_use]
    pub const fn runs(&self) -> usize {
        self.runs
    }

    /// The choices of this run, to show in a failure message.
    #[must_use]
    pub fn choices(&self) -> Vec<usize> {
        self.path.iter().take(self.at).map(|(chosen, _)| *chosen).collect()
    }
}

/// A request that has not returned yet.
pub type Request<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Lets one request continue until its next call is parked: `None`, or until it returns. Waits for everything else that
/// it waits for, such as a timer or a driver's thread.
pub async fn step<D: Driver, T>(probe: &Probe<D>, request: &mut Request<'_, T>) -> Option<T> {
    std::future::poll_fn(|context| probe.until_parked(|| request.as_mut().poll(context))).await
}

/// Runs all requests to their ends in the order that the tree chooses. Late changes are one more party to the choice;
/// those that are left at the end are applied then.
///
/// # Errors
/// The driver's, of a late change.
pub async fn interleave<D: Driver, T>(
    probe: &Probe<D>,
    tree: &mut Tree,
    requests: Vec<Request<'_, T>>,
) -> Result<Vec<T>> {
    let mut ended: Vec<Option<T>> = requests.iter().map(|_| None).collect();
    let mut running = Vec::with_capacity(requests.len());
    // Up to its first call a request touches nothing that others see, so these steps need no choice.
    for (number, mut request) in requests.into_iter().enumerate() {
        match step(probe, &mut request).await {
            Some(value) => ended[number] = Some(value),
            None => running.push((number, request)),
        }
    }
    while !running.is_empty() {
        let parties = running.len() + usize::from(probe.late() > 0);
        let chosen = if parties == 1 { 0 } else { tree.choose(parties) };
        match running.get_mut(chosen) {
            None => probe.apply_late().await?,
            Some((number, request)) => {
                if let Some(value) = step(probe, request).await {
                    ended[*number] = Some(value);
                    drop(running.remove(chosen));
                }
            }
        }
    }
    while probe.late() > 0 {
        probe.apply_late().await?;
    }
    Ok(ended.into_iter().flatten().collect())
}

//! Requests that meet in every possible order: a driver whose calls wait for leave, and a tree of choices that is
//! walked to its last leaf. Nothing here depends on luck or on time.
//!
//! [`Stepped`] puts a gate before and after each call of the driver under it. [`step`] polls one request until it
//! stands at its next gate, so whoever calls it decides whose turn it is. [`Tree`] hands out such decisions and, when
//! a run is over, leads the next one elsewhere.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, Key, Operation, Page, Prefix, Purged, Record,
    Result, Revision, StoreError, StoreErrorKind, Timestamp, Touch,
};

/// All sequences of choices, one after the other: depth first, by running again from the start.
///
/// ```
/// # use session_conformance::step::Tree;
/// let mut tree = Tree::new();
/// let mut seen = Vec::new();
/// while tree.again() {
///     seen.push((tree.choose(2), tree.choose(2)));
/// }
/// assert_eq!(seen, [(0, 0), (0, 1), (1, 0), (1, 1)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// What was chosen, and out of how many.
    path: Vec<(usize, usize)>,
    at: usize,
    runs: usize,
}

impl Tree {
    /// A tree of which nothing has been walked.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the next run; `false` when every leaf has been reached.
    pub fn again(&mut self) -> bool {
        if self.runs > 0 {
            // What an earlier run chose beyond the point where this one ended does not count.
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

    /// One of `options` choices, 0 and up. The scenario MUST do the same after the same choices.
    ///
    /// # Panics
    /// Where there is nothing to choose from, or the scenario came here with other options before.
    pub fn choose(&mut self, options: usize) -> usize {
        assert!(options > 0, "a choice needs something to choose from");
        if self.at == self.path.len() {
            self.path.push((0, options));
        }
        let (chosen, before) = self.path[self.at];
        assert_eq!(before, options, "the scenario does not repeat itself");
        self.at += 1;
        chosen
    }

    /// How many runs were begun.
    #[must_use]
    pub const fn runs(&self) -> usize {
        self.runs
    }

    /// The choices of this run, to be shown where it fails.
    #[must_use]
    pub fn choices(&self) -> Vec<usize> {
        self.path.iter().take(self.at).map(|(chosen, _)| *chosen).collect()
    }
}

/// What becomes of one change, and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is applied, and the answer is an error that does not know.
    AnswerLost,
    /// It is never applied, and the answer is an error that does not know.
    RequestLost,
    /// The answer is an error that does not know, and it is applied whenever [`Stepped::apply_late`] is called.
    Late,
}

/// A change that was made and is still on its way.
#[derive(Clone, Debug)]
enum ChangeRequest {
    Store(Key, Record, Condition),
    Remove(Key, Condition),
    Touch(Key, Revision, Revision, Option<Timestamp>),
}

/// A change that the driver said to have made.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Where.
    pub key: Key,
    /// What is there now; `None` for a removal, and empty data for a touch.
    pub record: Option<Record>,
    /// The condition, `None` for a touch.
    pub when: Option<Condition>,
}

#[derive(Debug, Default)]
struct Board {
    /// Whether there are gates at all: not while a scenario is set up and judged.
    open: AtomicBool,
    /// Whether calls also wait before they give their answer.
    after: bool,
    parked: AtomicBool,
    /// Which change meets its fate, counted from [`Stepped::close_gates`].
    fate: Mutex<Option<(usize, Fate)>>,
    changes: AtomicUsize,
    late: Mutex<Vec<ChangeRequest>>,
    /// Whether a change whose future is dropped before it was applied is still on its way.
    detach: AtomicBool,
    applied: Mutex<Vec<Applied>>,
}

/// A driver whose calls wait for leave. Clones share the gates.
#[derive(Debug)]
pub struct Stepped<D> {
    inner: Arc<D>,
    board: Arc<Board>,
}

impl<D> Clone for Stepped<D> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), board: Arc::clone(&self.board) }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D: Driver> Stepped<D> {
    /// A driver over `inner`, with open gates. With `after`, calls also wait before they give their answer: needed to
    /// drop a request there, but not to walk through orders, for what a request does between an answer and its next
    /// call touches nothing that others see.
    pub fn new(inner: D, after: bool) -> Self {
        let board = Board { open: AtomicBool::new(true), after, ..Board::default() };
        Self { inner: Arc::new(inner), board: Arc::new(board) }
    }

    /// From now on calls wait; the log and the count of changes begin anew.
    pub fn close_gates(&self) {
        self.board.changes.store(0, Ordering::SeqCst);
        locked(&self.board.applied).clear();
        self.board.open.store(false, Ordering::SeqCst);
    }

    /// From now on calls do not wait.
    pub fn open_gates(&self) {
        self.board.open.store(true, Ordering::SeqCst);
    }

    /// Lets the change number `number`, counted from when the gates were closed, meet its fate.
    pub fn set_fate(&self, number: usize, fate: Fate) {
        *locked(&self.board.fate) = Some((number, fate));
    }

    /// Lets a change whose future is dropped before it was applied arrive all the same, when
    /// [`apply_late`](Self::apply_late) is called: a driver may have handed it to a thread or a server.
    pub fn detach_dropped(&self, yes: bool) {
        self.board.detach.store(yes, Ordering::SeqCst);
    }

    /// How many changes were asked for since the gates were closed.
    pub fn changes(&self) -> usize {
        self.board.changes.load(Ordering::SeqCst)
    }

    /// How many changes are on their way.
    pub fn late(&self) -> usize {
        locked(&self.board.late).len()
    }

    /// Applies the oldest change that is on its way.
    ///
    /// # Errors
    /// The driver's.
    pub async fn apply_late(&self) -> Result<()> {
        let change = {
            let mut late = locked(&self.board.late);
            if late.is_empty() { None } else { Some(late.remove(0)) }
        };
        match change {
            Some(change) => self.apply(change).await.map(drop),
            None => Ok(()),
        }
    }

    /// What the driver said to have changed since the gates were closed, in order.
    pub fn applied(&self) -> Vec<Applied> {
        locked(&self.board.applied).clone()
    }

    async fn gate(&self) {
        if !self.board.open.load(Ordering::SeqCst) {
            Gate { board: &self.board, passed: false }.await;
        }
    }

    async fn answer_gate(&self) {
        if self.board.after {
            self.gate().await;
        }
    }

    async fn change(&self, operation: Operation, change: ChangeRequest) -> Result<Change> {
        let gated = !self.board.open.load(Ordering::SeqCst);
        let mut number = usize::MAX;
        if gated {
            number = self.board.changes.fetch_add(1, Ordering::SeqCst);
            let mut sent = Sent { board: &self.board, change: Some(change.clone()) };
            self.gate().await;
            sent.change = None;
        }
        let lost = || Err(StoreError::new(StoreErrorKind::Timeout, operation).applied_unknown());
        let fate = locked(&self.board.fate).filter(|(which, _)| gated && *which == number);
        let answer = match fate.map(|(_, fate)| fate) {
            None => self.apply(change).await,
            Some(Fate::AnswerLost) => self.apply(change).await.and_then(|_| lost()),
            Some(Fate::RequestLost) => lost(),
            Some(Fate::Late) => {
                locked(&self.board.late).push(change);
                lost()
            }
        };
        self.answer_gate().await;
        answer
    }

    async fn apply(&self, change: ChangeRequest) -> Result<Change> {
        let (answer, applied) = match change {
            ChangeRequest::Store(key, record, when) => {
                let answer = self.inner.store(&key, record.clone(), when).await?;
                (answer, Applied { key, record: Some(record), when: Some(when) })
            }
            ChangeRequest::Remove(key, when) => {
                let answer = self.inner.remove(&key, when).await?;
                (answer, Applied { key, record: None, when: Some(when) })
            }
            ChangeRequest::Touch(key, from, to, deadline) => {
                let yes = self.inner.touch(&key, Touch { from, to, deadline }).await?;
                let answer = if yes { Change::Applied } else { Change::Conflict(None) };
                (answer, Applied { key, record: Some(Record::new(&b""[..], deadline, to)), when: None })
            }
        };
        if answer.is_applied() {
            locked(&self.board.applied).push(applied);
        }
        Ok(answer)
    }
}

/// A change that waits to be applied. Where its future is dropped there, it may arrive all the same.
struct Sent<'a> {
    board: &'a Board,
    change: Option<ChangeRequest>,
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if let Some(change) = self.change.take()
            && self.board.detach.load(Ordering::SeqCst)
        {
            locked(&self.board.late).push(change);
        }
    }
}

/// Is pending once, and says that it is.
struct Gate<'a> {
    board: &'a Board,
    passed: bool,
}

impl Future for Gate<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.passed {
            return Poll::Ready(());
        }
        self.passed = true;
        self.board.parked.store(true, Ordering::SeqCst);
        Poll::Pending
    }
}

/// A request under way.
pub type Request<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Lets one request go on to its next gate: `None`, or to its end. What it waits for beside gates, a pause or a
/// driver's own thread, is waited for.
pub async fn step<D: Driver, T>(driver: &Stepped<D>, request: &mut Request<'_, T>) -> Option<T> {
    std::future::poll_fn(|context| {
        driver.board.parked.store(false, Ordering::SeqCst);
        match request.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if driver.board.parked.load(Ordering::SeqCst) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Lets all requests come to their ends in the order that the tree chooses. Changes that are on their way are one more
/// party to the choice; what is still on its way at the end is applied then.
///
/// # Errors
/// The driver's, of a late change.
pub async fn interleave<D: Driver, T>(
    driver: &Stepped<D>,
    tree: &mut Tree,
    requests: Vec<Request<'_, T>>,
) -> Result<Vec<T>> {
    let mut ended: Vec<Option<T>> = requests.iter().map(|_| None).collect();
    let mut running: Vec<_> = requests.into_iter().enumerate().collect();
    let mut at_start = Vec::with_capacity(running.len());
    // Up to its first call a request touches nothing that others see: that is no choice.
    for (number, mut request) in running.drain(..) {
        match step(driver, &mut request).await {
            Some(value) => ended[number] = Some(value),
            None => at_start.push((number, request)),
        }
    }
    let mut running = at_start;
    while !running.is_empty() {
        let parties = running.len() + usize::from(driver.late() > 0);
        let chosen = if parties == 1 { 0 } else { tree.choose(parties) };
        match running.get_mut(chosen) {
            None => driver.apply_late().await?,
            Some((number, request)) => {
                if let Some(value) = step(driver, request).await {
                    ended[*number] = Some(value);
                    drop(running.remove(chosen));
                }
            }
        }
    }
    while driver.late() > 0 {
        driver.apply_late().await?;
    }
    Ok(ended.into_iter().flatten().collect())
}

impl<D: Driver> Driver for Stepped<D> {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.gate().await;
        let answer = self.inner.retrieve(key).await;
        self.answer_gate().await;
        answer
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        self.change(Operation::Store, ChangeRequest::Store(key.clone(), record, when)).await
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        self.change(Operation::Remove, ChangeRequest::Remove(key.clone(), when)).await
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        self.inner.traverse(prefix, from, limit).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Touch { from, to, deadline } = touch;
        let change = ChangeRequest::Touch(key.clone(), from, to, deadline);
        Ok(self.change(Operation::Touch, change).await?.is_applied())
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        self.inner.purge(limit).await
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }
}

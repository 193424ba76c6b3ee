//! A driver around a driver, for tests of the layers above: it records calls, fails them, loses their answers, and parks
//! them so that a test decides which call is next.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use session_core::{
    Capabilities, Change, ChangeRequest, Clock, Condition, Cursor, Driver, Key, Operation, Page, Prefix,
    Purged, Record, Result, StoreError, StoreErrorKind, Touch,
};
use tokio::sync::Notify;

/// Passes every call on to another driver, and does to it what a test asks for. Clones share everything.
///
/// - [`calls`](Self::calls), [`operations`](Self::operations) and [`applied`](Self::applied) say what was called.
/// - [`plan`](Self::plan), [`before`](Self::before), [`fail_when`](Self::fail_when) and [`set_fate`](Self::set_fate)
///   let calls fail.
/// - [`close_gates`](Self::close_gates) parks calls; [`step`](super::step) and [`interleave`](super::interleave) let
///   them continue one by one. [`yields`](Self::yields) only makes them pending once.
#[derive(Debug)]
pub struct Probe<D> {
    inner: Arc<D>,
    conditional: bool,
    state: Arc<State>,
}

impl<D> Clone for Probe<D> {
    fn clone(&self) -> Self {
        let (inner, state) = (Arc::clone(&self.inner), Arc::clone(&self.state));
        Self { inner, conditional: self.conditional, state }
    }
}

/// One call that reached the probe.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation.
    pub operation: Operation,
    /// Its key, if it has one.
    pub key: Option<Key>,
    /// The condition of a change. A touch has the condition `Revision(from)`.
    pub condition: Option<Condition>,
    /// The limit of a traversal or a purge.
    pub limit: Option<usize>,
}

/// A change that the inner driver answered with `Applied`.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The key.
    pub key: Key,
    /// The stored record; `None` after a removal, empty data after a touch.
    pub record: Option<Record>,
    /// The condition; `None` for a touch.
    pub condition: Option<Condition>,
}

/// What happens to a planned call.
pub enum Fault {
    /// It fails with `Unavailable`, and nothing happens.
    Refuse,
    /// It never reaches the driver. The answer is an error that leaves open whether it did.
    LoseCall,
    /// It is made. The answer is an error that leaves open whether it was.
    LoseAnswer,
    /// It is made, and never answered. See [`Probe::drop_at_stall`].
    Stall,
    /// This future runs first. If it fails, so does the call.
    Before(Pin<Box<dyn Future<Output = std::result::Result<(), String>> + Send>>),
}

/// What happens to a change, and to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is applied, and the answer is an error that leaves it open.
    AnswerLost,
    /// It is never applied, and the answer is an error that leaves it open.
    RequestLost,
    /// The answer is an error that leaves it open, and [`Probe::apply_late`] applies the change later.
    Late,
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Refuse => "Refuse",
            Self::LoseCall => "LoseCall",
            Self::LoseAnswer => "LoseAnswer",
            Self::Stall => "Stall",
            Self::Before(_) => "Before",
        })
    }
}

struct Plan {
    operation: Operation,
    countdown: usize,
    fault: Fault,
}

type Fails = Box<dyn Fn(Operation) -> bool + Send + Sync>;

#[derive(Default)]
struct State {
    calls: Mutex<Vec<Call>>,
    plans: Mutex<Vec<Plan>>,
    fails: Mutex<Option<Fails>>,
    stalled: Notify,
    yields: AtomicBool,
    /// Whether calls are parked.
    gated: AtomicBool,
    /// Whether they are parked again before they answer.
    after: AtomicBool,
    /// Whether a call has come to its gate since this was last set to `false`.
    parked: AtomicBool,
    /// Which change meets its fate, counted from [`Probe::close_gates`].
    fate: Mutex<Option<(usize, Fate)>>,
    changes: AtomicUsize,
    late: Mutex<VecDeque<(Key, ChangeRequest)>>,
    /// Whether a change whose future is dropped at its first gate is applied late.
    detach: AtomicBool,
    applied: Mutex<Vec<Applied>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D: Driver> Probe<D> {
    /// A probe that passes everything on.
    pub fn new(inner: D) -> Self {
        Self { inner: Arc::new(inner), conditional: true, state: Arc::default() }
    }

    /// A probe whose parked calls are also parked between the change and its answer. Needed to drop a request there,
    /// but not to try all orders, because the work of a request between two calls is invisible to others.
    pub fn parking_answers(inner: D) -> Self {
        let probe = Self::new(inner);
        probe.state.after.store(true, Ordering::SeqCst);
        probe
    }

    /// A probe that claims to be unable to compare and store, and answers `Unsupported` to every condition.
    pub fn unconditional(inner: D) -> Self {
        Self { conditional: false, ..Self::new(inner) }
    }

    /// The inner driver, whose calls are not recorded.
    #[must_use]
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// The calls since the last time this was asked.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut lock(&self.state.calls))
    }

    /// The operations of [`calls`](Self::calls).
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.calls().iter().map(|call| call.operation).collect()
    }

    /// The changes that the driver made since [`close_gates`](Self::close_gates), in order.
    #[must_use]
    pub fn applied(&self) -> Vec<Applied> {
        lock(&self.state.applied).clone()
    }

    /// How many changes were called since [`close_gates`](Self::close_gates).
    #[must_use]
    pub fn changes(&self) -> usize {
        self.state.changes.load(Ordering::SeqCst)
    }

    /// Plans a fault for call number `number` of `operation` from now, beginning with 1.
    pub fn plan(&self, operation: Operation, number: usize, fault: Fault) {
        lock(&self.state.plans).push(Plan { operation, countdown: number, fault });
    }

    /// Runs `act` before call number `number` of `operation` from now.
    pub fn before<E: std::fmt::Debug>(
        &self,
        operation: Operation,
        number: usize,
        act: impl Future<Output = std::result::Result<(), E>> + Send + 'static,
    ) {
        let act = async { act.await.map_err(|error| format!("{error:?}")) };
        self.plan(operation, number, Fault::Before(Box::pin(act)));
    }

    /// Refuses every call for whose operation `fails` is true, until [`recover`](Self::recover).
    pub fn fail_when(&self, fails: impl Fn(Operation) -> bool + Send + Sync + 'static) {
        *lock(&self.state.fails) = Some(Box::new(fails));
    }

    /// Ends [`fail_when`](Self::fail_when).
    pub fn recover(&self) {
        *lock(&self.state.fails) = None;
    }

    /// Sets whether every call is pending once before it does anything and once after it.
    pub fn yields(&self, yes: bool) {
        self.state.yields.store(yes, Ordering::SeqCst);
    }

    /// Parks retrievals and changes from now on. The log and the count of changes start again.
    pub fn close_gates(&self) {
        self.state.changes.store(0, Ordering::SeqCst);
        lock(&self.state.applied).clear();
        self.state.gated.store(true, Ordering::SeqCst);
    }

    /// Parks no calls from now on.
    pub fn open_gates(&self) {
        self.state.gated.store(false, Ordering::SeqCst);
    }

    /// Sets the fate of change number `number`, counted from 0 when the gates were closed.
    pub fn set_fate(&self, number: usize, fate: Fate) {
        *lock(&self.state.fate) = Some((number, fate));
    }

    /// Sets whether a change whose future is dropped while parked is applied by [`apply_late`](Self::apply_late): a
    /// driver may have handed it to a thread or a server.
    pub fn detach_dropped(&self, yes: bool) {
        self.state.detach.store(yes, Ordering::SeqCst);
    }

    /// How many changes wait for [`apply_late`](Self::apply_late).
    #[must_use]
    pub fn late(&self) -> usize {
        lock(&self.state.late).len()
    }

    /// Applies the oldest late change.
    ///
    /// # Errors
    /// The driver's.
    pub async fn apply_late(&self) -> Result<()> {
        let Some((key, request)) = lock(&self.state.late).pop_front() else { return Ok(()) };
        self.apply(&key, request, None).await.map(drop)
    }

    /// Polls `future` until a call of it meets [`Fault::Stall`], and drops it there. `None` if it stalled.
    pub async fn drop_at_stall<F: Future>(&self, future: F) -> Option<F::Output> {
        let (mut future, mut stalled) = (pin!(future), pin!(self.state.stalled.notified()));
        std::future::poll_fn(|context| {
            if let Poll::Ready(answer) = future.as_mut().poll(context) {
                return Poll::Ready(Some(answer));
            }
            stalled.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    /// Polls until `poll` is ready or a call is parked: then `None`.
    pub(super) fn until_parked<T>(&self, poll: impl FnOnce() -> Poll<T>) -> Poll<Option<T>> {
        self.state.parked.store(false, Ordering::SeqCst);
        match poll() {
            Poll::Pending if self.state.parked.load(Ordering::SeqCst) => Poll::Ready(None),
            answer => answer.map(Some),
        }
    }

    async fn gate(&self) {
        if self.state.gated.load(Ordering::SeqCst) {
            let mut passed = false;
            std::future::poll_fn(|_| {
                if std::mem::replace(&mut passed, true) {
                    return Poll::Ready(());
                }
                self.state.parked.store(true, Ordering::SeqCst);
                Poll::Pending
            })
            .await;
        }
    }

    async fn pause(&self) {
        if self.state.yields.load(Ordering::SeqCst) {
            session_core::yield_now().await;
        }
    }

    fn planned(&self, operation: Operation) -> Option<Fault> {
        let mut plans = lock(&self.state.plans);
        let of_this = plans.iter_mut().filter(|plan| plan.operation == operation);
        of_this.for_each(|plan| plan.countdown -= 1);
        let at = plans.iter().position(|plan| plan.countdown == 0)?;
        Some(plans.remove(at).fault)
    }

    async fn pass<T>(&self, call: Call, make: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let operation = call.operation;
        lock(&self.state.calls).push(call);
        let refused = || Err(StoreError::new(StoreErrorKind::Unavailable, operation));
        let fault = self.planned(operation);
        if lock(&self.state.fails).as_ref().is_some_and(|fails| fails(operation)) {
            return refused();
        }
        self.pause().await;
        let answer = match fault {
            None => make.await,
            Some(Fault::Refuse) => refused(),
            Some(Fault::LoseCall) => Err(lost(operation)),
            Some(Fault::LoseAnswer) => make.await.and(Err(lost(operation))),
            Some(Fault::Stall) => {
                let answer = make.await;
                self.state.stalled.notify_one();
                std::future::pending::<()>().await;
                answer
            }
            Some(Fault::Before(act)) => match act.await {
                Ok(()) => make.await,
                Err(text) => Err(StoreError::new(StoreErrorKind::Backend, operation).with_detail(text)),
            },
        };
        self.pause().await;
        answer
    }

    /// Makes a change. A store with `loaded` is passed on as `store_over`.
    async fn change(&self, key: &Key, request: ChangeRequest, loaded: Option<&Record>) -> Result<Change> {
        let operation = request.operation();
        let condition = condition_of(&request);
        if !self.conditional && condition != Condition::Any {
            return Err(StoreError::unsupported(operation));
        }
        let call = Call { condition: Some(condition), ..on(operation, key) };
        self.pass(call, self.parked_change(key, request, loaded)).await
    }

    async fn parked_change(
        &self,
        key: &Key,
        request: ChangeRequest,
        loaded: Option<&Record>,
    ) -> Result<Change> {
        let operation = request.operation();
        let mut fate = None;
        if self.state.gated.load(Ordering::SeqCst) {
            let number = self.state.changes.fetch_add(1, Ordering::SeqCst);
            let mut parked = Parked { state: &self.state, change: Some((key.clone(), request.clone())) };
            self.gate().await;
            parked.change = None;
            fate = lock(&self.state.fate).filter(|(which, _)| *which == number).map(|(_, fate)| fate);
        }
        let answer = match fate {
            None => self.apply(key, request, loaded).await,
            Some(Fate::AnswerLost) => self.apply(key, request, loaded).await.and(Err(lost(operation))),
            Some(Fate::RequestLost) => Err(lost(operation)),
            Some(Fate::Late) => {
                lock(&self.state.late).push_back((key.clone(), request));
                Err(lost(operation))
            }
        };
        if self.state.after.load(Ordering::SeqCst) {
            self.gate().await;
        }
        answer
    }

    async fn apply(&self, key: &Key, request: ChangeRequest, loaded: Option<&Record>) -> Result<Change> {
        let key = key.clone();
        let (answer, record, condition) = match request {
            ChangeRequest::Store { record, condition } => {
                let answer = match loaded {
                    Some(loaded) => self.inner.store_over(&key, record.clone(), loaded).await?,
                    None => self.inner.store(&key, record.clone(), condition).await?,
                };
                (answer, Some(record), Some(condition))
            }
            ChangeRequest::Remove { condition } => {
                (self.inner.remove(&key, condition).await?, None, Some(condition))
            }
            ChangeRequest::Touch(touch) => {
                let touched = self.inner.touch(&key, touch).await?;
                let answer = if touched { Change::Applied } else { Change::Conflict(None) };
                (answer, Some(Record::new(&b""[..], touch.deadline, touch.to)), None)
            }
        };
        if answer.is_applied() {
            lock(&self.state.applied).push(Applied { key, record, condition });
        }
        Ok(answer)
    }
}

/// The condition of a change. A touch has the condition `Revision(from)`.
#[must_use]
pub fn condition_of(request: &ChangeRequest) -> Condition {
    match request {
        ChangeRequest::Store { condition, .. } | ChangeRequest::Remove { condition } => *condition,
        ChangeRequest::Touch(touch) => Condition::Revision(touch.from),
    }
}

fn lost(operation: Operation) -> StoreError {
    StoreError::new(StoreErrorKind::Timeout, operation).applied_unknown()
}

fn call(operation: Operation) -> Call {
    Call { operation, key: None, condition: None, limit: None }
}

fn on(operation: Operation, key: &Key) -> Call {
    Call { key: Some(key.clone()), ..call(operation) }
}

/// A change at its first gate.
struct Parked<'a> {
    state: &'a State,
    change: Option<(Key, ChangeRequest)>,
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        if let Some(change) = self.change.take()
            && self.state.detach.load(Ordering::SeqCst)
        {
            lock(&self.state.late).push_back(change);
        }
    }
}

impl<D: Driver> Driver for Probe<D> {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let parked = async {
            self.gate().await;
            let answer = self.inner.retrieve(key).await;
            if self.state.after.load(Ordering::SeqCst) {
                self.gate().await;
            }
            answer
        };
        self.pass(on(Operation::Retrieve, key), parked).await
    }

    /// Recorded as a `Retrieve`.
    async fn retrieve_recent(&self, key: &Key) -> Result<Option<Record>> {
        let parked = async {
            self.gate().await;
            let answer = self.inner.retrieve_recent(key).await;
            if self.state.after.load(Ordering::SeqCst) {
                self.gate().await;
            }
            answer
        };
        self.pass(on(Operation::Retrieve, key), parked).await
    }

    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        self.change(key, ChangeRequest::Store { record, condition }, None).await
    }

    async fn store_over(&self, key: &Key, record: Record, loaded: &Record) -> Result<Change> {
        let condition = Condition::Revision(loaded.revision);
        self.change(key, ChangeRequest::Store { record, condition }, Some(loaded)).await
    }

    async fn remove(&self, key: &Key, condition: Condition) -> Result<Change> {
        self.change(key, ChangeRequest::Remove { condition }, None).await
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let call = Call { limit: Some(limit), ..call(Operation::Traverse) };
        self.pass(call, self.inner.traverse(prefix, from, limit)).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        Ok(self.change(key, ChangeRequest::Touch(touch), None).await?.is_applied())
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        let call = Call { limit: Some(limit), ..call(Operation::Purge) };
        self.pass(call, self.inner.purge(limit)).await
    }

    async fn flush(&self) -> Result<()> {
        self.pass(call(Operation::Flush), self.inner.flush()).await
    }

    async fn close(&self) -> Result<()> {
        self.pass(call(Operation::Close), self.inner.close()).await
    }

    fn capabilities(&self) -> Capabilities {
        let claims = self.inner.capabilities();
        let conditional = claims.conditional && self.conditional;
        // A call may be held.
        claims.conditional(conditional).at_once(false)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }
}

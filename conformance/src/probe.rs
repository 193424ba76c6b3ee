//! A driver around a driver, for checks of the session layer: it counts the calls, loses answers, and lets somebody
//! else act between two calls.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use session_core::{
    Capabilities, Change, Clock, Condition, Cursor, Driver, DynDriver, Key, Operation, Page, Prefix, Purged,
    Record, Result, StoreError, StoreErrorKind, Touch,
};
use tokio::sync::Notify;

use crate::failure::Check;

/// A driver that passes every call on, remembers it, and does to it what it was told to. Clones are one.
#[derive(Clone)]
pub(crate) struct Probe(Arc<Inside>);

struct Inside {
    under: DynDriver,
    conditional: bool,
    calls: Mutex<Vec<Call>>,
    plans: Mutex<Vec<Plan>>,
    stalled: Notify,
}

/// One call, as the session layer made it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) key: Option<Key>,
    pub(crate) when: Option<Condition>,
    pub(crate) limit: Option<usize>,
}

/// What happens to a call.
pub(crate) enum Fault {
    /// It fails, and nothing has happened.
    Refuse,
    /// It never reaches the store, and the caller cannot know that.
    LoseCall,
    /// It is made, and the caller cannot know that.
    LoseAnswer,
    /// It is made, and no answer ever comes.
    Stall,
    /// Somebody else acts first.
    Before(Pin<Box<dyn Future<Output = Check> + Send>>),
}

struct Plan {
    operation: Operation,
    countdown: usize,
    fault: Fault,
}

impl Probe {
    pub(crate) fn new(under: DynDriver) -> Self {
        Self::with(under, true)
    }

    /// The same driver, but it cannot compare and store: it says so, and answers `Unsupported`.
    pub(crate) fn unconditional(under: DynDriver) -> Self {
        Self::with(under, false)
    }

    fn with(under: DynDriver, conditional: bool) -> Self {
        let (calls, plans) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inside { under, conditional, calls, plans, stalled: Notify::new() }))
    }

    fn compare(&self, operation: Operation, when: Condition) -> Result<()> {
        if self.0.conditional || when == Condition::Any {
            Ok(())
        } else {
            Err(StoreError::unsupported(operation))
        }
    }

    /// The driver itself, whose calls are not counted.
    pub(crate) fn under(&self) -> &DynDriver {
        &self.0.under
    }

    /// Does this to the `number`th call of `operation` from now, beginning with 1.
    pub(crate) fn plan(&self, operation: Operation, number: usize, fault: Fault) {
        lock(&self.0.plans).push(Plan { operation, countdown: number, fault });
    }

    /// Lets somebody else act before the `number`th call of `operation` from now.
    pub(crate) fn before(
        &self,
        operation: Operation,
        number: usize,
        act: impl Future<Output = Check> + Send + 'static,
    ) {
        self.plan(operation, number, Fault::Before(Box::pin(act)));
    }

    /// The calls since the last time this was asked.
    pub(crate) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut lock(&self.0.calls))
    }

    /// Their operations.
    pub(crate) fn operations(&self) -> Vec<Operation> {
        self.calls().iter().map(|call| call.operation).collect()
    }

    /// Polls `future` until a call of it stalls, and drops it there. `None` if it did stall.
    pub(crate) async fn drop_at_stall<F: Future>(&self, future: F) -> Option<F::Output> {
        let (mut future, mut stalled) = (pin!(future), pin!(self.0.stalled.notified()));
        std::future::poll_fn(|context| {
            if let Poll::Ready(answer) = future.as_mut().poll(context) {
                return Poll::Ready(Some(answer));
            }
            stalled.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    async fn pass<T>(&self, call: Call, make: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let operation = call.operation;
        lock(&self.0.calls).push(call);
        let lost = || StoreError::new(StoreErrorKind::Timeout, operation).applied_unknown();
        match self.due(operation) {
            None => make.await,
            Some(Fault::Refuse) => Err(StoreError::new(StoreErrorKind::Unavailable, operation)),
            Some(Fault::LoseCall) => Err(lost()),
            Some(Fault::LoseAnswer) => make.await.and(Err(lost())),
            Some(Fault::Stall) => {
                let answer = make.await;
                self.0.stalled.notify_one();
                std::future::pending::<()>().await;
                answer
            }
            Some(Fault::Before(act)) => {
                match act.await {
                    Ok(()) => make.await,
                    Err(failure) => Err(StoreError::new(StoreErrorKind::Backend, operation)
                        .with_detail(format!("{failure:?}"))),
                }
            }
        }
    }

    fn due(&self, operation: Operation) -> Option<Fault> {
        let mut plans = lock(&self.0.plans);
        let of_this = plans.iter_mut().filter(|plan| plan.operation == operation);
        of_this.for_each(|plan| plan.countdown -= 1);
        let at = plans.iter().position(|plan| plan.countdown == 0)?;
        Some(plans.remove(at).fault)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn call(operation: Operation) -> Call {
    Call { operation, key: None, when: None, limit: None }
}

fn on(operation: Operation, key: &Key, when: Option<Condition>) -> Call {
    Call { key: Some(key.clone()), when, ..call(operation) }
}

impl Driver for Probe {
    async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.pass(on(Operation::Retrieve, key, None), self.0.under.retrieve(key)).await
    }

    async fn store(&self, key: &Key, record: Record, when: Condition) -> Result<Change> {
        self.compare(Operation::Store, when)?;
        let call = on(Operation::Store, key, Some(when));
        self.pass(call, self.0.under.store(key, record, when)).await
    }

    async fn remove(&self, key: &Key, when: Condition) -> Result<Change> {
        self.compare(Operation::Remove, when)?;
        let call = on(Operation::Remove, key, Some(when));
        self.pass(call, self.0.under.remove(key, when)).await
    }

    async fn traverse(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let call = Call { limit: Some(limit), ..call(Operation::Traverse) };
        self.pass(call, self.0.under.traverse(prefix, from, limit)).await
    }

    async fn touch(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Touch { from, to, deadline } = touch;
        self.compare(Operation::Touch, Condition::Revision(from))?;
        let call = on(Operation::Touch, key, Some(Condition::Revision(from)));
        self.pass(call, self.0.under.touch(key, Touch { from, to, deadline })).await
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        let call = Call { limit: Some(limit), ..call(Operation::Purge) };
        self.pass(call, self.0.under.purge(limit)).await
    }

    async fn flush(&self) -> Result<()> {
        self.pass(call(Operation::Flush), self.0.under.flush()).await
    }

    async fn close(&self) -> Result<()> {
        self.pass(call(Operation::Close), self.0.under.close()).await
    }

    fn capabilities(&self) -> Capabilities {
        let claims = self.0.under.capabilities();
        let conditional = claims.conditional && self.0.conditional;
        claims.conditional(conditional)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.0.under.clock()
    }
}

//! The channel from a worker thread to the waiting future. Compiled a second time for the loom model.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::sync::{Arc, Mutex, MutexGuard, PoisonError};

enum State<T> {
    Waiting(Option<Waker>),
    Sent(Answer<T>),
    /// The future was dropped, or it has returned.
    Gone,
}

/// The output of the future.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    Value(T),
    /// The sender was dropped without a value.
    Lost,
}

struct Slot<T>(Mutex<State<T>>);

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's end.
pub(super) struct Reply<T>(Arc<Slot<T>>);

/// The caller's end.
pub(super) struct Waiting<T>(Arc<Slot<T>>);

pub(super) fn answer<T>() -> (Reply<T>, Waiting<T>) {
    let slot = Arc::new(Slot(Mutex::new(State::Waiting(None))));
    (Reply(Arc::clone(&slot)), Waiting(slot))
}

impl<T> Reply<T> {
    pub(super) fn is_gone(&self) -> bool {
        matches!(*self.0.lock(), State::Gone)
    }

    pub(super) fn send(self, value: T) {
        self.put(Answer::Value(value));
    }

    fn put(&self, answer: Answer<T>) {
        let mut state = self.0.lock();
        let State::Waiting(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = State::Sent(answer);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        // Does nothing after `send`.
        self.put(Answer::Lost);
    }
}

impl<T> Future for Waiting<T> {
    type Output = Answer<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer<T>> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Waiting(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            State::Sent(_) => match std::mem::replace(&mut *state, State::Gone) {
                State::Sent(answer) => Poll::Ready(answer),
                State::Waiting(_) | State::Gone => Poll::Ready(Answer::Lost),
            },
            State::Gone => Poll::Ready(Answer::Lost),
        }
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        let old = std::mem::replace(&mut *self.0.lock(), State::Gone);
        // Outside the lock, because a destructor may take any time.
        drop(old);
    }
}

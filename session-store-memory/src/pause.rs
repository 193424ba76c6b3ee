//! Giving the worker back in the middle of long work.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that is ready the second time: the task goes to the end of its runtime's queue, whatever runtime it is.
/// Pages and batches take hundreds of microseconds, and without this a caller's loop over them would hold its worker to
/// the end.
#[derive(Default)]
pub(crate) struct Pause {
    done: bool,
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.done {
            return Poll::Ready(());
        }
        self.done = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

//! Giving the worker back in the middle of long work.

use std::future::poll_fn;
use std::task::Poll;

/// Is ready the second time: the task goes to the end of its runtime's queue, whatever runtime it is.
pub(crate) async fn pause() {
    let mut done = false;
    poll_fn(|context| {
        if std::mem::replace(&mut done, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

//! Yielding to other tasks.

use std::future::{Future, poll_fn};
use std::task::Poll;

/// Lets other tasks of the runtime run first: returns `Pending` once and wakes itself. For drivers whose long calls run
/// on a runtime worker. Works in any runtime.
///
/// Tokio looks at its timers and sockets once in 61 polls, unless no task is ready. So a long call stalls them for the
/// time between 61 yields: yield after about 50 microseconds of work.
pub fn yield_now() -> impl Future<Output = ()> + Send {
    let mut yielded = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn other_tasks_run_first() {
        let other = tokio::spawn(async { 7 });
        super::yield_now().await;
        assert!(other.is_finished());
    }
}

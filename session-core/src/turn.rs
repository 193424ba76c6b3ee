//! Yielding to other tasks.

use std::future::Future;

/// Lets other tasks of the runtime run first: returns `Pending` once and wakes itself. For drivers whose long calls run
/// on a runtime worker. Works in any runtime, with one exception
/// below. Yield after about 50 microseconds of work.
///
/// Tokio looks at its timers and sockets once in 61 polls. With the feature `tokio`, which session-manager turns on, it
/// also looks at them in each of these turns, unless another task is ready. Without the feature a long call delays them
/// for the time of 61 turns, which was up to 29 ms where the work met page faults.
///
/// The exception: with the feature, a worker of tokio must not block on another executor, such as `pollster`, that drives
/// a driver. The turn ends when the worker goes on, and it never would. Threads outside of tokio may, and so may
/// `block_in_place`.
pub fn yield_now() -> impl Future<Output = ()> + Send {
    #[cfg(feature = "tokio")]
    return tokio::task::yield_now();
    #[cfg(not(feature = "tokio"))]
    return once();
}

#[cfg(any(test, not(feature = "tokio")))]
fn once() -> impl Future<Output = ()> + Send {
    let mut yielded = false;
    std::future::poll_fn(move |context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn other_tasks_run_first() {
        let other = tokio::spawn(async { 7 });
        super::yield_now().await;
        assert!(other.is_finished());
        let other = tokio::spawn(async { 7 });
        super::once().await;
        assert!(other.is_finished());
    }

    /// Without the feature, the bytes are not noticed before the 61st turn.
    #[cfg(all(unix, feature = "tokio"))]
    #[tokio::test]
    async fn sockets_are_looked_at_in_each_turn() {
        use std::io::Write as _;

        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = tokio::net::UnixStream::from_std(ours).unwrap();
        let reader = tokio::spawn(async move { ours.readable().await });
        let worker = tokio::spawn(async move {
            super::yield_now().await;
            theirs.write_all(b"bytes").unwrap();
            for _ in 0..3 {
                super::yield_now().await;
            }
            reader.is_finished()
        });
        assert!(worker.await.unwrap());
    }

    #[test]
    fn works_outside_of_a_runtime() {
        let mut turn = tokio_test::task::spawn(super::yield_now());
        assert!(turn.poll().is_pending());
        assert!(turn.is_woken() && turn.poll().is_ready());
    }
}

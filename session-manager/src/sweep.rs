//! Removing expired records on a schedule.

use std::sync::Arc;
use std::time::Duration;

use session_core::{Driver, StoreErrorKind};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::LONGEST;
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::sessions::Sessions;

/// The schedule of a sweep.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Sweep {
    every: Duration,
    batch: usize,
    pause: Duration,
}

impl Default for Sweep {
    /// Every five minutes, 500 records at a time, 50 ms between the batches.
    fn default() -> Self {
        Self { every: Duration::from_secs(300), batch: 500, pause: Duration::from_millis(50) }
    }
}

impl Sweep {
    /// How long it rests between two rounds, at least 10 ms. Each rest is a random 75 % to 125 % of it, so that many
    /// processes do not sweep at once.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every.clamp(Duration::from_millis(10), LONGEST);
        self
    }

    /// How many records it removes in one store call; at least 1.
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = batch.max(1);
        self
    }

    /// How long it rests between two batches of a round, with the same jitter.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause.min(LONGEST);
        self
    }
}

/// A running sweep. Dropping it stops the sweep.
#[derive(Debug)]
#[must_use = "a sweep stops when its handle is dropped"]
pub struct Sweeper {
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Stops the sweep and waits for the end of a running batch.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            // A panic in a driver ends the task too, and was reported there.
            drop(task.await);
        }
    }
}

impl<D: Driver> Sessions<D> {
    /// Removes expired records in batches on a schedule, in a task of the current tokio runtime. The first round begins
    /// after one rest. A failure is an event, and the next round tries again. If the driver has no purge, or the store was
    /// closed, the sweep ends.
    ///
    /// [`SessionsBuilder::sweep`](crate::SessionsBuilder::sweep) starts one that needs no handle.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn sweep(&self, options: Sweep) -> Sweeper {
        let (stop, stopped) = watch::channel(false);
        let sessions = self.clone();
        let task = tokio::spawn(run(options, stopped, move || Some(sessions.clone())));
        Sweeper { stop, task: Some(task) }
    }

    /// Sweeps in a task of the current tokio runtime, until all handles are dropped or the store is closed.
    pub(crate) fn sweep_along(&self, options: Sweep) -> Result<(), Error> {
        let Ok(runtime) = Handle::try_current() else {
            let error = Error::new(ErrorKind::Config);
            return Err(error.with_detail("sweep needs a tokio runtime: call build inside of one"));
        };
        let (never_stop, stopped) = watch::channel(false);
        let manager = Arc::downgrade(&self.manager);
        runtime.spawn(async move {
            run(options, stopped, || Some(Self { manager: manager.upgrade()? })).await;
            drop(never_stop);
        });
        Ok(())
    }
}

/// Sweeps until it has to stop or `sessions` returns none.
async fn run<D: Driver>(
    options: Sweep,
    mut stopped: watch::Receiver<bool>,
    sessions: impl Fn() -> Option<Sessions<D>>,
) {
    while !rest(options.every, &mut stopped).await {
        loop {
            let Some(sessions) = sessions() else { return };
            match sessions.manager.purge(options.batch).await {
                Ok(purged) => {
                    if purged.removed > 0 {
                        sessions.manager.emit(None, &Event::Swept { removed: purged.removed });
                    }
                    if !purged.more {
                        break;
                    }
                }
                Err(error)
                    if matches!(error.kind(), StoreErrorKind::Unsupported | StoreErrorKind::Closed) =>
                {
                    return;
                }
                Err(_) => {
                    sessions.manager.emit(None, &Event::SweepFailed);
                    break;
                }
            }
            // Not held while it rests.
            drop(sessions);
            if rest(options.pause, &mut stopped).await {
                return;
            }
        }
    }
}

/// Waits a jittered time. Returns whether the sweep has to stop.
async fn rest(time: Duration, stopped: &mut watch::Receiver<bool>) -> bool {
    let jittered = time.mul_f64(0.75 + fastrand::f64() / 2.0);
    // Ends early if the sweep has to stop or its handle was dropped.
    tokio::time::timeout(jittered, stopped.wait_for(|stop| *stop)).await.is_ok()
}

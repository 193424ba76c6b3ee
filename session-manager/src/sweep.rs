//! Removing expired records on a schedule.

use std::time::Duration;

use session_core::{Driver, StoreErrorKind};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::LONGEST;
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
    /// after one rest. A failure is an event, and the next round tries again. If the driver has no purge, the sweep
    /// ends.
    pub fn sweep(&self, options: Sweep) -> Sweeper {
        let (stop, mut stopped) = watch::channel(false);
        let sessions = self.clone();
        let task = tokio::spawn(async move {
            loop {
                if rest(options.every, &mut stopped).await {
                    return;
                }
                loop {
                    match sessions.manager.purge(options.batch).await {
                        Ok(purged) => {
                            if purged.removed > 0 {
                                sessions.manager.emit(None, &Event::Swept { removed: purged.removed });
                            }
                            if !purged.more {
                                break;
                            }
                        }
                        Err(error) if error.kind() == StoreErrorKind::Unsupported => return,
                        Err(_) => {
                            sessions.manager.emit(None, &Event::SweepFailed);
                            break;
                        }
                    }
                    if rest(options.pause, &mut stopped).await {
                        return;
                    }
                }
            }
        });
        Sweeper { stop, task: Some(task) }
    }
}

/// Waits a jittered time. Returns whether the sweep has to stop.
async fn rest(time: Duration, stopped: &mut watch::Receiver<bool>) -> bool {
    let jittered = time.mul_f64(0.75 + fastrand::f64() / 2.0);
    // Ends early if the sweep has to stop or its handle was dropped.
    tokio::time::timeout(jittered, stopped.wait_for(|stop| *stop)).await.is_ok()
}

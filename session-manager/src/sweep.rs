//! Removing expired records on a schedule.

use std::time::Duration;

use session_core::{Driver, StoreErrorKind};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::event::Event;
use crate::random;
use crate::sessions::Sessions;

/// How a sweep runs.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Sweep {
    every: Duration,
    batch: usize,
    pause: Duration,
}

/// A year: longer rests are none.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

impl Default for Sweep {
    /// Every five minutes, 500 records at a time, 50 ms between the batches.
    fn default() -> Self {
        Self { every: Duration::from_secs(300), batch: 500, pause: Duration::from_millis(50) }
    }
}

impl Sweep {
    /// How long it rests between two rounds; each rest is a random 75 % to 125 % of it, so that many processes do
    /// not sweep at once. At least 10 ms.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every.clamp(Duration::from_millis(10), LONGEST);
        self
    }

    /// How many records it removes in one call of the store; at least 1.
    pub fn batch(mut self, batch: usize) -> Self {
        self.batch = batch.max(1);
        self
    }

    /// How long it rests between two batches of a round, jittered likewise.
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause.min(LONGEST);
        self
    }
}

/// A running sweep. It stops when this is dropped.
#[derive(Debug)]
#[must_use = "a sweep stops when its handle is dropped"]
pub struct Sweeper {
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Sweeper {
    /// Stops the sweep and waits until a batch that is under way has ended.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Some(task) = self.task.take() {
            // It ends by itself; a panic in a driver ends it too, and has been reported where it happened.
            drop(task.await);
        }
    }
}

impl<D: Driver> Sessions<D> {
    /// Removes expired records in batches, on a schedule, on a task of the tokio runtime this is called in. The first
    /// round begins after one rest. A failure is an event, and the next round tries again; where the driver has no
    /// purge, the sweep ends.
    pub fn sweep(&self, options: Sweep) -> Sweeper {
        let (stop, mut stopped) = watch::channel(false);
        let sessions = self.clone();
        let task = tokio::spawn(async move {
            loop {
                if rest(options.every, &mut stopped).await {
                    return;
                }
                loop {
                    match sessions.inner.driver.purge(options.batch).await {
                        Ok(purged) => {
                            if purged.removed > 0 {
                                sessions.inner.emit(None, &Event::Swept { removed: purged.removed });
                            }
                            if !purged.more {
                                break;
                            }
                        }
                        Err(error) if error.kind() == StoreErrorKind::Unsupported => return,
                        Err(_) => {
                            sessions.inner.emit(None, &Event::SweepFailed);
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

/// Waits a jittered time, and says whether the sweep is to stop.
async fn rest(time: Duration, stopped: &mut watch::Receiver<bool>) -> bool {
    let spread =
        random::bytes().map_or(0.5, |bytes| f64::from(u16::from_le_bytes([bytes[0], bytes[1]])) / 65_536.0);
    // It ends early where the sweep is to stop, or its handle was dropped.
    tokio::time::timeout(time.mul_f64(0.75 + spread / 2.0), stopped.wait_for(|stop| *stop)).await.is_ok()
}

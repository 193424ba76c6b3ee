//! One flush for all who wait.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use futures_channel::oneshot;
use session_core::{Error, ErrorKind, Operation, Result};
use sled::Db;

use crate::error::from_sled;

/// A thread that flushes while anybody waits, so that no runtime worker does, and that ends with its last handle.
#[derive(Debug)]
pub(crate) struct Flusher {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    callers: Vec<oneshot::Sender<bool>>,
    over: bool,
}

impl Flusher {
    pub(crate) fn start(database: Db) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("session-sled-flush".into())
            .spawn(move || of_thread.run(&database))
            .map_err(|cause| Error::new(ErrorKind::Unavailable, Operation::Open).with_source(cause))?;
        Ok(Self { shared })
    }

    /// Waits for a flush that began after this call. A caller who stops waiting holds nobody up.
    pub(crate) async fn flush(&self, operation: Operation) -> Result<()> {
        let (caller, flushed) = oneshot::channel();
        self.shared.lock().callers.push(caller);
        self.shared.wake.notify_one();
        match flushed.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Error::new(ErrorKind::Backend, operation)
                .with_detail("sled could not flush its log")
                .applied_unknown()),
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, database: &Db) {
        loop {
            let mut waiting = self.lock();
            while waiting.callers.is_empty() {
                if waiting.over {
                    return;
                }
                waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            let callers = std::mem::take(&mut waiting.callers);
            drop(waiting);
            let flushed = database.flush().map_err(|cause| from_sled(cause, Operation::Flush)).is_ok();
            for caller in callers {
                // A caller that no longer waits is no concern of the others.
                let _gone = caller.send(flushed).is_err();
            }
        }
    }
}

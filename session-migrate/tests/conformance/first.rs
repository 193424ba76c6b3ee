//! A driver that creates the first record of each key in the old store, and leaves everything else to the migration.

use std::fs::{File, TryLockError};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use session_core::{
    Change, Condition, Driver, DynDriver, Key, Operation, Prefix, Purged, Record, Result, StoreError,
    StoreErrorKind, yield_now,
};
use session_migrate::Migrating;

use crate::copier::{Shared, lock};

#[derive(Clone)]
pub(crate) struct FirstInOld {
    pub(crate) migrating: Migrating<DynDriver, DynDriver>,
    /// A folder with a file per key that was created. `None` creates nothing in the old store.
    pub(crate) marks: Option<PathBuf>,
    pub(crate) shared: Arc<Shared>,
    /// The file that the copy locks during each pass.
    pub(crate) pass: PathBuf,
}

impl FirstInOld {
    /// Stores the record in the old store if no process has created its key yet. Two processes that create one key at once
    /// must not create it in different stores, so each waits for the lock of the file.
    async fn store_first(&self, key: &Key, record: &Record, condition: Condition) -> Result<Option<Change>> {
        let Some(marks) = self.marks.as_ref().filter(|_| !matches!(condition, Condition::Revision(_))) else {
            return Ok(None);
        };
        let prefix = Prefix::new(key.prefix().to_owned())?;
        self.shared.prefixes.lock().unwrap_or_else(PoisonError::into_inner).insert(prefix);
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let path = marks.join(format!("{:016x}", hasher.finish()));
        let failed = |error: std::io::Error| {
            StoreError::new(StoreErrorKind::from_io(&error), Operation::Store).with_source(error)
        };
        let mut mark = File::options().create(true).append(true).read(true).open(path).map_err(failed)?;
        loop {
            match mark.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => yield_now().await,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        if mark.metadata().map_err(failed)?.len() > 0 {
            return Ok(None);
        }
        mark.write_all(b"created").map_err(failed)?;
        // To its end, because a dropped store would continue after the lock is free.
        wait(self.migrating.old_store().store(key, record.clone(), condition)).map(Some)
    }
}

impl Driver for FirstInOld {
    async fn store(&self, key: &Key, record: Record, condition: Condition) -> Result<Change> {
        match self.store_first(key, &record, condition).await? {
            Some(answer) => Ok(answer),
            None => self.migrating.store(key, record, condition).await,
        }
    }

    async fn purge(&self, limit: usize) -> Result<Purged> {
        // A pass lasts milliseconds, and runs on a thread of its own.
        drop(lock(&self.pass));
        self.migrating.purge(limit).await
    }

    session_core::forward!(migrating: retrieve store_over remove traverse touch flush close capabilities clock);
}

/// Polls a future to its end on this thread, which may belong to a runtime.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

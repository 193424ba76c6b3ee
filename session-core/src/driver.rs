//! The driver specification. SPEC.md gives each rule its clause.

use std::future::Future;
use std::sync::Arc;

use crate::capabilities::Capabilities;
use crate::change::{Change, Condition, Touch};
use crate::clock::Clock;
use crate::error::{Operation, Result, StoreError};
use crate::key::{Key, Prefix};
use crate::page::{Cursor, Page, Purged};
use crate::record::Record;

/// How many keys [`DriverExt`] asks for at a time.
const PAGE: usize = 256;

/// A session store: retrieve, store, remove and traverse, with compare-and-swap.
///
/// # For driver authors
/// Six methods are required; the others have defaults. The base of all rules: `retrieve` returns what the last
/// successful `store` wrote. Run the conformance suite to see that your driver follows SPEC.md. Handles should be
/// cheap to clone, and all clones share one store.
///
/// A driver that wraps another one MUST forward every method, because a default would hide what the inner driver
/// does: [`forward!`](crate::forward) writes them.
///
/// # For applications
/// Use `Sessions` of `session-manager`, which adds ids, values, replay and rotation. [`DriverExt`] has `count` and
/// `clear`.
///
/// # Cancellation
/// Dropping a future at any point leaves the old record or the new one, never a mixture, and releases all locks. A
/// change whose future is dropped takes effect before the caller's next change of the key, or not at all (C14).
pub trait Driver: Send + Sync + 'static {
    /// Returns the live record of `key`. A key that was never stored, was removed or has expired is `None`, never an
    /// error.
    ///
    /// # Errors
    /// `Corrupt` for a damaged record, which is left as it is; `Unavailable`, `Timeout`, `Closed`, `Backend`.
    fn retrieve(&self, key: &Key) -> impl Future<Output = Result<Option<Record>>> + Send;

    /// Writes `record` under `key` if `condition` holds. Comparing and writing are one atomic step across tasks,
    /// threads and all processes that share the store.
    ///
    /// A change is safe to repeat: where it would conflict, but the live record has the offered record's revision,
    /// the answer is `Applied`. A record that is already past its deadline acts as a removal: if the condition holds,
    /// the stored record is removed and the answer is `Applied`.
    ///
    /// # Errors
    /// `TooLarge` and `Full` leave the old record intact. `Unavailable`, `Timeout`, `Closed`, `Backend`;
    /// [`StoreError::applied`] says whether the change may have happened.
    fn store(
        &self,
        key: &Key,
        record: Record,
        condition: Condition,
    ) -> impl Future<Output = Result<Change>> + Send;

    /// Removes the live record of `key` if `condition` holds. Where there is no live record the answer is
    /// `Conflict(None)`, so that a caller knows whether its own call removed the record; with `Absent` it is
    /// `Applied`.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    fn remove(&self, key: &Key, condition: Condition) -> impl Future<Output = Result<Change>> + Send;

    /// Returns a page of the live keys of `prefix`, in an order that the driver chooses, in bounded memory.
    ///
    /// A page may be shorter or longer than `limit`, or empty. Only `next: None` ends a traversal. A limit of 0
    /// counts as 1. A key that is stored during the whole traversal is reported at least once; a key that vanishes
    /// meanwhile may be skipped.
    ///
    /// # Errors
    /// `InvalidCursor` for a cursor of another driver; `Unsupported` where the engine cannot list its keys.
    fn traverse(
        &self,
        prefix: &Prefix,
        from: Cursor,
        limit: usize,
    ) -> impl Future<Output = Result<Page>> + Send;

    /// What this driver can do and what it promises, with the options that it was opened with.
    fn capabilities(&self) -> Capabilities;

    /// The clock by which this driver judges deadlines. `Sessions` uses the same clock.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Moves the deadline of the live record at revision `touch.from`, gives it revision `touch.to`, and leaves its
    /// data unchanged. Returns `true` if it did, or if the live record already has revision `touch.to`. Everything
    /// else is `false`, which is no error: the latest writer has set the deadline. It never creates a record.
    ///
    /// The default retrieves and stores; a driver should do it in one cheap step.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    fn touch(&self, key: &Key, touch: Touch) -> impl Future<Output = Result<bool>> + Send {
        async move {
            let during = |error: StoreError| error.during(Operation::Touch);
            let found = self.retrieve(key).await.map_err(during)?;
            match touch.step(found) {
                Ok((record, condition)) => {
                    Ok(self.store(key, record, condition).await.map_err(during)?.is_applied())
                }
                Err(touched) => Ok(touched),
            }
        }
    }

    /// Removes at most `limit` expired records of any prefix, and checks each again at the moment of removal. Returns
    /// how many it removed and whether there may be more. Only a driver whose engine expires records may always
    /// answer zero.
    ///
    /// # Errors
    /// `Unsupported` by default.
    fn purge(&self, limit: usize) -> impl Future<Output = Result<Purged>> + Send {
        let _ = limit;
        async { Err(StoreError::unsupported(Operation::Purge)) }
    }

    /// When it returns, all changes acknowledged before the call survive power loss, where the engine can do that.
    ///
    /// # Errors
    /// `Unavailable`, `Full`, `Closed`, `Backend`. The default does nothing.
    fn flush(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Flushes and closes. From then on every call on every clone of this handle fails with `Closed`, except another
    /// `close`.
    ///
    /// # Errors
    /// As [`flush`](Self::flush). The default only flushes.
    fn close(&self) -> impl Future<Output = Result<()>> + Send {
        self.flush()
    }
}

/// What every driver can do on top of its own methods. Implemented for all drivers, so a wrapper cannot forget it.
pub trait DriverExt: Driver {
    /// Counts the live keys of `prefix`. Where a traversal may report a key twice, the count is an upper bound.
    ///
    /// # Errors
    /// As [`traverse`](Driver::traverse).
    fn count(&self, prefix: &Prefix) -> impl Future<Output = Result<u64>> + Send {
        async move {
            let mut total = 0;
            let mut next = Some(Cursor::start());
            while let Some(from) = next {
                let page = self.traverse(prefix, from, PAGE).await;
                let page = page.map_err(|error| error.during(Operation::Count))?;
                total += page.entries.len() as u64;
                next = page.next;
            }
            Ok(total)
        }
    }

    /// Removes every key of `prefix` that is stored during the whole call, and returns how many it removed.
    ///
    /// # Errors
    /// As [`traverse`](Driver::traverse) and [`remove`](Driver::remove). Keys removed before the error stay removed.
    fn clear(&self, prefix: &Prefix) -> impl Future<Output = Result<u64>> + Send {
        async move {
            let mut removed = 0;
            let mut next = Some(Cursor::start());
            while let Some(from) = next {
                let page = self.traverse(prefix, from, PAGE).await;
                let page = page.map_err(|error| error.during(Operation::Clear))?;
                for entry in page.entries {
                    let answer = self.remove(&entry.key, Condition::Any).await;
                    removed +=
                        u64::from(answer.map_err(|error| error.during(Operation::Clear))?.is_applied());
                }
                next = page.next;
            }
            Ok(removed)
        }
    }
}

impl<D: Driver> DriverExt for D {}

//! The driver specification. SPEC.md gives each rule its clause.

use std::future::Future;
use std::sync::Arc;

use crate::capabilities::Capabilities;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::{Error, Operation, Result};
use crate::key::{Key, Prefix};
use crate::page::{Cursor, Page, Purged};
use crate::record::{Condition, Record, Revision, Stored};

/// How many keys the provided [`count`](Driver::count) and [`clear`](Driver::clear) ask for at a time.
const PAGE: usize = 256;

/// A session store.
///
/// # For driver authors
/// Four operations are required, the same four as CGI::Session's drivers; the rest has defaults. The law under all of
/// them: `retrieve` returns what the last successful `store` wrote. Run the conformance suite to know that you keep
/// it. Handles should be cheap to clone and share one store.
///
/// # For applications
/// Use `session-manager`'s `Sessions`, which adds what a driver knows nothing of: ids, values, replay, rotation.
///
/// # Cancellation
/// Dropping a future at any point leaves the old record or the new one, never a mixture; locks are released. A change
/// that was dropped takes effect before whatever its caller changes next, or not at all.
pub trait Driver: Send + Sync + 'static {
    /// The live record of `key`. What was never stored, was removed or has expired is `None`, never an error.
    ///
    /// # Errors
    /// `Corrupt` for a damaged record, which is left as it is; `Unavailable`, `Timeout`, `Closed`, `Backend`.
    fn retrieve(&self, key: &Key) -> impl Future<Output = Result<Option<Record>>> + Send;

    /// Writes `record` under `key` if `when` holds, comparing and writing in one atomic step across tasks, threads
    /// and every process that shares the store.
    ///
    /// A change is safe to repeat: where it would conflict but the live record has the offered record's revision, the
    /// answer is `Yes`. A record that is past its deadline already acts as a removal: if the condition holds, what
    /// was there is gone and the answer is `Yes`.
    ///
    /// # Errors
    /// `TooLarge` and `Full` leave the old record intact. `Unavailable`, `Timeout`, `Closed`, `Backend`;
    /// [`Error::applied`] says whether the change may have happened.
    fn store(
        &self,
        key: &Key,
        record: Record,
        when: Condition,
    ) -> impl Future<Output = Result<Stored>> + Send;

    /// Removes the live record of `key` if `when` holds. Where nothing live was there the answer is
    /// `Conflict(None)`, so that a caller knows whether it was the one who removed; with `Absent`, `Yes`.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    fn remove(&self, key: &Key, when: Condition) -> impl Future<Output = Result<Stored>> + Send;

    /// A page of the live keys of `prefix`, in an order of the driver's choice, in bounded memory.
    ///
    /// A page may be shorter or longer than `limit`, even empty; only `next: None` ends, and a limit of 0 counts as 1.
    /// A key that is there all the time is reported at least once; one that vanishes meanwhile is skipped.
    ///
    /// # Errors
    /// `InvalidCursor` for a cursor that is not this driver's; `Unsupported` where the engine cannot list.
    fn traverse(
        &self,
        prefix: &Prefix,
        from: Cursor,
        limit: usize,
    ) -> impl Future<Output = Result<Page>> + Send;

    /// Moves the deadline of the live record that has revision `from`, gives it revision `to` and leaves its data
    /// alone. `true` if it did, or if the live record has revision `to` already; anything else there is `false`,
    /// which is no error: whoever wrote last has set the deadline. It never creates.
    ///
    /// The default retrieves and stores; a driver should do it in one cheap step.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    fn touch(
        &self,
        key: &Key,
        from: Revision,
        to: Revision,
        deadline: Option<Timestamp>,
    ) -> impl Future<Output = Result<bool>> + Send {
        async move {
            match self.retrieve(key).await.map_err(|error| error.during(Operation::Touch))? {
                Some(record) if record.revision == to => Ok(true),
                Some(record) if record.revision == from => {
                    let touched = Record { expires: deadline, revision: to, ..record };
                    let answer = self.store(key, touched, Condition::Revision(from)).await;
                    Ok(answer.map_err(|error| error.during(Operation::Touch))?.is_yes())
                }
                _ => Ok(false),
            }
        }
    }

    /// Removes at most `limit` expired records of any prefix, rechecking each at the moment of removal, and says how
    /// many and whether there may be more. Zero is answered only where the engine expires by itself.
    ///
    /// # Errors
    /// `Unsupported` by default.
    fn purge(&self, limit: usize) -> impl Future<Output = Result<Purged>> + Send {
        let _ = limit;
        async { Err(Error::unsupported(Operation::Purge)) }
    }

    /// How many live keys `prefix` has. Where a traversal may report a key twice, it is an upper bound.
    ///
    /// # Errors
    /// As [`traverse`](Self::traverse).
    fn count(&self, prefix: &Prefix) -> impl Future<Output = Result<u64>> + Send {
        async move {
            let mut total = 0;
            let mut from = Cursor::start();
            loop {
                let page = self
                    .traverse(prefix, from, PAGE)
                    .await
                    .map_err(|error| error.during(Operation::Count))?;
                total += page.entries.len() as u64;
                match page.next {
                    Some(next) => from = next,
                    None => return Ok(total),
                }
            }
        }
    }

    /// Removes every key of `prefix` that is there all the time, and says how many it removed.
    ///
    /// # Errors
    /// As [`traverse`](Self::traverse) and [`remove`](Self::remove); what was removed before the error stays removed.
    fn clear(&self, prefix: &Prefix) -> impl Future<Output = Result<u64>> + Send {
        async move {
            let mut removed = 0;
            let mut from = Cursor::start();
            loop {
                let page = self
                    .traverse(prefix, from, PAGE)
                    .await
                    .map_err(|error| error.during(Operation::Clear))?;
                for entry in page.entries {
                    let answer = self.remove(&entry.key, Condition::Any).await;
                    removed += u64::from(answer.map_err(|error| error.during(Operation::Clear))?.is_yes());
                }
                match page.next {
                    Some(next) => from = next,
                    None => return Ok(removed),
                }
            }
        }
    }

    /// When it returns, everything acknowledged before the call survives power loss, where the engine can do that.
    ///
    /// # Errors
    /// `Unavailable`, `Full`, `Closed`, `Backend`. The default does nothing.
    fn flush(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Flushes; from then on every call on every clone of this handle is `Closed`, closing again excepted.
    ///
    /// # Errors
    /// As [`flush`](Self::flush). The default only flushes.
    fn close(&self) -> impl Future<Output = Result<()>> + Send {
        self.flush()
    }

    /// What this driver can do and what it promises, with the options that it was opened with.
    fn capabilities(&self) -> Capabilities;

    /// The clock by which this driver judges deadlines. `Sessions` uses the same one.
    fn clock(&self) -> Arc<dyn Clock> {
        SystemClock::shared()
    }
}

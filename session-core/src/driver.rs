//! The driver trait. SPEC.md has a clause for each rule.

use std::future::Future;
use std::sync::Arc;

use crate::capabilities::Capabilities;
use crate::change::{Change, Condition, Touch};
use crate::clock::Clock;
use crate::error::{Operation, Result, StoreError};
use crate::key::{Key, Prefix};
use crate::page::{Cursor, Page, Purged};
use crate::record::Record;

/// The page size of [`DriverExt`]'s traversals.
const PAGE: usize = 256;

/// A session store: retrieve, store, remove and traverse, with compare-and-swap.
///
/// # For driver authors
/// Six methods have no default: `retrieve`, `store`, `remove`, `traverse`, `capabilities` and `clock`. Write `close`
/// and `flush` too: their defaults know no closed state, and B32 requires `Closed` after `close`. The defaults of
/// `touch` and `purge` are correct but limited: see there.
///
/// The basic rule: `retrieve` returns the record that the last successful `store` wrote. SPEC.md lists all rules, and
/// the conformance suite tests them. Handles should be cheap to clone. All clones share one store.
///
/// A driver that wraps another driver MUST forward every method but [`retrieve_recent`](Self::retrieve_recent), which it may
/// leave out. A default would replace the inner driver's method.
/// [`forward!`](crate::forward) writes the forwarding methods.
///
/// # For applications
/// Use `session-manager`, which adds ids, values, replay and rotation. [`DriverExt`] adds `count` and `clear`.
///
/// # Cancellation
/// After a dropped future, the old or the new record is stored, never a mixture. The change may still take effect a
/// little later, but not after the same caller's next change of that key (C14). It holds a lock no longer than an
/// ordinary call.
pub trait Driver: Send + Sync + 'static {
    /// Returns the live record of `key`. `None` if the key was never stored, was removed, or has expired.
    ///
    /// # Errors
    /// `Corrupt` for a damaged record, which stays unchanged. `Unavailable`, `Timeout`, `Closed`, `Misconfigured`, `Backend`.
    fn retrieve(&self, key: &Key) -> impl Future<Output = Result<Option<Record>>> + Send;

    /// Does what [`retrieve`](Self::retrieve) does, and may answer from a cache: with the record of an earlier moment, at
    /// most [`Capabilities::staleness`] ago. Changes through this handle and its clones are never missing from the answer.
    ///
    /// For callers that change a record only on condition of the revision that they have read, so that an old record costs
    /// them a conflict, and no update is lost. The session layer loads the session of a request by it.
    ///
    /// The default calls `retrieve`. A wrapper that leaves the default loses the cache of the driver inside, and nothing else.
    ///
    /// # Errors
    /// As [`retrieve`](Self::retrieve).
    fn retrieve_recent(&self, key: &Key) -> impl Future<Output = Result<Option<Record>>> + Send {
        self.retrieve(key)
    }

    /// Writes `record` under `key` if `condition` holds. Comparing and writing are one atomic step for all tasks,
    /// threads and processes that share the store.
    ///
    /// A repeated store answers `Applied` while the record it wrote is still live, even if the condition fails: an
    /// equal revision shows that this change was made (B21). Once that revision is gone, a repeated store is a new
    /// change. Under `Any`, or under `Absent` without a live record, it writes the record again.
    ///
    /// A `record` that is already expired acts as a removal: if the condition holds, the stored record is removed and
    /// the answer is `Applied`.
    ///
    /// # Errors
    /// `TooLarge` and `Full` leave the old record intact. `Corrupt`, `Unavailable`, `Timeout`, `Closed`, `Backend`.
    /// [`StoreError::applied`] says whether the change may have happened.
    fn store(
        &self,
        key: &Key,
        record: Record,
        condition: Condition,
    ) -> impl Future<Output = Result<Change>> + Send;

    /// Does what [`store`](Self::store) does with `Condition::Revision(loaded.revision)`, for a caller that holds the
    /// record it replaces.
    ///
    /// `loaded` is a hint. The answer MUST be that of `store`, whatever data and deadline `loaded` has, because a touch
    /// may have moved the deadline and a caller may have changed the data.
    ///
    /// The default calls `store`. Override it if the engine can compare the whole old value more cheaply than a
    /// revision, as Redis can with `SET … IFEQ`.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    fn store_over(
        &self,
        key: &Key,
        record: Record,
        loaded: &Record,
    ) -> impl Future<Output = Result<Change>> + Send {
        self.store(key, record, Condition::Revision(loaded.revision))
    }

    /// Removes the live record of `key` if `condition` holds. Without a live record the answer is `Conflict(None)`, or
    /// `Applied` under `Absent`. So under `Any` and `Revision`, `Applied` means that this call removed the record. A
    /// damaged record is outside this rule: under `Any` it may be removed, under `Revision` too if the driver can still read
    /// that revision (F01), and otherwise the call fails with `Corrupt`.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    fn remove(&self, key: &Key, condition: Condition) -> impl Future<Output = Result<Change>> + Send;

    /// Returns a page of the live keys of `prefix`, in the driver's own order, using bounded memory.
    ///
    /// A page may be shorter or longer than `limit`, or empty. Only `next: None` ends the traversal. A limit of zero
    /// means one. A key that is stored throughout the traversal is reported at least once. A key that was
    /// removed before its page was requested is not reported (T08). A key that is added meanwhile may be missing.
    ///
    /// # Errors
    /// `InvalidCursor` for bytes that are not a cursor. `Unsupported` if the engine cannot list its keys.
    fn traverse(
        &self,
        prefix: &Prefix,
        from: Cursor,
        limit: usize,
    ) -> impl Future<Output = Result<Page>> + Send;

    /// The abilities and promises of this driver with its current options.
    fn capabilities(&self) -> Capabilities;

    /// The clock that this driver compares deadlines with. The session layer uses it too.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Sets the deadline of the live record at revision `touch.from` and its revision to `touch.to`. The data stays
    /// unchanged.
    ///
    /// Returns `true` if it did so, or if the live record already has revision `touch.to`. Otherwise returns `false`:
    /// no live record is stored, or it has another revision. A touch never creates a record.
    ///
    /// The default retrieves the record and stores it again with its data. Write your own, in one step that leaves the
    /// data alone: sessions are extended more often than changed, which must not cost a copy of the data (B23).
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

    /// Removes at most `limit` expired records of any prefix. The driver checks each record again when it removes it.
    ///
    /// A driver whose engine expires records has nothing to do here. It overrides this method to answer zero, with
    /// `more: false`, as session-store-redis does. B01 also permits `Unsupported`, for this driver and for one that
    /// has not written this method yet.
    ///
    /// # Errors
    /// `Unsupported` by default. Otherwise as [`remove`](Self::remove).
    fn purge(&self, limit: usize) -> impl Future<Output = Result<Purged>> + Send {
        let _ = limit;
        async { Err(StoreError::unsupported(Operation::Purge)) }
    }

    /// Makes all changes acknowledged before the call survive power loss, if the engine can.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Full`, `Closed`, `Misconfigured`, `Backend`. The default does nothing and always succeeds, even after `close`, so
    /// a driver has to write this method to keep B32.
    fn flush(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Flushes and closes. Later calls on any clone of this handle fail with `Closed`, except `close` itself.
    ///
    /// # Errors
    /// As [`flush`](Self::flush). The default only flushes and closes nothing, so a driver has to write this method to
    /// keep B32.
    fn close(&self) -> impl Future<Output = Result<()>> + Send {
        self.flush()
    }
}

/// Methods built from those of [`Driver`]. Implemented for all drivers, so a wrapper cannot forget them.
pub trait DriverExt: Driver {
    /// Counts the live keys of `prefix`. An upper bound if the driver does not claim `exactly_once`.
    ///
    /// It counts records, and so more than sessions: `session-manager` leaves a record under the old key for a minute
    /// after each rotation and login. To count sessions, walk with its `Sessions::find`.
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

    /// Removes every key of `prefix` that is stored throughout the call. Returns the number of removed records.
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

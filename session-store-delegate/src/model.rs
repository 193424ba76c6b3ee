//! The application's part: how its objects are loaded and written.

use std::error::Error as StdError;
use std::future::Future;

use session_core::{Applied, Capabilities, Condition, Entry, Key, Prefix, StoreErrorKind, Timestamp};

use crate::delegate::Delegate;
use crate::mapping::Location;

/// The application's own objects as a store of records.
///
/// # For authors of models
/// Three methods are required. Every operation of the driver is one unit of work: `delegate`, the object's accessors,
/// then `flush` once. The driver does not flush if nothing changes or a call has failed. After a conflict, the driver begins a
/// new unit of work with a new object.
///
/// `flush` is a method of the model and consumes the object, so an object is plain data and cannot be flushed twice.
/// The model does not judge deadlines: it treats an expired record like any other.
///
/// A model of plain functions, over rusqlite, Diesel or a map, writes each method as an `async fn` without an await. If
/// its calls may block, open the store with `DelegateStore::pooled`.
///
/// # Cancellation
/// The future of `flush` may be dropped at any await. It MUST then have written everything or nothing. A single
/// statement does so, and so does a transaction that is rolled back when it is dropped.
///
/// A flush whose future was dropped MUST take effect before a later change of the same fields, or not at all. Otherwise
/// a caller that gave up and tried again could lose an acknowledged write. A condition does not prevent that: a late
/// flush with `Absent` finds the location empty after a removal, and brings the record back. Some servers continue a
/// statement whose future was dropped. The model then has three choices:
///
/// - the next flush uses the same connection and waits there for the end of the first one;
/// - it cancels the statement, and the server confirms that;
/// - the flush runs in a task of its own, and later flushes of the location wait for that task.
pub trait Model: Send + Sync + 'static {
    /// The object. See [`Delegate`].
    type Delegate: Delegate<Error = Self::Error>;
    /// The model's error. Its text and its sources MUST show no id and no stored data, because they are logged.
    type Error: StdError + Send + Sync + 'static;

    /// Loads the object `location.id` as it is stored now, all fields from one state. If it does not exist, returns a
    /// new object with empty fields and writes nothing. It never returns an object that was loaded earlier.
    ///
    /// A model with many fields may load only those of `location.fields`.
    ///
    /// # Errors
    /// The model's own.
    fn delegate(
        &self,
        location: &Location,
    ) -> impl Future<Output = Result<Self::Delegate, Self::Error>> + Send;

    /// Writes the changes of `delegate` if `expected` holds. It writes the fields of `location` only: the object's other
    /// fields belong to the application or to other locations.
    ///
    /// `expected` refers to the stored value of `location.fields.revision`, expired or not. `Absent`: the field is empty
    /// or the object does not exist. `Revision`: the field holds these 8 bytes. `Any`: always. Comparing and writing
    /// MUST be one atomic step for all users of the store. A model that cannot do that has the capability
    /// `conditional: false`, and the driver then calls it with `Any` only.
    ///
    /// If the three fields of `delegate` are empty, the record is removed. The model decides whether the object is
    /// removed too; it stays if it holds anything else. With `Any` and `Absent`, removing fields that were empty already
    /// is a `Conflict`. Otherwise two callers that remove one record might both be told that they did.
    ///
    /// # Errors
    /// The model's own. [`classify`](Self::classify) says whether the change may have happened.
    fn flush(
        &self,
        location: &Location,
        delegate: Self::Delegate,
        expected: Condition,
    ) -> impl Future<Output = Result<Flushed, Self::Error>> + Send;

    /// The capabilities of the model, which are also the driver's. The driver refuses data longer than
    /// `max_record_bytes`.
    fn capabilities(&self) -> Capabilities;

    /// The kind of an error, and whether a flush that failed with it may have written. A call before the flush has
    /// always written nothing.
    ///
    /// Default: `Backend` and `Unknown`.
    fn classify(&self, error: &Self::Error) -> (StoreErrorKind, Applied) {
        let _ = error;
        (StoreErrorKind::Backend, Applied::Unknown)
    }

    /// Lists the next `limit` records of `prefix` after the key `after`, which may be gone, or from the beginning. Keys
    /// MUST keep their place in the order, as ids do. Fewer than `limit` are allowed, more are not, and only an empty
    /// list ends a traversal. Expired and damaged records may be listed.
    ///
    /// Everything in an entry MUST be true. If an entry has no deadline, the driver loads the object.
    ///
    /// Default: `None`, the model cannot list. `traverse`, `count` and `clear` are then `Unsupported`.
    ///
    /// # Errors
    /// The model's own.
    fn list(
        &self,
        prefix: &Prefix,
        after: Option<&Key>,
        limit: usize,
    ) -> impl Future<Output = Result<Option<Vec<Entry>>, Self::Error>> + Send {
        let _ = (prefix, after, limit);
        async { Ok(None) }
    }

    /// Lists the next `limit` keys of any prefix after the key `after`, whose deadline is `now` or earlier, in an order
    /// as that of [`list`](Self::list). Only an empty list ends the purge. The driver loads each object,
    /// checks it again, empties it and flushes it. Then it asks for the keys after the last one.
    ///
    /// Records without a revision may be listed: their flush expects `Absent`. Records with a damaged revision may be
    /// listed too: their flush expects `Any`, and removes also a record that is stored in the same instant. A model that
    /// omits them leaves them to a removal without a condition.
    ///
    /// Default: `None`, the model cannot list them. `purge` is then `Unsupported`. It is also `Unsupported` if the model
    /// is not conditional, because a record may be stored between the look and the flush.
    ///
    /// # Errors
    /// The model's own.
    fn expired(
        &self,
        now: Timestamp,
        after: Option<&Key>,
        limit: usize,
    ) -> impl Future<Output = Result<Option<Vec<Key>>, Self::Error>> + Send {
        let _ = (now, after, limit);
        async { Ok(None) }
    }

    /// When it returns, all earlier flushes survive power loss, where the model can do that. The driver's `flush` and
    /// `close` call it. The default does nothing.
    ///
    /// # Errors
    /// The model's own.
    fn sync(&self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async { Ok(()) }
    }
}

/// The answer of a flush.
///
/// Unlike [`Change`](session_core::Change), its conflict carries no record: only the driver reads fields as records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was written"]
pub enum Flushed {
    /// The changes are written.
    Yes,
    /// `expected` does not hold, and nothing is written.
    Conflict,
}

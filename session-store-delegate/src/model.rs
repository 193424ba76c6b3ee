//! What the application brings: where its objects come from, and how they are written.

use std::error::Error as StdError;
use std::future::Future;

use session_core::{Applied, Capabilities, Condition, Entry, Key, Prefix, StoreErrorKind, Timestamp};

use crate::delegate::Delegate;
use crate::mapping::Place;

/// The application's own objects, as a place for records.
///
/// # For authors of models
/// Three methods are required. `flush` is the model's and takes the object, so that an object holds nothing but data, and
/// nobody can flush it twice. Every operation of the driver is one unit of work: `delegate`, then the accessors of the
/// object, then `flush`, once, unless nothing is to be changed or a call has failed. Only where `flush` says that
/// somebody else was there first, the driver looks again, in a new unit with a new object.
///
/// The model knows nothing of expiry and judges no deadline: to it, an expired record is a record like any other.
///
/// Models that block implement [`BlockingModel`](crate::BlockingModel).
///
/// # Cancellation
/// The future of `flush` may be dropped at any await, and then MUST have written everything or nothing: one statement
/// does, and so does a transaction that goes back when it is dropped.
///
/// Nothing of a flush whose future was dropped MUST take effect after a later change of the same fields: it takes effect
/// before that, or not at all. A caller that gave up and asked again would otherwise lose what was answered with yes, and
/// no condition prevents that: with `Absent`, a flush that comes late finds the place empty again after a removal, and
/// brings back the record. A server that goes on with a statement whose future was dropped makes this the model's task:
/// the next flush goes through the same connection and waits there for the end of the first, or the first is cancelled
/// and the server has said so, or it runs in a task of its own for whose end later flushes of the place wait.
pub trait Model: Send + Sync + 'static {
    /// The object. See [`Delegate`].
    type Delegate: Delegate<Error = Self::Error>;
    /// What the model fails with. Neither its text nor its sources may show an id or stored data, for they end in logs.
    type Error: StdError + Send + Sync + 'static;

    /// The object of `place.id`, as it is in the store at this moment, all fields of the same one. Where there is none it
    /// is a new object whose fields are empty, and nothing is written. It is never one that was loaded earlier, or for
    /// another id.
    ///
    /// A model of many fields need only load those of `place.fields`.
    ///
    /// # Errors
    /// The model's own.
    fn delegate(&self, place: &Place) -> impl Future<Output = Result<Self::Delegate, Self::Error>> + Send;

    /// Writes what was changed in `delegate`, if `expected` holds, and nothing else: the fields of another place in the
    /// same object are somebody else's, and so are the application's own.
    ///
    /// `expected` speaks of what `place.fields.revision` holds in the store at this moment, however old or expired:
    /// with `Absent` that field is empty, or there is no such object; with `Revision` it holds these 8 bytes; with `Any`
    /// it holds anything. Comparing and writing MUST be one atomic step, across everybody who has the store. A model
    /// that cannot do that says `conditional: false`; it is never asked for anything but `Any`.
    ///
    /// A delegate whose three fields are empty is to be dropped. Whether the object goes with them is the model's
    /// decision: one that holds anything else, another place's fields or the application's own data, stays. With `Any`
    /// and `Absent`, the answer is then `Conflict` where all three fields were empty already: otherwise two callers that
    /// remove one record may both be told that they did.
    ///
    /// # Errors
    /// The model's own. [`classify`](Self::classify) says whether the change may have happened.
    fn flush(
        &self,
        place: &Place,
        delegate: Self::Delegate,
        expected: Condition,
    ) -> impl Future<Output = Result<Flushed, Self::Error>> + Send;

    /// What the model can do and what it promises. The driver hands it on as its own claim, and refuses data that is
    /// longer than `max_record_bytes`.
    fn capabilities(&self) -> Capabilities;

    /// What an error means to a caller, and whether a flush that failed with it may have written all the same. (A call
    /// before the flush has written nothing, whatever this says.)
    ///
    /// Default: the engine failed, and it is not known.
    fn classify(&self, error: &Self::Error) -> (StoreErrorKind, Applied) {
        let _ = error;
        (StoreErrorKind::Backend, Applied::Unknown)
    }

    /// The next `limit` records of `prefix` after the key `after`, in an order in which a key never moves, for instance
    /// that of the ids; from the beginning without `after`, which need not exist any more. Fewer are allowed, more are
    /// not, and only an empty list ends a traversal. Expired records may be among them, and damaged ones.
    ///
    /// Whatever an entry says must be true. Where it leaves out the deadline, the driver takes the delegate of its key
    /// and looks.
    ///
    /// Default: `None`, which says that the model cannot list; `traverse`, `count` and `clear` are then `Unsupported`.
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

    /// The next `limit` keys after the key `after`, of any prefix, of records whose deadline is `now` or earlier, in an
    /// order in which a key never moves; from the beginning without `after`, whose record mostly exists no more. Fewer are
    /// allowed, and only an empty list says that there are no others. The driver takes the delegate of each, looks again,
    /// empties it and flushes it; it asks for those after the last one where some could not be removed.
    ///
    /// Records without a revision may be among them: their flush is on `Absent`. So may those whose revision is damaged,
    /// with which nothing can be compared: their flush is on `Any`, and takes along what somebody stores in the same
    /// instant. A model that leaves them out leaves them to a removal without a condition.
    ///
    /// Default: `None`, which says that the model cannot list them; `purge` is then `Unsupported`, as it is where the
    /// model is not conditional, for somebody might store anew between the look and the flush.
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

    /// When it returns, everything that was flushed before survives power loss, where the model can do that. Called by
    /// the driver's `flush` and `close`. Default: nothing.
    ///
    /// # Errors
    /// The model's own.
    fn sync(&self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        async { Ok(()) }
    }
}

/// What a flush came to.
///
/// It is not [`Change`](session_core::Change), whose conflict hands back a record: a model knows fields and no records,
/// and the driver reads them in one place only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a conflict means that nothing was written"]
pub enum Flushed {
    /// It is written.
    Yes,
    /// What was expected is not so, and nothing is written.
    Conflict,
}

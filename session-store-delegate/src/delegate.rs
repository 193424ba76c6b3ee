//! The object that keeps a record, and what its fields hold.

use std::fmt;

use bytes::Bytes;

/// One of the application's own objects, as the driver sees it: fields behind accessors.
///
/// # For authors of models
/// It is plain data in memory: what [`Model::delegate`](crate::Model::delegate) loaded, and the changes that
/// [`Model::flush`](crate::Model::flush) is to write. It owns what it holds, and no accessor waits for anything. The
/// driver calls `get` first and `set` and `delete` after it, on the three fields of one [`Place`](crate::Place) only,
/// and then hands the object to `flush`, or drops it where nothing is to be changed. What an accessor changed and
/// nobody flushed MUST NOT reach the store.
pub trait Delegate: Send {
    /// What an accessor fails with: the model's error.
    type Error;

    /// What `field` holds, or `None` where it is empty. It sees what `set` and `delete` did before.
    ///
    /// What is neither bytes nor a number is [`Value::Damaged`], no error: the driver makes `Corrupt` of it where it
    /// matters, and replaces it where it does not.
    ///
    /// # Errors
    /// The model's own, for a field that it does not have for instance. The object is then dropped and not flushed.
    fn get(&self, field: &str) -> Result<Option<Value>, Self::Error>;

    /// Puts `value` into `field`.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn set(&mut self, field: &str, value: Value) -> Result<(), Self::Error>;

    /// Empties `field`, which may be empty already.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn delete(&mut self, field: &str) -> Result<(), Self::Error>;
}

/// What a field holds. `Debug` shows how many bytes there are and not which.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// The data of a record: any bytes, none included, which is not the same as an empty field. Or its revision:
    /// exactly 8 bytes.
    Bytes(Bytes),
    /// A deadline in milliseconds since 1970, any number from 0 on. No deadline is an empty field.
    ///
    /// A column of signed numbers keeps what is too large for it as its largest.
    Number(u64),
    /// Something that is neither, a text or a negative number for instance. The driver reads it and never writes it.
    Damaged,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} of them)", bytes.len()),
            Self::Number(number) => write!(f, "Number({number})"),
            Self::Damaged => f.write_str("Damaged"),
        }
    }
}

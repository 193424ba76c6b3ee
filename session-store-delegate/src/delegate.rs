//! The application's object, and the values of its fields.

use std::fmt;

use bytes::Bytes;

/// One of the application's own objects: fields behind accessors.
///
/// # For authors of models
/// An object is plain data in memory: the fields that [`Model::delegate`](crate::Model::delegate) loaded, and the
/// changes that [`Model::flush`](crate::Model::flush) will write. It owns its data, and no accessor waits. The driver
/// calls `get` first, then `set` and `delete`, only on the three fields of one [`Location`](crate::Location). Then it
/// passes the object to `flush`, or drops it. A change that is not flushed MUST NOT reach the store.
pub trait Delegate: Send {
    /// The error of the accessors: the model's error.
    type Error;

    /// The value of `field`, or `None` if it is empty. It sees earlier calls of `set` and `delete`.
    ///
    /// A value that is neither bytes nor a number is [`Value::Damaged`], not an error. The driver reports it as
    /// `Corrupt` where it needs the value, and overwrites it where it does not.
    ///
    /// # Errors
    /// The model's own, for instance for an unknown field. The object is then dropped without a flush.
    fn get(&self, field: &str) -> Result<Option<Value>, Self::Error>;

    /// Sets `field` to `value`.
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

/// The value of a field. `Debug` shows the number of bytes and not the bytes.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// The data of a record: any bytes. Zero bytes are not the same as an empty field. Or its revision: exactly 8 bytes.
    Bytes(Bytes),
    /// A deadline in milliseconds since 1970, from 0. A record without a deadline has an empty field.
    ///
    /// A column of signed numbers stores its largest number instead of a larger one.
    Number(u64),
    /// Anything else, such as text or a negative number. The driver reads it and never writes it.
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

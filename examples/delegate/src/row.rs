//! The object of the model.

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use session_store_delegate::{Delegate, Value};

use crate::error::Error;
use crate::slot::Slot;

/// Three columns of a visitor, and whether the data was changed.
#[derive(Clone, Debug)]
pub struct Row {
    pub(crate) slot: &'static Slot,
    /// Data, deadline, revision.
    pub(crate) columns: [Option<Value>; 3],
    pub(crate) new_data: bool,
}

impl Row {
    pub(crate) fn empty(slot: &'static Slot) -> Self {
        Self { slot, columns: [None, None, None], new_data: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.columns.iter().all(Option::is_none)
    }

    fn index(&self, field: &str) -> Result<usize, Error> {
        let index = self.slot.names.iter().position(|known| *known == field);
        index.ok_or_else(|| Error::NoSuchField(field.into()))
    }
}

impl Delegate for Row {
    type Error = Error;

    fn get(&self, field: &str) -> Result<Option<Value>, Error> {
        Ok(self.columns[self.index(field)?].clone())
    }

    fn set(&mut self, field: &str, value: Value) -> Result<(), Error> {
        let index = self.index(field)?;
        self.columns[index] = Some(value);
        self.new_data |= index == 0;
        Ok(())
    }

    fn delete(&mut self, field: &str) -> Result<(), Error> {
        let index = self.index(field)?;
        self.columns[index] = None;
        self.new_data |= index == 0;
        Ok(())
    }
}

/// The value of a column.
pub(crate) fn from_sql(column: ValueRef<'_>) -> Option<Value> {
    match column {
        ValueRef::Null => None,
        ValueRef::Blob(bytes) => Some(Value::Bytes(Bytes::copy_from_slice(bytes))),
        ValueRef::Integer(number) => Some(u64::try_from(number).map_or(Value::Damaged, Value::Number)),
        _ => Some(Value::Damaged),
    }
}

/// The value for a column. A deadline beyond `i64::MAX` is stored as `i64::MAX`.
pub(crate) fn to_sql(value: &Option<Value>) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Some(Value::Bytes(bytes)) => ValueRef::Blob(bytes),
        Some(Value::Number(number)) => ValueRef::Integer(i64::try_from(*number).unwrap_or(i64::MAX)),
        // The driver writes no other value.
        _ => ValueRef::Null,
    })
}

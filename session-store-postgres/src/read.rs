//! Reading a record, and how a row becomes one.

use session_core::{Key, Operation, Record, Result, Revision, Timestamp, is_live};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use crate::error::{Failure, INDEX, REVISION, corrupt};
use crate::open::Inner;

impl Inner {
    pub(crate) async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        let operation = Operation::Retrieve;
        let answer = self.link.ask(&self.statements.retrieve, &[&key.as_bytes()], operation, None).await?;
        let [row] = &answer.rows[..] else { return Err(Failure::Unexpected.during(operation)) };
        let Some(found) = column::<Option<&[u8]>>(row, 1, operation)? else { return Ok(None) };
        if found != key.as_bytes() {
            return Err(corrupt(operation, INDEX));
        }
        let expires = deadline(row, 3, operation)?;
        // An expired record is absent, even if its other columns are damaged.
        if !is_live(expires, self.config.clock.now()) {
            return Ok(None);
        }
        match record(row, 2, operation)? {
            Some(record) => Ok(Some(record)),
            // Boxed, because large records are rare.
            None => Box::pin(self.read_parts(key, operation)).await,
        }
    }
}

/// The record in three columns: revision, deadline, data. `None` if the data is longer than a
/// [`PART`](crate::statement::PART), which a statement does not answer.
pub(crate) fn record(row: &Row, first: usize, operation: Operation) -> Result<Option<Record>> {
    let revision = revision(row, first, operation)?;
    let data = column::<Option<&[u8]>>(row, first + 2, operation)?;
    let deadline = deadline(row, first + 1, operation)?;
    Ok(data.map(|data| Record::new(data.to_vec(), deadline, revision)))
}

pub(crate) fn revision(row: &Row, at: usize, operation: Operation) -> Result<Revision> {
    let bytes = column::<&[u8]>(row, at, operation)?;
    bytes.try_into().map(Revision::from_bytes).map_err(|_| corrupt(operation, REVISION))
}

pub(crate) fn deadline(row: &Row, at: usize, operation: Operation) -> Result<Option<Timestamp>> {
    let millis = column::<Option<i64>>(row, at, operation)?;
    // The driver writes no negative deadline. One is before every moment.
    Ok(millis.map(|millis| Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))))
}

pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize, operation: Operation) -> Result<T> {
    row.try_get(at).map_err(|_| Failure::Unexpected.during(operation))
}

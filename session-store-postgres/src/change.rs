//! Storing, removing and touching one record, and making changes durable.

use session_core::{
    Change, ChangeRequest, Condition, Decision, Found, Key, Operation, Record, Result, Revision, Timestamp,
    Touch, check_record_bytes,
};
use tokio_postgres::Row;

use crate::error::{Failure, INDEX, REVISION, corrupt};
use crate::open::Inner;
use crate::read::{column, deadline, millis, record, revision};
use crate::statement::{Statement, Values};

impl Inner {
    /// Makes a change. A touch that finds another revision is `Conflict(None)`.
    pub(crate) async fn change(&self, key: &Key, request: &ChangeRequest) -> Result<Change> {
        self.link.check(request.operation())?;
        check_record_bytes(request.data_len(), self.config.max_record_bytes)?;
        let now = self.config.clock.now();
        match request {
            ChangeRequest::Store { record, condition } if record.is_live(now) => {
                self.write(key, record, *condition, now).await
            }
            ChangeRequest::Store { condition, .. } | ChangeRequest::Remove { condition } => {
                self.take_away(key, request, *condition, now).await
            }
            ChangeRequest::Touch(touch) => self.move_deadline(key, *touch, now).await,
        }
    }

    async fn write(&self, key: &Key, new: &Record, condition: Condition, now: Timestamp) -> Result<Change> {
        let (key_bytes, offered, now) = (key.as_bytes(), new.revision.to_bytes(), millis(now));
        let (offered, expires, data) = (&offered[..], new.expires.map(millis), &new.data[..]);
        let row = match condition {
            Condition::Any => {
                let values: Values<'_> = &[&key_bytes, &offered, &expires, &data];
                self.row(key, &self.statements.put, values, Operation::Store).await?
            }
            Condition::Absent => {
                let values: Values<'_> = &[&key_bytes, &offered, &expires, &data, &now];
                self.row(key, &self.statements.create, values, Operation::Store).await?
            }
            Condition::Revision(expected) => {
                let expected = expected.to_bytes();
                let values: Values<'_> = &[&key_bytes, &offered, &expires, &data, &&expected[..], &now];
                self.row(key, &self.statements.replace, values, Operation::Store).await?
            }
        };
        // Without a row no live record is stored, as only a replacement finds.
        let Some(row) = row else { return Ok(Change::Conflict(None)) };
        check_key(&row, Operation::Store)?;
        if revision(&row, 1, Operation::Store)? == new.revision {
            Ok(Change::Applied)
        } else {
            Ok(Change::Conflict(Some(record(&row, 1, Operation::Store)?)))
        }
    }

    /// A removal, and a store of a record that is expired already.
    async fn take_away(
        &self,
        key: &Key,
        request: &ChangeRequest,
        condition: Condition,
        now: Timestamp,
    ) -> Result<Change> {
        let operation = request.operation();
        let expected = match condition {
            Condition::Revision(expected) => Some(expected.to_bytes()),
            Condition::Any | Condition::Absent => None,
        };
        let (expected, absent) = (expected.as_ref().map(|bytes| &bytes[..]), condition == Condition::Absent);
        let values: Values<'_> = &[&key.as_bytes(), &expected, &absent, &millis(now)];
        let row = self.row(key, &self.statements.remove, values, operation).await?;
        let found = match &row {
            None => Found::Nothing,
            Some(row) => {
                check_key(row, operation)?;
                let expires = deadline(row, 2, operation)?;
                revision(row, 1, operation).map_or(Found::Damaged, |found| Found::at(expires, found, now))
            }
        };
        // The statement follows the same rule, and has deleted the row already.
        match request.decide(found, now) {
            Decision::Delete | Decision::AlreadyApplied | Decision::AlreadyAbsent => Ok(Change::Applied),
            Decision::Corrupt => Err(corrupt(operation, REVISION)),
            Decision::Conflict => match (&row, found) {
                (Some(row), Found::Live(_)) => Ok(Change::Conflict(Some(record(row, 1, operation)?))),
                _ => Ok(Change::Conflict(None)),
            },
            // Only for a live record.
            Decision::Write => Err(Failure::Unexpected.during(operation)),
        }
    }

    async fn move_deadline(&self, key: &Key, touch: Touch, now: Timestamp) -> Result<Change> {
        let (from, to) = (touch.from.to_bytes(), touch.to.to_bytes());
        let values: Values<'_> =
            &[&key.as_bytes(), &&from[..], &&to[..], &touch.deadline.map(millis), &millis(now)];
        let row = self.row(key, &self.statements.touch, values, Operation::Touch).await?;
        let Some(row) = row else { return Ok(Change::Conflict(None)) };
        check_key(&row, Operation::Touch)?;
        let stored: Revision = revision(&row, 1, Operation::Touch)?;
        Ok(if stored == touch.to { Change::Applied } else { Change::Conflict(None) })
    }

    async fn row(
        &self,
        key: &Key,
        statement: &Statement,
        values: Values<'_>,
        operation: Operation,
    ) -> Result<Option<Row>> {
        let rows = self.link.ask(statement, values, operation, Some(key)).await?;
        Ok(rows.into_iter().next())
    }

    pub(crate) async fn flush(&self) -> Result<()> {
        self.flush_during(Operation::Flush).await
    }

    async fn flush_during(&self, operation: Operation) -> Result<()> {
        self.link.ask(&self.statements.flush, &[], operation, None).await.map(drop)
    }

    /// Flushes and closes. The store is closed even if the flush fails.
    pub(crate) async fn close(&self) -> Result<()> {
        if self.link.gate.is_closed() {
            return Ok(());
        }
        let flushed = self.flush_during(Operation::Close).await;
        self.link.close();
        flushed
    }
}

/// The first column is whether the row has the key that was asked for.
fn check_key(row: &Row, operation: Operation) -> Result<()> {
    if column(row, 0, operation)? { Ok(()) } else { Err(corrupt(operation, INDEX)) }
}

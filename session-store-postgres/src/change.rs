//! Storing, removing and touching one record, and making changes durable.

use session_core::{
    Change, ChangeRequest, Condition, Decision, Found, Key, Operation, Record, Result, Revision, Timestamp,
    Touch, check_record_bytes, is_live,
};
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::{Failure, INDEX, REVISION, corrupt};
use crate::link::Link;
use crate::open::Inner;
use crate::read::{column, deadline, record, revision};
use crate::statement::{PART, Values, millis};

/// How the data of a new record gets to the server.
pub(crate) enum Data<'a> {
    /// With the statement.
    Whole,
    /// It is there, in as many parts whose keys begin with this name. The call ends at `until`.
    Joined { name: &'a [u8], count: i64, until: Instant },
}

impl Inner {
    /// Makes a change. A touch that finds another revision is `Conflict(None)`.
    pub(crate) async fn change(&self, key: &Key, request: &ChangeRequest) -> Result<Change> {
        self.link.check(request.operation())?;
        check_record_bytes(request.data_len(), self.config.max_record_bytes)?;
        match self.attempt(key, request).await? {
            Some(change) => Ok(change),
            // Boxed, because large records are rare.
            None => Box::pin(self.change_beside_large(key, request)).await,
        }
    }

    /// As [`change`](Self::change). `None` if it conflicts with a record that is too large for an answer.
    pub(crate) async fn attempt(&self, key: &Key, request: &ChangeRequest) -> Result<Option<Change>> {
        // A record that expires before the statement is sent is written and absent at once.
        let now = self.config.clock.now();
        match request {
            ChangeRequest::Store { record, condition } if record.is_live(now) => {
                if record.data.len() > PART {
                    return Box::pin(self.write_parts(key, record, *condition)).await;
                }
                self.write_as(key, record, *condition, Data::Whole).await
            }
            ChangeRequest::Store { condition, .. } | ChangeRequest::Remove { condition } => {
                self.take_away(key, request, *condition, now).await
            }
            ChangeRequest::Touch(touch) => self.move_deadline(key, *touch).await.map(Some),
        }
    }

    /// Stores a live record.
    pub(crate) async fn write_as(
        &self,
        key: &Key,
        new: &Record,
        condition: Condition,
        data: Data<'_>,
    ) -> Result<Option<Change>> {
        let (key_bytes, offered) = (key.as_bytes(), new.revision.to_bytes());
        let (offered, expires) = (&offered[..], new.expires.map(millis));
        let (stores, data, count, until) = match data {
            Data::Whole => (&self.statements.whole, &new.data[..], None, None),
            Data::Joined { name, count, until } => (&self.statements.joined, name, Some(count), Some(until)),
        };
        let mut values: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(7);
        values.extend([&key_bytes as &(dyn ToSql + Sync), &offered, &expires, &data]);
        if let Some(count) = &count {
            values.push(count);
        }
        let expected = match condition {
            Condition::Revision(expected) => expected.to_bytes(),
            Condition::Any | Condition::Absent => [0; 8],
        };
        let expected = &expected[..];
        let attempts = match condition {
            Condition::Any => &stores.put,
            Condition::Absent => &stores.create,
            Condition::Revision(_) => {
                values.push(&expected);
                &stores.replace
            }
        };
        let answer = self.link.change(attempts, &values, Operation::Store, key, until).await?;
        let Some(answer) = answer else { return Ok(Some(Change::Applied)) };
        // Without a row no live record is stored, as only a replacement finds.
        let Some(row) = answer.rows.into_iter().next() else { return Ok(Some(Change::Conflict(None))) };
        check_key(&row, Operation::Store)?;
        if revision(&row, 1, Operation::Store)? == new.revision {
            Ok(Some(Change::Applied))
        } else {
            Ok(record(&row, 1, Operation::Store)?.map(|live| Change::Conflict(Some(live))))
        }
    }

    /// A removal, and a store of a record that is expired at `now`.
    async fn take_away(
        &self,
        key: &Key,
        request: &ChangeRequest,
        condition: Condition,
        now: Timestamp,
    ) -> Result<Option<Change>> {
        let operation = request.operation();
        let expected = match condition {
            Condition::Revision(expected) => Some(expected.to_bytes()),
            Condition::Any | Condition::Absent => None,
        };
        let (expected, absent) = (expected.as_ref().map(|bytes| &bytes[..]), condition == Condition::Absent);
        let values: Values<'_> = &[&key.as_bytes(), &expected, &absent];
        let answer = self.link.ask(&self.statements.remove, values, operation, Some(key)).await?;
        let (row, sent) = (answer.rows.first(), answer.sent);
        let found = match row {
            None => Found::Nothing,
            Some(row) => {
                check_key(row, operation)?;
                // An expired record is absent, even if its other columns are damaged.
                if is_live(deadline(row, 2, operation)?, sent) {
                    revision(row, 1, operation).map_or(Found::Damaged, Found::Live)
                } else {
                    Found::Expired
                }
            }
        };
        // The statement follows the same rule, and has deleted the row already. An offered record that was expired at `now`
        // stays so, even if the clock was set back since.
        match request.decide(found, now.max(sent)) {
            Decision::Delete | Decision::AlreadyApplied | Decision::AlreadyAbsent => {
                Ok(Some(Change::Applied))
            }
            Decision::Corrupt => Err(corrupt(operation, REVISION)),
            Decision::Conflict => match (row, found) {
                (Some(row), Found::Live(_)) => {
                    Ok(record(row, 1, operation)?.map(|live| Change::Conflict(Some(live))))
                }
                _ => Ok(Some(Change::Conflict(None))),
            },
            // Only for a live record.
            Decision::Write => Err(Failure::Unexpected.during(operation)),
        }
    }

    async fn move_deadline(&self, key: &Key, touch: Touch) -> Result<Change> {
        let (from, to) = (touch.from.to_bytes(), touch.to.to_bytes());
        let values: Values<'_> = &[&key.as_bytes(), &&from[..], &&to[..], &touch.deadline.map(millis)];
        let answer = self.link.change(&self.statements.touch, values, Operation::Touch, key, None).await?;
        let Some(answer) = answer else { return Ok(Change::Applied) };
        let Some(row) = answer.rows.into_iter().next() else { return Ok(Change::Conflict(None)) };
        check_key(&row, Operation::Touch)?;
        let stored: Revision = revision(&row, 1, Operation::Touch)?;
        Ok(if stored == touch.to { Change::Applied } else { Change::Conflict(None) })
    }

    pub(crate) async fn flush(&self) -> Result<()> {
        self.link.ask(&self.statements.flush, &[], Operation::Flush, None).await.map(drop)
    }

    /// Closes and flushes. The store is closed even if the flush fails or is abandoned.
    pub(crate) async fn close(&self) -> Result<()> {
        self.link.check_process(Operation::Close)?;
        if !self.link.gate.close() {
            return Ok(());
        }
        // The gate lets no more changes in that the flush would not cover.
        let _closing = ClosesPool(&self.link);
        self.link.ask_inside(&self.statements.flush, Operation::Close).await.map(drop)
    }
}

/// Closes the pool at the end of a `close`.
struct ClosesPool<'a>(&'a Link);

impl Drop for ClosesPool<'_> {
    fn drop(&mut self) {
        self.0.close_pool();
    }
}

/// The first column is whether the row has the key that was asked for.
fn check_key(row: &Row, operation: Operation) -> Result<()> {
    if column(row, 0, operation)? { Ok(()) } else { Err(corrupt(operation, INDEX)) }
}

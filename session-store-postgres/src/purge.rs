//! Removing expired records, a bounded step at a time.

use session_core::{Operation, Purged, Result};

use crate::error::Failure;
use crate::open::Inner;
use crate::read::column;

/// Most rows of one statement, so that it locks few rows for a short time.
const STEP: usize = 1_000;

impl Inner {
    /// One step. `more` says that the step was full, and that it was of use: a damaged index may keep it from its rows.
    pub(crate) async fn purge(&self, limit: usize) -> Result<Purged> {
        let operation = Operation::Purge;
        self.link.check(operation)?;
        let mut purged = Purged::default();
        let step = limit.min(STEP);
        let answer = self.link.ask(&self.statements.purge, &[&(step as i64)], operation, None).await?;
        let [row] = &answer.rows[..] else { return Err(Failure::Unexpected.during(operation)) };
        purged.removed = u64::try_from(column::<i64>(row, 0, operation)?).unwrap_or(0);
        let (due, kept): (i64, i64) = (column(row, 1, operation)?, column(row, 2, operation)?);
        purged.more = due >= step as i64 && (purged.removed > 0 || kept > 0);
        Ok(purged)
    }
}

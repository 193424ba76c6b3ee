//! Large records, in parts.
//!
//! tokio-postgres copies a statement and its answer as a whole, several times, and the other tasks of its thread wait
//! meanwhile. So the data of a large record is stored in rows of its own first, a MiB in each, and one statement then joins
//! them in the record's row. It is read in parts too. Every change draws a new revision, so all parts are of one record
//! if all have one revision.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use session_core::{
    Change, ChangeRequest, Condition, Decision, Found, Key, Operation, Record, Result, StoreError,
    StoreErrorKind, is_live,
};
use tokio::time::Instant;

use crate::change::Data;
use crate::error::{Failure, INDEX, corrupt};
use crate::open::Inner;
use crate::read::{column, deadline, revision};
use crate::statement::{PART, Statements, Values, millis};

/// How often a record may change while its parts are read, and a store may meet a large record that is gone then.
const TRIES: u32 = 8;
/// How long parts stay whose record is never stored, beyond the time limit of the call. A purge deletes them then.
const KEPT: Duration = Duration::from_secs(60);

impl Inner {
    /// Reads a record of more than a part. `None` if no live record is there.
    pub(crate) async fn read_parts(&self, key: &Key, operation: Operation) -> Result<Option<Record>> {
        let until = Instant::now() + self.config.response_timeout;
        'again: for _ in 0..TRIES {
            let (mut data, mut first) = (Vec::new(), None);
            loop {
                let from =
                    i32::try_from(data.len() + 1).map_err(|_| Failure::Unexpected.during(operation))?;
                let values: Values<'_> = &[&key.as_bytes(), &from];
                let answer = self.link.ask_until(&self.statements.part, values, operation, until).await?;
                let [row] = &answer.rows[..] else { return Err(Failure::Unexpected.during(operation)) };
                let Some(found) = column::<Option<&[u8]>>(row, 1, operation)? else { return Ok(None) };
                if found != key.as_bytes() {
                    return Err(corrupt(operation, INDEX));
                }
                let expires = deadline(row, 3, operation)?;
                if !is_live(expires, self.config.clock.now()) {
                    return Ok(None);
                }
                let head = (revision(row, 2, operation)?, expires);
                let part = column::<&[u8]>(row, 4, operation)?;
                let all = usize::try_from(column::<i32>(row, 5, operation)?).unwrap_or(0);
                if *first.get_or_insert(head) != head || (part.is_empty() && data.len() < all) {
                    continue 'again;
                }
                // Once, because to grow copies everything.
                data.reserve_exact(all.saturating_sub(data.len()));
                data.extend_from_slice(part);
                if data.len() >= all {
                    let (revision, expires) = head;
                    return Ok(Some(Record::new(data, expires, revision)));
                }
            }
        }
        Err(changing(operation))
    }

    /// The answer to a change that has met a large record, by the record that is read after it; `None` if the change would
    /// be made now.
    async fn conflict_with_large(&self, key: &Key, request: &ChangeRequest) -> Result<Option<Change>> {
        let found = self.read_parts(key, request.operation()).await?;
        let now = self.config.clock.now();
        Ok(match request.decide(Found::of(found.as_ref(), now), now) {
            Decision::AlreadyApplied | Decision::AlreadyAbsent => Some(Change::Applied),
            Decision::Conflict => Some(Change::Conflict(found)),
            Decision::Write | Decision::Delete | Decision::Corrupt => None,
        })
    }

    /// Finishes a change that has met a large record, and repeats it while such records are gone when they are read.
    pub(crate) async fn change_beside_large(&self, key: &Key, request: &ChangeRequest) -> Result<Change> {
        for _ in 0..TRIES {
            if let Some(change) = self.conflict_with_large(key, request).await? {
                return Ok(change);
            }
            if let Some(change) = self.attempt(key, request).await? {
                return Ok(change);
            }
        }
        Err(changing(request.operation()))
    }

    /// Stores a record whose data is longer than a part. As [`write`](Self::write).
    pub(crate) async fn write_parts(
        &self,
        key: &Key,
        new: &Record,
        condition: Condition,
    ) -> Result<Option<Change>> {
        // Random keys of the hasher: no other call uses the name. No prefix of a key begins like this.
        let name = format!("?{:016x}:", RandomState::new().hash_one(new.revision));
        let until = Instant::now() + self.config.response_timeout;
        let sent = self.send_parts(&name, new, until).await;
        let answer = match sent {
            Ok(count) => {
                let data = Data::Joined { name: name.as_bytes(), count, until };
                self.write_as(key, new, condition, data).await
            }
            Err(failed) => Err(failed),
        };
        // Parts that only this call knows. Without this statement a purge deletes them later.
        let values: Values<'_> = &[&name.as_bytes()];
        drop(self.link.ask_until(&self.statements.unjoin, values, Operation::Store, until).await);
        answer
    }

    /// Each part waits for the answer to the one before, so that other tasks run in between. A part whose answer is lost has
    /// changed no record.
    async fn send_parts(&self, name: &str, new: &Record, until: Instant) -> Result<i64> {
        let Statements { whole, .. } = &self.statements;
        let kept = self.config.clock.now().saturating_add(self.config.response_timeout + KEPT);
        let (kept, revision) = (Some(millis(kept)), new.revision.to_bytes());
        let mut count = 0;
        for part in new.data.chunks(PART) {
            let key = format!("{name}{count:06}");
            let values: Values<'_> = &[&key.as_bytes(), &&revision[..], &kept, &part];
            // As a read, because it changes no record and may be repeated.
            let sent = self.link.ask_until(&whole.create.plain, values, Operation::Retrieve, until).await;
            sent.map_err(|failed| failed.during(Operation::Store))?;
            count += 1;
        }
        Ok(count)
    }
}

fn changing(operation: Operation) -> StoreError {
    let changing = StoreError::new(StoreErrorKind::Unavailable, operation);
    changing.with_detail("the large record was changed again and again")
}

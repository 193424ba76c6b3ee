//! Store, remove and touch: one decision and one write under the lock of a shard.

use session_core::{
    Change, ChangeRequest, Decision, Found, Key, Operation, Result, StoreError, StoreErrorKind, Timestamp,
    check_record_bytes,
};

use crate::bounds::Amount;
use crate::row::Head;
use crate::store::Inner;

impl Inner {
    /// Decides a change and makes it. The memory of a replaced or removed record is freed after the lock.
    pub(crate) fn change(&self, key: &Key, mut request: ChangeRequest) -> Result<Change> {
        let now = self.clock.now();
        let amount = self.amount(key, &request, now)?;
        let place = self.table.place(key);
        loop {
            let mut shard = self.table.write(place.shard);
            let row = shard.get_mut(place.tag, key);
            let found = row
                .as_ref()
                .map_or(Found::Nothing, |row| Found::at(row.deadline(), row.head().revision, now));
            let before = row.as_ref().map_or(Amount::default(), |row| row.amount());
            match (request.decide(found, now), &mut request) {
                (Decision::Write, ChangeRequest::Touch(touch)) => {
                    if let Some(row) = row {
                        let (was, head) = (row.head(), Head::new(touch.deadline, touch.to));
                        row.set_head(head);
                        shard.file(place.tag, key, was.due, head.due);
                    }
                }
                (Decision::Write, ChangeRequest::Store { record, .. }) => {
                    if !self.usage.reserve(amount.beyond(before)) {
                        drop(shard);
                        // The record may change meanwhile, so it is looked up again.
                        self.make_room(place)?;
                        continue;
                    }
                    let was = row.map(|row| row.head().due);
                    let old = shard.put(place.tag, key, was, record);
                    drop(shard);
                    self.usage.release(before.beyond(amount));
                    drop(old);
                }
                (Decision::Delete, _) => {
                    let old = shard.remove(place.tag, key);
                    drop(shard);
                    self.usage.release(before);
                    drop(old);
                }
                (Decision::Conflict, _) => {
                    let live = row.filter(|_| matches!(found, Found::Live(_)));
                    return Ok(Change::Conflict(live.map(|row| row.record())));
                }
                // Nothing to write. A removal is never a write, and memory holds no damaged record.
                _ => {}
            }
            return Ok(Change::Applied);
        }
    }

    /// How much of `max_bytes` and `max_entries` the record would use. A removal and a touch need no room.
    fn amount(&self, key: &Key, request: &ChangeRequest, now: Timestamp) -> Result<Amount> {
        let ChangeRequest::Store { record, .. } = request else { return Ok(Amount::default()) };
        if !record.is_live(now) {
            return Ok(Amount::default());
        }
        let len = record.data.len();
        let amount = Amount::of(key.as_bytes().len(), len);
        check_record_bytes(len, self.max_record_bytes)?;
        if !self.usage.could_hold(amount) {
            return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::Store)
                .with_detail("the record does not fit into max_bytes"));
        }
        Ok(amount)
    }
}

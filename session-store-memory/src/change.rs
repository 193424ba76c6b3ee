//! Store, remove and touch: one decision and one write under the lock of a shard.

use session_core::{
    Change, ChangeRequest, Decision, Found, Key, Operation, Result, StoreError, StoreErrorKind, Timestamp,
    check_record_bytes,
};

use crate::bounds::{Amount, Reserved};
use crate::store::Inner;

impl Inner {
    /// Decides a change and makes it.
    pub(crate) fn change(&self, key: &Key, request: ChangeRequest) -> Result<Change> {
        let now = self.clock.now();
        let amount = self.amount(key, &request, now)?;
        let place = self.table.place(key);
        let mut reserved = Reserved::nothing(&self.usage);
        loop {
            let mut shard = self.table.write(place.shard);
            let mut row = shard.get_mut(place.tag, key);
            let found =
                row.as_ref().map_or(Found::Nothing, |row| Found::at(row.deadline(), row.revision(), now));
            let was = row.as_ref().map(|row| row.due());
            let before = row.as_ref().map_or(Amount::default(), |row| Amount::of(key, row.data_len()));
            match request.decide(found, now) {
                Decision::Write => {}
                Decision::Delete => {
                    let old = was.and_then(|was| shard.remove(place.tag, key, was));
                    drop(shard);
                    self.usage.release(before);
                    drop(old);
                    return Ok(Change::Applied);
                }
                Decision::AlreadyApplied | Decision::AlreadyAbsent => return Ok(Change::Applied),
                Decision::Conflict => {
                    let live = row.filter(|_| matches!(found, Found::Live(_)));
                    return Ok(Change::Conflict(live.map(|row| row.record())));
                }
                // Memory holds no damaged record.
                Decision::Corrupt => {
                    return Err(StoreError::new(StoreErrorKind::Corrupt, request.operation()));
                }
            }
            if let (ChangeRequest::Touch(touch), Some(row), Some(was)) = (&request, &mut row, was) {
                row.touch(touch.deadline, touch.to);
                shard.refile(place.tag, key, was, touch.deadline);
                return Ok(Change::Applied);
            }
            let need = amount.beyond(before);
            if !reserved.grow_to(need) {
                drop(shard);
                // The record may change meanwhile, so it is looked up again.
                self.make_room(&mut reserved, need, place)?;
                continue;
            }
            // A removal is never a write.
            let ChangeRequest::Store { record, .. } = request else { return Ok(Change::Applied) };
            let old = shard.put(place.tag, key, was, record);
            drop(shard);
            reserved.spend(need);
            self.usage.release(before.beyond(amount));
            // Memory is freed after the lock.
            drop(old);
            return Ok(Change::Applied);
        }
    }

    /// The share of a stored record in the bounds. A removal and a touch need no room.
    fn amount(&self, key: &Key, request: &ChangeRequest, now: Timestamp) -> Result<Amount> {
        let ChangeRequest::Store { record, .. } = request else { return Ok(Amount::default()) };
        if !record.is_live(now) {
            return Ok(Amount::default());
        }
        let len = record.data.len();
        let amount = Amount::of(key, len);
        check_record_bytes(len, self.max_record_bytes)?;
        if !self.usage.could_hold(amount) {
            return Err(StoreError::new(StoreErrorKind::TooLarge, Operation::Store)
                .with_detail("the record does not fit into max_bytes"));
        }
        Ok(amount)
    }
}

//! Changes: the record leaves the cache before the call, and the answer says what may enter it.
//!
//! A call that fails or is dropped leaves nothing in the cache, and for one bound nothing enters it under this key, because
//! the change may still be made.

use std::future::Future;

use session_core::{Change, Condition, Driver, Key, Record, Result, Touch};

use crate::store::NearCache;
use crate::sync::now;

impl<D: Driver> NearCache<D> {
    /// Makes a change by `call`. `stored` is the record that it offers, and its condition.
    pub(crate) async fn change(
        &self,
        key: &Key,
        stored: Option<(&Record, Condition)>,
        call: impl Future<Output = Result<Change>>,
    ) -> Result<Change> {
        let Some(cache) = self.cache() else { return call.await };
        let changing = cache.begin_change(key, now());
        let answer = call.await?;
        let before = changing.before().map(|record| record.revision);
        match (&answer, stored) {
            (Change::Conflict(live), _) => changing.end(live.clone()),
            (Change::Applied, Some((record, condition))) if is_written(condition, record, before) => {
                changing.end(Some(record.clone()));
            }
            (Change::Applied, _) => changing.end(None),
        }
        Ok(answer)
    }

    pub(crate) async fn change_deadline(&self, key: &Key, touch: Touch) -> Result<bool> {
        let Some(cache) = self.cache() else { return self.inner.touch(key, touch).await };
        let changing = cache.begin_change(key, now());
        let touched = self.inner.touch(key, touch).await?;
        let before = changing
            .before()
            .filter(|record| touched && record.revision == touch.from && touch.from != touch.to);
        let after =
            before.map(|record| Record { expires: touch.deadline, revision: touch.to, ..record.clone() });
        changing.end(after);
        Ok(touched)
    }
}

/// Whether `Applied` means that this call has written the offered record. A repeated change is `Applied` too, and leaves
/// the live record as it is, which may have other data (B21, B35).
fn is_written(condition: Condition, offered: &Record, before: Option<session_core::Revision>) -> bool {
    match condition {
        Condition::Any => true,
        // A live record with the offered revision would meet the condition only if it is the expected one.
        Condition::Revision(expected) => expected == offered.revision || before == Some(expected),
        Condition::Absent => false,
    }
}

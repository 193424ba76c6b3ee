//! Reading through to the old store.

use session_core::{Driver, Key, Record, Result};

use crate::pair::Pair;
use crate::reservation::real;

impl<O: Driver, N: Driver> Pair<'_, O, N> {
    /// One call for a moved record, two for a record in the old store, three for a key without a record.
    pub(crate) async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        if let Some(record) = real(self.new.retrieve(key).await?) {
            return Ok(Some(record));
        }
        if let Some(record) = self.old.retrieve(key).await? {
            return Ok(Some(record));
        }
        // The record may have moved between the two reads. It cannot move again.
        Ok(real(self.new.retrieve(key).await?))
    }
}

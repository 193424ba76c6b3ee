//! Reading one record.

use session_core::{Key, Record};

use crate::store::Inner;

impl Inner {
    /// The live record of a key. Reads the clock after the lock, and only for a record with a deadline.
    pub(crate) fn retrieve(&self, key: &Key) -> Option<Record> {
        let record = self.table.record(self.table.place(key), key)?;
        (record.expires.is_none() || record.is_live(self.clock.now())).then_some(record)
    }
}

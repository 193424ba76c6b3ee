//! Reading one record.

use redis::Value;
use session_core::{Key, Operation, Record, Result};

use crate::error::{corrupt, unexpected};
use crate::layout::decode;
use crate::open::Inner;

impl Inner {
    pub(crate) async fn retrieve(&self, key: &Key) -> Result<Option<Record>> {
        self.link.gate.check(Operation::Retrieve)?;
        match self.link.read(&self.name(key), Operation::Retrieve).await? {
            Value::Nil => Ok(None),
            Value::BulkString(value) => {
                let record = decode(value).map_err(|_| corrupt(Operation::Retrieve))?;
                Ok(record.is_live(self.config.clock.now()).then_some(record))
            }
            _ => Err(unexpected(Operation::Retrieve)),
        }
    }
}

//! The control: the best store that the four calls permit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::{Clock as _, Key, Record, SystemClock};

use crate::foreign::{Created, Foreign, Refused, Saved};

/// A map behind a mutex. Each call is one atomic step: a taken key is refused, a save of a session that has ended is
/// refused, and an expired session is absent. A clause that even this store fails is out of reach of the four calls.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Mutex<HashMap<Key, Record>>>);

impl Control {
    fn live(&self) -> MutexGuard<'_, HashMap<Key, Record>> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemClock.now();
        records.retain(|_, record| record.is_live(now));
        records
    }
}

impl Foreign for Control {
    async fn create(&self, key: &Key, record: &Record) -> Result<Created, Refused> {
        let mut records = self.live();
        if records.contains_key(key) {
            return Ok(Created::Taken);
        }
        records.insert(key.clone(), record.clone());
        Ok(Created::Here)
    }

    async fn load(&self, key: &Key) -> Result<Option<Record>, Refused> {
        Ok(self.live().get(key).cloned())
    }

    async fn save(&self, key: &Key, record: &Record) -> Result<Saved, Refused> {
        match self.live().get_mut(key) {
            Some(stored) => {
                *stored = record.clone();
                Ok(Saved::Done)
            }
            None => Ok(Saved::Gone),
        }
    }

    async fn delete(&self, key: &Key) -> Result<(), Refused> {
        self.live().remove(key);
        Ok(())
    }
}

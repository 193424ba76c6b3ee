//! Opening a migration.

use session_core::{Driver, Result};

use crate::pair::Pair;
use crate::store::Migrating;

impl<O: Driver, N: Driver> Migrating<O, N> {
    /// Joins the store that the records leave and the one that they move to.
    ///
    /// It stores a record with prefix `migrate` in the new store for a moment, to see that the two are different stores.
    ///
    /// # Errors
    /// `Misconfigured` if both are the same store, or if one of them cannot compare and store in one step. Otherwise as
    /// [`store`](Driver::store) of the new store and [`retrieve`](Driver::retrieve) of the old one.
    pub async fn open(old: O, new: N) -> Result<Self> {
        Pair { old: &old, new: &new }.check().await.map_err(|failed| failed.error)?;
        Ok(Self { old, new })
    }
}

//! Traversal: the old store, then the new one, so that a record that moves meanwhile is in the second part.

use futures_util::{StreamExt as _, stream};
use session_core::{
    Cursor, Driver, Entry, Operation, Page, Prefix, Record, Result, StoreError, StoreErrorKind,
};

use crate::pair::Pair;
use crate::reservation::{LEN, real};

/// How many keys of a page are checked at once.
const CONCURRENCY: usize = 16;

impl<O: Driver, N: Driver> Pair<'_, O, N> {
    /// A cursor begins with `O` or `N`, which no key begins with, and the cursor of that store follows.
    pub(crate) async fn traverse(&self, prefix: &Prefix, from: &Cursor, limit: usize) -> Result<Page> {
        match from.as_bytes().split_first() {
            None => self.traverse_old(prefix, Cursor::start(), limit).await,
            Some((b'O', rest)) => self.traverse_old(prefix, Cursor::from_bytes(rest.to_vec()), limit).await,
            Some((b'N', rest)) => self.traverse_new(prefix, Cursor::from_bytes(rest.to_vec()), limit).await,
            Some(_) => Err(StoreError::invalid_cursor("not a cursor of a migration")),
        }
    }

    async fn traverse_old(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let page = self.old.traverse(prefix, from, limit).await?;
        let next = page.next.map_or_else(|| tagged(b'N', &Cursor::start()), |next| tagged(b'O', &next));
        Ok(Page { entries: page.entries, next: Some(next) })
    }

    async fn traverse_new(&self, prefix: &Prefix, from: Cursor, limit: usize) -> Result<Page> {
        let page = self.new.traverse(prefix, from, limit).await?;
        let checked = stream::iter(page.entries).map(|entry| self.check_entry(entry)).buffered(CONCURRENCY);
        let checked: Vec<Result<Option<Entry>>> = checked.collect().await;
        let mut entries = Vec::with_capacity(checked.len());
        for entry in checked {
            entries.extend(entry.map_err(|error| error.during(Operation::Traverse))?);
        }
        Ok(Page { entries, next: page.next.map(|next| tagged(b'N', &next)) })
    }

    /// Leaves out reservations, and keys that the old store still has: it has had them from the beginning, so the first
    /// part of the traversal has reported them.
    async fn check_entry(&self, entry: Entry) -> Result<Option<Entry>> {
        let may_be_reservation = entry.size.is_none_or(|size| size == LEN);
        if may_be_reservation && !has(self.new.retrieve(&entry.key).await)? {
            return Ok(None);
        }
        Ok((!has(self.old.retrieve(&entry.key).await)?).then_some(entry))
    }
}

/// Whether a store has a record of its own under a key. A damaged one is there, and stops no traversal (F03).
fn has(found: Result<Option<Record>>) -> Result<bool> {
    match found {
        Err(error) if error.kind() == StoreErrorKind::Corrupt => Ok(true),
        found => Ok(real(found?).is_some()),
    }
}

fn tagged(side: u8, cursor: &Cursor) -> Cursor {
    Cursor::from_bytes([&[side], cursor.as_bytes()].concat())
}

//! A walk over several prefixes of a store, page by page.

use futures_util::{Stream, StreamExt as _, stream};
use session_core::{Cursor, Driver, Key, Prefix, Result, StoreError};

use crate::position::Position;

pub(crate) struct Walk {
    prefixes: Vec<Prefix>,
    /// The index of the current prefix.
    at: usize,
    cursor: Cursor,
    page: usize,
}

impl Walk {
    pub(crate) fn new(prefixes: Vec<Prefix>, page: usize, from: Option<Position>) -> Result<Self> {
        let Some(from) = from else { return Ok(Self { prefixes, at: 0, cursor: Cursor::start(), page }) };
        let at = prefixes.iter().position(|prefix| *prefix == from.prefix);
        let at =
            at.ok_or_else(|| StoreError::invalid_cursor("the position is in a prefix that is not copied"))?;
        Ok(Self { prefixes, at, cursor: from.cursor, page })
    }

    /// Where the next page begins. `None` at the end.
    pub(crate) fn position(&self) -> Option<Position> {
        let prefix = self.prefixes.get(self.at)?.clone();
        Some(Position { prefix, cursor: self.cursor.clone() })
    }

    /// The keys of the next page. `None` at the end.
    pub(crate) async fn next(&mut self, driver: &impl Driver) -> Result<Option<Vec<Key>>> {
        let Some(prefix) = self.prefixes.get(self.at) else { return Ok(None) };
        let page = driver.traverse(prefix, self.cursor.clone(), self.page).await?;
        match page.next {
            Some(next) => self.cursor = next,
            None => (self.at, self.cursor) = (self.at + 1, Cursor::start()),
        }
        Ok(Some(page.entries.into_iter().map(|entry| entry.key).collect()))
    }
}

/// Runs `work` for each item, at most `concurrency` at once, and passes on the answers as they come.
pub(crate) fn at_once<T, F: Future>(
    items: Vec<T>,
    concurrency: usize,
    work: impl FnMut(T) -> F,
) -> impl Stream<Item = F::Output> {
    stream::iter(items).map(work).buffer_unordered(concurrency.max(1))
}

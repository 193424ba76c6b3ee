//! A page of keys, in their byte order. A key never moves in that order, so a key that is stored during the whole
//! traversal is reported exactly once.

use session_core::{Cursor, Entry, Key, Operation, Page, Prefix, Result, is_live};

use crate::error::{INDEX, corrupt};
use crate::open::Inner;
use crate::read::{column, deadline, revision};
use crate::statement::Values;

/// Most keys of one page.
const LONGEST_PAGE: usize = 1_000;

impl Inner {
    pub(crate) async fn traverse(&self, prefix: &Prefix, from: &Cursor, limit: usize) -> Result<Page> {
        let operation = Operation::Traverse;
        self.link.check(operation)?;
        let limit = limit.clamp(1, LONGEST_PAGE);
        // All keys of the prefix are between `prefix:` and `prefix;`, because the semicolon follows the colon.
        let mut after = match from.key(prefix)? {
            Some(key) => key.as_bytes().to_vec(),
            None => format!("{prefix}:").into_bytes(),
        };
        let end = format!("{prefix};").into_bytes();
        loop {
            let count = limit as i64;
            let values: Values<'_> = &[&after, &end, &count];
            let mut rows = self.link.ask(&self.statements.traverse, values, operation, None).await?.rows;
            // Of an empty page the answer has one row without a key.
            if let [row] = &rows[..]
                && column::<Option<&[u8]>>(row, 1, operation)?.is_none()
            {
                rows.clear();
            }
            let now = self.config.clock.now();
            let (mut entries, mut last, mut greatest) = (Vec::new(), None, None);
            for row in &rows {
                let bytes = column::<&[u8]>(row, 1, operation)?;
                // A damaged index leads to rows outside of the range. The walk would repeat if a page ended with one.
                if bytes <= after.as_slice() || bytes >= end.as_slice() {
                    continue;
                }
                greatest = Some(bytes);
                // Bytes that are not a key come from another program, and no caller can ask for them.
                let Some(key) = std::str::from_utf8(bytes).ok().and_then(|text| Key::parse(text).ok()) else {
                    continue;
                };
                let expires = deadline(row, 3, operation)?;
                if is_live(expires, now) {
                    let mut entry = Entry::new(key.clone()).with_deadline(expires);
                    // The entry of a damaged row leaves the revision open; `retrieve` reports the damage.
                    entry.revision = revision(row, 2, operation).ok();
                    entry.size = u64::try_from(column::<i32>(row, 4, operation)?).ok();
                    entries.push(entry);
                }
                last = Some(key);
            }
            match (rows.len() == limit, last, greatest) {
                (false, ..) => return Ok(Page::last(entries)),
                (true, Some(key), _) => return Ok(Page { entries, next: Some(Cursor::after(&key)) }),
                // A whole page of another program's rows.
                (true, None, Some(bytes)) => after = bytes.to_vec(),
                (true, None, None) => return Err(corrupt(operation, INDEX)),
            }
        }
    }
}

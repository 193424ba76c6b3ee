//! A page of keys, in their byte order. A key never moves in that order, so a key that is stored during the whole
//! traversal is reported exactly once.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use session_core::{Cursor, Entry, Key, Page, Prefix, Timestamp, is_live};

use crate::error::Fault;
use crate::read::{deadline, has_key, revision};

const PAGE: &str = "SELECT i.key, r.revision, r.deadline, length(r.data), r.key FROM records AS i \
    LEFT JOIN records AS r ON r.id = i.id WHERE i.key > ?1 AND i.key < ?2 ORDER BY i.key";

/// Prepared when a connection is opened, so that a missing column is found then.
pub(crate) const STATEMENTS: &[&str] = &[PAGE];

/// Most keys of one page. The page's connection serves no other call meanwhile.
const LONGEST_PAGE: usize = 256;

/// The live keys of `prefix` that come after `after`.
pub(crate) fn page(
    connection: &Connection,
    prefix: &Prefix,
    after: Option<&Key>,
    limit: usize,
    now: Timestamp,
) -> Result<Page, Fault> {
    let limit = limit.clamp(1, LONGEST_PAGE);
    // All keys of the prefix are between `prefix:` and `prefix;`, because the semicolon follows the colon.
    let from = after.map_or_else(|| format!("{prefix}:"), |key| key.as_str().to_owned());
    let mut statement = connection.prepare_cached(PAGE)?;
    let mut rows = statement.query((from.as_bytes(), format!("{prefix};").as_bytes()))?;
    let (mut entries, mut seen) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let ValueRef::Blob(bytes) = row.get_ref(0)? else { return Err(Fault::Row("key is not a blob")) };
        // Bytes that are not a key come from another program, and no caller can ask for them.
        let Some(key) = std::str::from_utf8(bytes).ok().and_then(|text| Key::parse(text).ok()) else {
            continue;
        };
        // The index is damaged here. Such a key is out of order too, so a page must not end with it.
        if !has_key(row, 4, key.as_bytes())? {
            continue;
        }
        seen += 1;
        let next = (seen == limit).then(|| Cursor::after(&key));
        // The entry of a damaged row leaves the damaged column open; `retrieve` reports the damage.
        let expires = deadline(row, 2).ok();
        if is_live(expires.flatten(), now) {
            let mut entry = Entry::new(key);
            if let Some(expires) = expires {
                entry = entry.with_deadline(expires);
            }
            entry.revision = revision(row, 1).ok();
            entry.size = row.get::<_, i64>(3).ok().and_then(|size| u64::try_from(size).ok());
            entries.push(entry);
        }
        if next.is_some() {
            return Ok(Page { entries, next });
        }
    }
    Ok(Page::last(entries))
}

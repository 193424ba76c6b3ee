//! A page of keys, as the model lists them.

use session_core::{Cursor, Entry, EntryDeadline, Key, Operation, Page, Prefix, Result, StoreError};

use crate::error::before_flush;
use crate::fields::{Stored, look};
use crate::model::Model;
use crate::unit::{Inner, wrong_list};

/// Most keys of one page.
const LONGEST_PAGE: usize = 256;

pub(crate) async fn page<M: Model>(
    store: &Inner<M>,
    prefix: &Prefix,
    after: Option<&Key>,
    limit: usize,
) -> Result<Page> {
    let model = &store.config.model;
    let listed = model.list(prefix, after, limit.clamp(1, LONGEST_PAGE)).await;
    let listed = listed.map_err(|cause| before_flush(model, cause, Operation::Traverse))?;
    let listed = listed.ok_or_else(|| StoreError::unsupported(Operation::Traverse))?;
    let Some(last) = listed.last().map(|entry| entry.key.clone()) else {
        return Ok(Page::last(Vec::new()));
    };
    if after == Some(&last) || listed.iter().any(|entry| !entry.key.is_in(prefix)) {
        return Err(wrong_list(Operation::Traverse));
    }
    let now = store.now();
    let mut entries = Vec::with_capacity(listed.len());
    for entry in listed {
        match entry.deadline {
            EntryDeadline::At(deadline) => entries.extend((now < deadline).then_some(entry)),
            EntryDeadline::Never => entries.push(entry),
            EntryDeadline::Unknown => entries.extend(look_up(store, entry.key).await?),
        }
    }
    Ok(Page { entries, next: Some(Cursor::after(&last)) })
}

/// The entry of a key that the model listed without a deadline, if its record is live.
async fn look_up<M: Model>(store: &Inner<M>, key: Key) -> Result<Option<Entry>> {
    let look = |delegate: &M::Delegate, fields: &_, now| look(delegate, fields, now);
    Ok(match store.look(&key, Operation::Traverse, look).await? {
        Stored::Live { expires, revision } => {
            Some(Entry::new(key).with_deadline(expires).with_revision(revision))
        }
        _ => None,
    })
}

//! All sessions of a store, a page at a time.

use std::collections::HashSet;

use session_kit::session_core::Driver as _;
use session_kit::{Cursor, DynDriver, Found, Handle, Sessions};

use crate::failure::{Exit, Result};
use crate::stop::Stop;

const PAGE: usize = 256;

/// One record of a session.
pub(crate) enum Item {
    Live(Box<Found<DynDriver>>),
    Damaged(Handle),
}

/// Gives each session to `each`, once. Returns the exit code of a signal that came before the end.
pub(crate) async fn walk(
    sessions: &Sessions,
    stop: &Stop,
    mut each: impl FnMut(Item) -> Result,
) -> Result<Option<Exit>> {
    // Only where the driver may report a session twice.
    let mut seen = (!sessions.driver().capabilities().exactly_once).then(HashSet::new);
    let mut is_new = |handle: &Handle| seen.as_mut().is_none_or(|seen| seen.insert(handle.clone()));
    let mut next = Some(Cursor::start());
    while let Some(from) = next {
        let page = sessions.find(from, PAGE).await?;
        let live = page.sessions.into_iter().map(|found| Item::Live(Box::new(found)));
        for item in live.chain(page.damaged.into_iter().map(Item::Damaged)) {
            if stop.requested().is_some() {
                return Ok(stop.requested());
            }
            let handle = match &item {
                Item::Live(found) => &found.handle(),
                Item::Damaged(handle) => handle,
            };
            if is_new(handle) {
                each(item)?;
            }
        }
        next = page.next;
    }
    Ok(stop.requested())
}

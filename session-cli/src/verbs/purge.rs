//! `purge`: removes expired records.

use serde::Serialize;
use session_kit::session_core::Driver as _;

use crate::arguments::Purge;
use crate::failure::{Exit, Result};
use crate::progress::Progress;
use crate::store::{Context, Store};

#[derive(Debug, Default, Serialize)]
struct Removed {
    removed: u64,
    /// Whether no expired record was left.
    complete: bool,
}

pub(crate) async fn purge(options: &Purge, context: &mut Context) -> Result<Exit> {
    let store = Store::open(&options.place, false, context).await?;
    let progress = Progress::count("records removed");
    let mut done = Removed::default();
    while context.stop.requested().is_none() {
        let purged = store.driver.purge(usize::try_from(options.batch).unwrap_or(usize::MAX)).await?;
        done.removed += purged.removed;
        progress.add(purged.removed);
        if !purged.more {
            done.complete = true;
            break;
        }
    }
    drop(progress);
    store.close().await?;
    context.output.item(&done, || {
        let note = if done.complete { "" } else { "; interrupted, more may be left" };
        format!("{} expired records removed{note}", done.removed)
    })?;
    let stopped = context.stop.requested().filter(|_| !done.complete);
    Ok(stopped.unwrap_or(Exit::Done))
}

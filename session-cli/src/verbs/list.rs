//! `ls`, `user` and `count`: many sessions.

use serde::Serialize;

use super::walk::{Item, walk};
use crate::arguments::{Ls, Place, User};
use crate::failure::{Exit, Failure, Result};
use crate::progress::Progress;
use crate::row::Row;
use crate::store::{Context, Store, check_user};

pub(crate) async fn ls(options: &Ls, context: &mut Context) -> Result<Exit> {
    let store = Store::open(&options.place, false, context).await?;
    let sessions = store.sessions()?;
    let output = &mut context.output;
    output.heading(Row::HEADING)?;
    let progress = if output.is_terminal() { Progress::hidden() } else { Progress::count("sessions") };
    let mut damaged = 0;
    let stopped = walk(&sessions, &context.stop, |item| {
        progress.add(1);
        let row = match &item {
            Item::Live(found) if options.user.as_deref().is_some_and(|user| found.user() != Some(user)) => {
                return Ok(());
            }
            Item::Live(found) => Row::of(found),
            Item::Damaged(handle) => {
                damaged += 1;
                Row::damaged(handle)
            }
        };
        output.item(&row, || row.line())
    });
    let stopped = stopped.await?;
    store.close().await?;
    Ok(stopped.unwrap_or(if damaged > 0 { Exit::Damaged } else { Exit::Done }))
}

pub(crate) async fn user(options: &User, context: &mut Context) -> Result<Exit> {
    let user = check_user(&options.user)?;
    let store = Store::open(&options.place, false, context).await?;
    let found = context.stop.or(store.sessions()?.of_user(user)).await??;
    if found.is_empty() {
        return Err(Failure::NotFound("the user has no live session"));
    }
    let output = &mut context.output;
    output.heading(Row::HEADING)?;
    for found in &found {
        let row = Row::of(found);
        output.item(&row, || row.line())?;
    }
    store.close().await?;
    Ok(Exit::Done)
}

#[derive(Debug, Default, Serialize)]
struct Count {
    sessions: u64,
    with_user: u64,
    anonymous: u64,
    damaged: u64,
    /// Whether all were counted.
    complete: bool,
}

pub(crate) async fn count(place: &Place, context: &mut Context) -> Result<Exit> {
    let store = Store::open(place, false, context).await?;
    let sessions = store.sessions()?;
    let mut count = Count::default();
    let progress = Progress::count("sessions");
    let stopped = walk(&sessions, &context.stop, |item| {
        progress.add(1);
        match item {
            Item::Damaged(_) => count.damaged += 1,
            Item::Live(found) => {
                count.sessions += 1;
                *(if found.user().is_some() { &mut count.with_user } else { &mut count.anonymous }) += 1;
            }
        }
        Ok(())
    });
    let stopped = stopped.await?;
    drop(progress);
    count.complete = stopped.is_none();
    context.output.item(&count, || {
        let Count { sessions, with_user, anonymous, damaged, complete } = &count;
        let note = if *complete { "" } else { "\ninterrupted: not all were counted" };
        format!("sessions   {sessions:>9}\nwith user  {with_user:>9}\nanonymous  {anonymous:>9}\ndamaged    {damaged:>9}{note}")
    })?;
    store.close().await?;
    Ok(stopped.unwrap_or(if count.damaged > 0 { Exit::Damaged } else { Exit::Done }))
}

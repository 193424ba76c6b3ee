//! `end` and `end-user`.

use serde::Serialize;

use crate::arguments::{End, User};
use crate::failure::{Exit, Failure, Result};
use crate::names::Names;
use crate::output::plain;
use crate::store::{Context, Store, check_user};

/// The reason in the events of this process.
const REASON: &str = "ended by an operator";

#[derive(Debug, Serialize)]
struct Ended {
    handle: String,
    ended: bool,
}

pub(crate) async fn end(options: &End, context: &mut Context) -> Result<Exit> {
    let mut names = Names::new(&options.handles)?;
    let store = Store::open(&options.place, false, context).await?;
    let sessions = store.sessions()?;
    let mut exit = Exit::Done;
    let mut reader_left = false;
    loop {
        if let Some(stopped) = context.stop.requested() {
            exit = stopped;
            break;
        }
        let handle = match names.next(&context.stop).await {
            Ok(Some(handle)) => handle,
            Ok(None) => break,
            Err(Failure::Stopped(stopped)) => {
                exit = stopped;
                break;
            }
            Err(failure) => return Err(failure),
        };
        let ended = sessions.end(&handle, REASON).await?;
        if !ended {
            exit = Exit::NotFound;
        }
        // Sessions are ended also where the reader of the output has gone.
        if !reader_left {
            let item = Ended { handle: handle.to_string(), ended };
            let text = || format!("{handle}  {}", if ended { "ended" } else { "not found" });
            let shown = context.output.item(&item, text).and_then(|()| context.output.flush());
            match shown {
                Err(Failure::NoReader) => reader_left = true,
                other => other?,
            }
        }
    }
    store.close().await?;
    Ok(exit)
}

#[derive(Debug, Serialize)]
struct EndedUser<'a> {
    user: &'a str,
    ended: usize,
}

pub(crate) async fn end_user(options: &User, context: &mut Context) -> Result<Exit> {
    let user = check_user(&options.user)?;
    let store = Store::open(&options.place, false, context).await?;
    let ended = store.sessions()?.end_user(user, REASON).await?;
    store.close().await?;
    context.output.item(&EndedUser { user, ended }, || format!("{}  {ended} ended", plain(user)))?;
    Ok(if ended == 0 { Exit::NotFound } else { Exit::Done })
}

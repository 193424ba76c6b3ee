//! The live page: a stream of events that shows the session's changes in other tabs, and ends with the session.

use std::time::Duration;

use futures_util::stream::{self, Stream};
use session_kit::Error;
use session_kit::prelude::*;
use tokio::sync::watch;

use crate::goods::{CART, Cart};
use crate::page::{self, VISITS};

/// How often a stream looks at the session.
const PAUSE: Duration = Duration::from_millis(500);

pub(crate) const SCRIPT: &str = include_str!("live.js");

/// Becomes true when the shop stops. A stream would keep its connection, and so the shop, open forever.
pub(crate) type Stopping = watch::Receiver<bool>;

/// An event for the page: `state` or `end`.
pub(crate) struct LiveEvent {
    pub(crate) kind: &'static str,
    pub(crate) data: String,
}

/// Sends `state` with the visits and the cart whenever they change, and `end` with the reason when the session ends.
pub(crate) fn events(
    session: &Session,
    stopping: Stopping,
) -> Result<impl Stream<Item = LiveEvent> + use<>, Error> {
    // The session itself belongs to this request, which is over before the stream begins.
    Ok(stream(Watch { session: session.reference()?, stopping, shown: None }))
}

struct Watch {
    session: SessionRef,
    stopping: Stopping,
    /// The state that the page shows.
    shown: Option<String>,
}

fn stream(watch: Watch) -> impl Stream<Item = LiveEvent> {
    stream::unfold(Some(watch), async |watch| {
        let Watch { session, mut stopping, shown } = watch?;
        tokio::select! {
            reason = session.ended() => {
                Some((LiveEvent { kind: "end", data: reason.to_string() }, None))
            }
            state = changed(&session, shown.as_deref()) => {
                let event = LiveEvent { kind: "state", data: state.clone() };
                let (session, stopping) = (session.clone(), stopping.clone());
                Some((event, Some(Watch { session, stopping, shown: Some(state) })))
            }
            true = async { stopping.wait_for(|stopping| *stopping).await.is_ok() } => None,
        }
    })
}

/// Waits until the session's state differs from `shown`.
async fn changed(session: &SessionRef, shown: Option<&str>) -> String {
    loop {
        match state(session).await {
            Ok(Some(state)) if Some(&*state) != shown => return state,
            // No change, or the session has ended, or the store is out of order for a while.
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn state(session: &SessionRef) -> Result<Option<String>, Error> {
    let Some(session) = session.open().await? else { return Ok(None) };
    let visits = session.get::<u64>(VISITS)?.unwrap_or(0);
    let cart = session.get::<Cart>(CART)?.unwrap_or_default();
    Ok(Some(serde_json::json!({ "visits": visits, "cart": page::summary(&cart) }).to_string()))
}

//! The live page: a stream of events that shows the session's changes in other tabs, and ends with the session.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::stream::{self, Stream};
use session_kit::prelude::*;
use session_kit::{Error, RoutePolicy};
use tokio::sync::watch;

use crate::goods::{CART, Cart};
use crate::page::{self, Page, VISITS};

/// How often a stream looks at the session.
const PAUSE: Duration = Duration::from_millis(500);

/// Becomes true when the shop stops. A stream would keep its connection, and so the shop, open forever.
pub(crate) type Stopping = watch::Receiver<bool>;

/// The routes. They need a [`Stopping`] in an [`Extension`].
pub(crate) fn routes() -> Router<Sessions> {
    Router::new()
        .route("/live", get(live))
        .route(
            "/live.js",
            get(async || ([(header::CONTENT_TYPE, "text/javascript")], include_str!("live.js"))),
        )
        // An open page does not keep a visitor logged in.
        .route("/events", get(events).layer(RoutePolicy::new().do_not_extend()))
}

async fn live(session: Session) -> Result<Html<String>, Error> {
    Ok(page::live(&Page::read(&session)?))
}

/// Sends `state` with the visits and the cart whenever they change, and `end` with the reason when the session ends.
async fn events(
    session: Session,
    Extension(stopping): Extension<Stopping>,
) -> Result<impl IntoResponse, Error> {
    // The session itself belongs to this request, which is over before the stream begins.
    let watch = Watch { session: session.reference()?, stopping, shown: None };
    Ok(Sse::new(stream(watch)).keep_alive(KeepAlive::default()))
}

struct Watch {
    session: SessionRef,
    stopping: Stopping,
    /// The state that the page shows.
    shown: Option<String>,
}

fn stream(watch: Watch) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Some(watch), async |watch| {
        let Watch { session, mut stopping, shown } = watch?;
        tokio::select! {
            reason = session.ended() => {
                Some((Ok(Event::default().event("end").data(reason.to_string())), None))
            }
            state = changed(&session, shown.as_deref()) => {
                let event = Event::default().event("state").data(&state);
                let (session, stopping) = (session.clone(), stopping.clone());
                Some((Ok(event), Some(Watch { session, stopping, shown: Some(state) })))
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

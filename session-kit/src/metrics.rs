//! Numbers about sessions for the `metrics` crate.

use crate::{EndReason, Event, Observer, SessionTag};

/// An [`Observer`] that counts the events of sessions with the recorder of the `metrics` crate. No label has an id, a
/// key, a user or a value.
///
/// | metric | kind | labels |
/// |---|---|---|
/// | `session_events_total` | counter | `event`: [`Event::name`], such as `loaded`, `created`, `rotated`, `unknown_id` |
/// | `session_ends_total` | counter | `reason`: `expired`, `address_mismatch`, `user_agent_mismatch`, `replaced`, `revoked`, `destroyed` |
/// | `session_malformed_ids_total` | counter | – |
/// | `session_swept_records_total` | counter | – |
/// | `session_commit_replays` | histogram | – |
///
/// ```
/// use std::sync::Arc;
/// # fn counted<D: session_kit::Driver>(builder: session_kit::SessionsBuilder<D>) -> session_kit::SessionsBuilder<D> {
/// builder.observer(Arc::new(session_kit::MetricsObserver::new()))
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MetricsObserver(());

impl MetricsObserver {
    /// An observer for the recorder that is installed when an event happens.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Observer for MetricsObserver {
    fn event(&self, _: Option<SessionTag>, event: &Event) {
        metrics::counter!("session_events_total", "event" => event.name()).increment(1);
        match event {
            Event::Ended(why) => {
                metrics::counter!("session_ends_total", "reason" => reason(why)).increment(1);
            }
            Event::MalformedId { count } => {
                metrics::counter!("session_malformed_ids_total").increment(*count as u64);
            }
            Event::Swept { removed } => {
                metrics::counter!("session_swept_records_total").increment(*removed);
            }
            Event::Replayed { times } => {
                metrics::histogram!("session_commit_replays").record(f64::from(*times));
            }
            _ => {}
        }
    }
}

/// The reason that an application gives to `destroy` may contain anything, so it never becomes a label.
fn reason(reason: &EndReason) -> &'static str {
    match reason {
        EndReason::Expired => "expired",
        EndReason::AddressMismatch => "address_mismatch",
        EndReason::UserAgentMismatch => "user_agent_mismatch",
        EndReason::Replaced => "replaced",
        EndReason::Revoked => "revoked",
        EndReason::Destroyed(_) => "destroyed",
        _ => "other",
    }
}

//! The driver with its clock and options. The operations on sessions are methods of it, one module each.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use session_core::{Candidates, Capabilities, Clock, Driver, ExpiryMode, Key, Purged, Revision, Timestamp};

use crate::config::Config;
use crate::error::Error;
use crate::event::{Event, SessionTag, trace, trace_loaded};
use crate::handover::Takeover;
use crate::opened::Opening;
use crate::outcome::EndReason;
use crate::request::RequestInfo;
use crate::watch::Watches;
use crate::work::Loaded;

pub(crate) struct Manager<D> {
    pub(crate) driver: D,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Arc<Config>,
    /// The driver has no compare-and-swap: the last write wins.
    pub(crate) last_write_wins: bool,
    /// The driver retrieves at the first poll.
    pub(crate) at_once: bool,
    /// The handover from another system.
    pub(crate) takeover: Option<Takeover>,
    /// What the request carried, if a client keeps the sessions.
    pub(crate) carried: Option<Arc<Opening>>,
    /// The sessions with references.
    pub(crate) watches: Arc<Watches>,
    tags: RandomState,
    /// The time of the last sweep, or of the start; [`NO_SWEEP`] if none is needed or its lack was reported.
    swept: Arc<AtomicU64>,
}

const NO_SWEEP: u64 = u64::MAX;
const DAY: Duration = Duration::from_secs(86_400);

impl<D: Driver> Manager<D> {
    pub(crate) fn new(driver: D, config: Config) -> Self {
        let clock = driver.clock();
        let Capabilities { conditional, at_once, .. } = driver.capabilities();
        let last_write_wins = !conditional;
        let watches = Watches::new(config.poll_interval, Arc::clone(&clock));
        let swept = match driver.capabilities().expiry {
            ExpiryMode::Caller => clock.now().as_millis(),
            _ => NO_SWEEP,
        };
        let (tags, swept) = (RandomState::new(), Arc::new(AtomicU64::new(swept)));
        let config = Arc::new(config);
        Self {
            driver,
            clock,
            config,
            last_write_wins,
            at_once,
            takeover: None,
            carried: None,
            watches,
            tags,
            swept,
        }
    }

    /// The manager of one request, whose events and references are those of `base`.
    pub(crate) fn carried<B>(
        base: &Manager<B>,
        driver: D,
        config: Arc<Config>,
        carried: Arc<Opening>,
    ) -> Self {
        // The driver of the base keeps nothing that expires but epochs, and no load asks it for anything else.
        let keeps = config.user_epochs;
        Self {
            driver,
            clock: Arc::clone(&base.clock),
            config,
            last_write_wins: false,
            at_once: base.at_once || !keeps,
            takeover: None,
            carried: Some(carried),
            watches: Arc::clone(&base.watches),
            tags: base.tags.clone(),
            swept: if keeps { Arc::clone(&base.swept) } else { Arc::new(AtomicU64::new(NO_SWEEP)) },
        }
    }

    /// The ids of the request, or of the sessions that it carried.
    pub(crate) fn candidates<'a>(&'a self, request: &'a RequestInfo) -> &'a Candidates {
        self.carried.as_ref().map_or(&request.candidates, |carried| &carried.candidates)
    }

    /// Removes expired records.
    pub(crate) async fn purge(&self, limit: usize) -> session_core::Result<Purged> {
        let purged = self.driver.purge(limit).await?;
        if self.swept.load(Ordering::Relaxed) != NO_SWEEP {
            self.swept.store(self.clock.now().as_millis(), Ordering::Relaxed);
        }
        Ok(purged)
    }

    /// A session was created at `now`: reports that nothing removes expired ones.
    pub(crate) fn check_swept(&self, now: Timestamp) {
        let swept = self.swept.load(Ordering::Relaxed);
        let late = swept != NO_SWEEP && now.saturating_since(Timestamp::from_millis(swept)) >= DAY;
        if late && self.swept.swap(NO_SWEEP, Ordering::Relaxed) != NO_SWEEP {
            self.emit(None, &Event::SweepMissing);
        }
    }
}

impl<D> Manager<D> {
    /// A new id and revision of a record that ends at `expires`.
    pub(crate) fn draw(&self, expires: Option<Timestamp>) -> Result<Loaded, Error> {
        let id = (self.config.ids)()?;
        Ok(Loaded { id, key: id.key(), revision: Revision::random()?, expires })
    }

    pub(crate) fn tag(&self, key: &Key) -> SessionTag {
        SessionTag(self.tags.hash_one(key.as_str()))
    }

    /// [`emit`](Self::emit) for [`Event::Loaded`].
    #[inline]
    pub(crate) fn emit_loaded(&self, key: &Key) {
        trace_loaded(&|| Some(self.tag(key)));
        if let Some(observer) = &self.config.observer {
            observer.event(Some(self.tag(key)), &Event::Loaded);
        }
    }

    pub(crate) fn emit(&self, key: Option<&Key>, event: &Event) {
        let tag = || key.map(|key| self.tag(key));
        trace(&tag, event);
        if let Some(observer) = &self.config.observer {
            observer.event(tag(), event);
        }
        if let (Some(key), Event::Ended(reason)) = (key, event) {
            match reason {
                EndReason::Destroyed(_) => self.watches.end(key, reason),
                EndReason::AddressMismatch | EndReason::UserAgentMismatch => {}
                // A login that finds another login says `Replaced` too, so the store decides.
                _ => self.watches.poll_now(key),
            }
        }
    }
}

//! The driver with its clock and options. The operations on sessions are methods of it, one module each.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use session_core::{Clock, Driver, Key, Revision, Timestamp};

use crate::config::Config;
use crate::error::Error;
use crate::event::{Event, SessionTag, trace};
use crate::outcome::EndReason;
use crate::watch::Watches;
use crate::work::Loaded;

pub(crate) struct Manager<D> {
    pub(crate) driver: D,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Config,
    /// The driver has no compare-and-swap: the last write wins.
    pub(crate) last_write_wins: bool,
    /// The sessions with references.
    pub(crate) watches: Arc<Watches>,
    tags: RandomState,
}

impl<D: Driver> Manager<D> {
    pub(crate) fn new(driver: D, config: Config) -> Self {
        let clock = driver.clock();
        let last_write_wins = !driver.capabilities().conditional;
        let watches = Watches::new(config.poll_interval, Arc::clone(&clock));
        Self { driver, clock, config, last_write_wins, watches, tags: RandomState::new() }
    }
}

impl<D> Manager<D> {
    /// A new id and revision of a record that ends at `expires`.
    pub(crate) fn draw(&self, expires: Option<Timestamp>) -> Result<Loaded, Error> {
        let id = (self.config.ids)()?;
        Ok(Loaded { id, key: id.key(), revision: Revision::random()?, expires })
    }

    pub(crate) fn emit(&self, key: Option<&Key>, event: &Event) {
        let tag = || key.map(|key| SessionTag(self.tags.hash_one(key.as_str())));
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

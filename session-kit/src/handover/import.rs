//! Importing all sessions of an old system at once.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use session_core::{Driver, StoreErrorKind, Timestamp};
use session_handover::Value;
use session_manager::{Error, OldId, Prepared, Session, Sessions};

use super::ListedSource;

/// How many sessions are read and stored at once.
const AT_ONCE: usize = 32;

/// A bulk import: it reads each session of a source and [prepares](Sessions::prepare) what it becomes. After it, the old
/// store is not needed any more; give [`SessionsBuilder::handover`](crate::SessionsBuilder::handover) a
/// [`System`](super::System) as its source, which only finds the old id in a request.
///
/// Run it while the old system stands still: a prepared session shows the old one as it was. It may be killed and run again: what
/// is prepared, taken over or closed stays as it is. Nothing is changed in the old store.
#[derive(Clone, Debug)]
#[must_use]
pub struct Import {
    dry_run: bool,
    lifetime: Duration,
}

/// What became of the sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Prepared for their clients, or in a dry run, ready for that.
    pub imported: u64,
    /// Prepared, taken over or closed before.
    pub known: u64,
    /// Ended, or removed meanwhile.
    pub expired: u64,
    /// Refused by the mapping, or without anything to keep: usually sessions without a user.
    pub refused: u64,
    /// Not decoded or not mapped, by the reason. A reason shows nothing of a session.
    pub malformed: BTreeMap<String, u64>,
}

impl Imported {
    /// All sessions that were read.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.imported + self.known + self.expired + self.refused + self.malformed.values().sum::<u64>()
    }

    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Ok(Prepared::Stored) => self.imported += 1,
            Ok(Prepared::Known) => self.known += 1,
            Ok(Prepared::Expired) => self.expired += 1,
            Ok(_) => self.refused += 1,
            Err(reason) => *self.malformed.entry(reason).or_default() += 1,
        }
    }
}

type Outcome = Result<Prepared, String>;

impl Import {
    /// An import. A session without an end of its own waits for its client for `lifetime`; no other session does for longer.
    pub fn new(lifetime: Duration) -> Self {
        Self { dry_run: false, lifetime }
    }

    /// Reads and maps everything, and stores nothing.
    pub fn dry_run(mut self, yes: bool) -> Self {
        self.dry_run = yes;
        self
    }

    /// Imports all sessions. `map` is as in [`SessionsBuilder::handover`](crate::SessionsBuilder::handover), and `progress`
    /// gets the counts after each few sessions.
    ///
    /// # Errors
    /// Failures of both stores. The import may be run again then.
    pub async fn run<S: ListedSource, D: Driver>(
        &self,
        source: &S,
        sessions: &Sessions<D>,
        map: impl Fn(Value, &Session) -> Result<bool, Error>,
        mut progress: impl FnMut(&Imported),
    ) -> Result<Imported, Error> {
        let mut done = Imported::default();
        let mut from = None;
        loop {
            let page = source.list(from.as_deref()).await?;
            for ids in page.ids.chunks(AT_ONCE) {
                for outcome in join_all(ids.iter().map(|id| self.one(source, sessions, id, &map))).await {
                    done.count(outcome?);
                }
                progress(&done);
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(done),
            }
        }
    }

    async fn one<S: ListedSource, D: Driver>(
        &self,
        source: &S,
        sessions: &Sessions<D>,
        id: &OldId,
        map: impl Fn(Value, &Session) -> Result<bool, Error>,
    ) -> Result<Outcome, Error> {
        let (old, end) = match source.read_until(id).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Ok(Prepared::Expired)),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                // The reader's text has no offset of one session's damage, so that equal reasons are counted together.
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                let reason = reason.unwrap_or_else(|| error.to_string());
                return Ok(Err(reason.split(" at byte ").next().unwrap_or_default().to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        let latest = sessions.now().saturating_add(self.lifetime);
        let until = end.map_or(latest, |end| moment(end).min(latest));
        let map = |session: &Session| map(old, session);
        let prepared = if self.dry_run {
            sessions.check_prepare(id, until, map).await
        } else {
            sessions.prepare(id, until, map).await
        };
        match prepared {
            Ok(prepared) => Ok(Ok(prepared)),
            Err(error) if error.store_error().is_some() => Err(error),
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

fn moment(seconds: f64) -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast to the nearest number"
    )]
    Timestamp::from_millis((seconds * 1e3) as u64)
}

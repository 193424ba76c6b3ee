//! The checked options of a manager.

use std::sync::Arc;
use std::time::Duration;

use session_core::SessionId;

use crate::client::AddressCheck;
use crate::codec::Codec;
use crate::entry::ENTRY_FIXED;
use crate::error::{Error, ErrorKind};
use crate::event::Observer;
use crate::table::Header;

/// What happens when a stored session is damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnCorrupt {
    /// The visitor gets a fresh session. The damaged record stays for the operator, and an event reports it.
    #[default]
    Fresh,
    /// Loading fails with [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
    Fail,
}

/// What happens to a login if the user has too many sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnTooMany {
    /// The login fails with [`ErrorKind::TooManySessions`](crate::ErrorKind::TooManySessions).
    Reject,
    /// The oldest sessions of the user end.
    EndOldest,
}

/// The source of new ids: the operating system, except in tests.
pub(crate) type IdSource = Arc<dyn Fn() -> session_core::Result<SessionId> + Send + Sync>;

/// The shortest timeout.
pub(crate) const MIN_TIME: Duration = Duration::from_secs(1);

/// The shortest time between two renewals. An old id opens its session for up to [`FORWARD_TIME`](crate::renew::FORWARD_TIME) after the new one was used.
pub(crate) const MIN_RENEWAL: Duration = Duration::from_secs(60);

/// One year. Longer rests of tasks that run on a schedule are cut to it.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// How large a session may be.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
}

impl Limits {
    /// Whether entries of this length are within the limits, whatever their number is.
    pub(crate) fn surely_allow(self, len: usize) -> bool {
        len <= self.bytes && len / ENTRY_FIXED < self.keys
    }
}

#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) idle: Duration,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) codec: Codec,
    pub(crate) touch_threshold: Option<Duration>,
    /// How long a request waits for a touch.
    pub(crate) touch_timeout: Duration,
    /// After this time a session gets a new id.
    pub(crate) renewal: Option<Duration>,
    pub(crate) address: AddressCheck,
    pub(crate) agent: bool,
    pub(crate) on_corrupt: OnCorrupt,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) last_write_wins: bool,
    pub(crate) ids: IdSource,
    pub(crate) index_users: bool,
    pub(crate) user_epochs: bool,
    pub(crate) limits: Limits,
    pub(crate) max_user_sessions: Option<(usize, OnTooMany)>,
    pub(crate) poll_interval: Duration,
    /// The client keeps the sessions, so no store decides between two requests of one session. How many bytes of data it
    /// keeps.
    pub(crate) carried: Option<usize>,
}

impl Config {
    /// An error for no absolute lifetime where nothing else ends a copy of a session: the client keeps it, and its user has
    /// no epoch.
    pub(crate) fn check_lifetime(&self, lifetime: Option<Duration>) -> Result<(), Error> {
        if lifetime.is_some() || self.carried.is_none() || self.user_epochs {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Config);
        Err(error.with_detail("without an absolute lifetime, user_epochs must end copies of a session"))
    }

    /// The header of a session that is not stored yet. Creation sets its times.
    pub(crate) fn new_header(&self) -> Header {
        Header::new(self.idle, self.lifetime)
    }
}

//! "Remember me": how long a session lives and how long its client keeps the id, chosen for one session.

use std::time::Duration;

use session_core::Persistence;

use crate::error::Error;
use crate::op::Op;
use crate::session::Session;
use crate::values::at_least_a_second;

impl Session {
    /// "Remember me": the session lives this long from its creation or last rotation, used or not, and the client keeps
    /// its id as long. Both are stored with the session, so a rotation, later responses and a restart keep them. A
    /// login as another user ends them. On replay the last call wins.
    ///
    /// Call it with [`login`](Self::login). [`set_idle_timeout`](Self::set_idle_timeout) after it gives the session an
    /// idle timeout too. Browsers keep a cookie for up to 400 days.
    ///
    /// # Errors
    /// `Config` for less than a second; `Committed`, `NotLoaded`, `Busy`.
    pub fn remember(&self, lifetime: Duration) -> Result<(), Error> {
        at_least_a_second(Some(lifetime))?;
        self.set_persistence(Persistence::Session, lifetime, Some(lifetime))
    }

    /// The client drops the id when it closes, and the session has the timeouts of the manager: the opposite of
    /// [`remember`](Self::remember), also where the state's own setting keeps the id for longer. The timeouts count from
    /// the creation or the last rotation, so an old session without a [`login`](Self::login) in this request may end.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn forget_on_close(&self) -> Result<(), Error> {
        let (idle, lifetime) = (self.config().idle, self.config().lifetime);
        self.set_persistence(Persistence::Browser, idle, lifetime)
    }

    /// How long the client keeps the id.
    ///
    /// # Errors
    /// `NotLoaded`, `Busy`.
    pub fn persistence(&self) -> Result<Persistence, Error> {
        self.read(|work| work.header().persistence())
    }

    fn set_persistence(
        &self,
        persistence: Persistence,
        idle: Duration,
        lifetime: Option<Duration>,
    ) -> Result<(), Error> {
        self.write(|work| {
            work.record(Op::Persistence(persistence));
            work.record(Op::Idle(idle));
            work.record(Op::Lifetime(lifetime));
        })
    }
}

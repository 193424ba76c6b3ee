//! The names of sessions in events.

use session_core::Driver;

use crate::error::Error;
use crate::event::SessionTag;
use crate::find::Found;
use crate::handle::Handle;
use crate::reference::SessionRef;
use crate::session::Session;
use crate::sessions::Sessions;

impl Session {
    /// The name of the stored session in events: see [`SessionTag`]. `None` while it is not stored.
    ///
    /// # Errors
    /// `NotLoaded`; `Busy` while another task commits.
    pub fn tag(&self) -> Result<Option<SessionTag>, Error> {
        self.read(|work| work.loaded().map(|loaded| self.backend().tag(&loaded.key)))
    }
}

impl SessionRef {
    /// The name of the session in events: see [`SessionTag`]. It stays after the end, and changes with a rotation or a
    /// login of the reference's own request. `None` while the session is not stored.
    #[must_use]
    pub fn tag(&self) -> Option<SessionTag> {
        self.follower.key().map(|key| self.backend.tag(&key))
    }
}

impl<D: Driver> Sessions<D> {
    /// The name of a session in events: see [`SessionTag`].
    #[must_use]
    pub fn tag(&self, handle: &Handle) -> SessionTag {
        self.manager.tag(&handle.0)
    }
}

impl<D: Driver> Found<D> {
    /// The name of the session in events: see [`SessionTag`].
    #[must_use]
    pub fn tag(&self) -> SessionTag {
        self.sessions().manager.tag(self.key())
    }
}

//! The sessions of one user.

use std::borrow::Cow;

use session_core::{Driver, Timestamp};

use crate::enter::{At, yield_after};
use crate::error::{Error, ErrorKind};
use crate::find::Found;
use crate::handle::Handle;
use crate::session::Session;
use crate::sessions::Sessions;

impl<D: Driver> Sessions<D> {
    /// The live sessions of a user, the oldest first. Each was bound by [`Session::login`] or [`Session::bind_user`],
    /// and is read to see that it lives and still has this user. Nothing is extended.
    ///
    /// A session whose record is damaged is left out with an event, and stays in the index: it is in the list again
    /// once its record is readable, and [`end_user`](Self::end_user) removes it.
    ///
    /// # Errors
    /// `Store`, `Corrupt`; `Config` without [`index_users`](crate::SessionsBuilder::index_users).
    pub async fn of_user(&self, user: &str) -> Result<Vec<Found<D>>, Error> {
        self.needs_index()?;
        let stored = self.manager.index_of(user).await?;
        let mut sessions = Vec::new();
        let mut ended = Vec::new();
        for (done, entry) in stored.index.entries.iter().enumerate() {
            let epoch = stored.index.epoch;
            match self.manager.session_at(&entry.key).await? {
                At::Session(found) if found.table.header.user() == Some(user) => {
                    if !self.manager.config.user_epochs || found.table.header.epoch == epoch {
                        sessions.push(Found::new(self.clone(), entry.key.clone(), found));
                    }
                }
                At::Session(_) | At::Damaged(_) => {}
                At::Nothing | At::Moved(_) => ended.push(entry.key.clone()),
            }
            yield_after(done).await;
        }
        if !ended.is_empty() {
            // If this fails, the next use of the index does it.
            drop(self.manager.leave(user, &ended).await);
        }
        sessions.sort_by_key(Found::created);
        Ok(sessions)
    }

    /// Ends the session with this handle, also if its record is damaged. Returns whether this call ended it. Check first that the person who asks may
    /// end it: an administrator may, and a user may end the sessions of [`of_user`](Self::of_user).
    ///
    /// # Errors
    /// `Store`, `Uncertain`, `Contention`: it may still exist.
    pub async fn end(&self, handle: &Handle, reason: impl Into<Cow<'static, str>>) -> Result<bool, Error> {
        match self.manager.newest(&handle.0).await? {
            (key, At::Session(found)) => Found::new(self.clone(), key, found).end(reason).await,
            // The user of a damaged session is unknown: the next use of the index drops the entry.
            (key, found) => self.manager.end_found(&key, &found, reason.into()).await,
        }
    }

    /// Ends all sessions of a user: "log out everywhere". Returns how many this call ended, damaged records included. A
    /// session that rotates meanwhile is ended too.
    ///
    /// Sessions that only a damaged index has listed (an event reports the damage) are ended with
    /// [`user_epochs`](crate::SessionsBuilder::user_epochs) only. Without it, [`find`](Self::find) shows them.
    ///
    /// A login that commits after this call's last write is not ended. With
    /// [`user_epochs`](crate::SessionsBuilder::user_epochs) the first write ends all sessions that were stored before
    /// it, and those of logins that had read the epoch; the rest of the call frees their space.
    ///
    /// Sessions that clients keep are ended by [`CarriedSessions::end_user`](crate::CarriedSessions::end_user).
    ///
    /// # Errors
    /// `Store`, `Uncertain`, `Contention`, `Corrupt`: some sessions may still exist, and the call may be repeated.
    /// `Config` without [`index_users`](crate::SessionsBuilder::index_users).
    pub async fn end_user(&self, user: &str, reason: impl Into<Cow<'static, str>>) -> Result<usize, Error> {
        self.needs_index()?;
        let ended = self.manager.end_sessions(user, None, reason.into()).await;
        // An epoch also ends sessions that no index has.
        self.manager.watches.poll_user_now(user);
        ended
    }

    /// Ends all sessions of the user of `session`, except for it. Returns how many this call ended. A session without a
    /// user, or that is not stored, ends nothing. A session that has ended meanwhile or has a new id ends nothing
    /// either: a late request must not end the sessions that came after it, such as its own successor. If another tab
    /// gives the session a new id at this moment, it stays under the new id.
    ///
    /// It ends the sessions that the index lists. To end all with one write, an epoch would have to be written into the
    /// session that stays, and a request of that session at this moment would find it ended.
    ///
    /// # Errors
    /// As [`end_user`](Self::end_user); `NotLoaded`, `Busy`; `NoStore` for a session that the client keeps.
    pub async fn end_others(
        &self,
        session: &Session,
        reason: impl Into<Cow<'static, str>>,
    ) -> Result<usize, Error> {
        session.needs_store()?;
        self.needs_index()?;
        let own = session.read(|work| {
            let table = work.loaded().map(|loaded| (loaded.key.clone(), &work.table().header));
            table.and_then(|(key, header)| Some((key, header.user()?.to_owned())))
        })?;
        match own {
            Some((key, user)) => self.manager.end_sessions(&user, Some(&key), reason.into()).await,
            None => Ok(0),
        }
    }

    fn needs_index(&self) -> Result<(), Error> {
        if self.manager.config.index_users {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Config).with_detail("index_users is off"))
    }
}

impl<D: Driver> Found<D> {
    /// A name of the session for a form: see [`Handle`].
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(self.key().clone())
    }

    /// Whether this is the stored session of that request.
    ///
    /// # Errors
    /// `NotLoaded`; `Busy` while another task commits.
    pub fn is(&self, session: &Session) -> Result<bool, Error> {
        session.read(|work| work.loaded().is_some_and(|loaded| loaded.key == *self.key()))
    }

    /// When it was last used, up to the threshold of a touch. In the last idle timeout before the absolute deadline,
    /// when no use moves the deadline, it may have been used later.
    #[must_use]
    pub fn last_used(&self) -> Timestamp {
        let touched = self.deadline().map(|deadline| deadline.saturating_sub(self.idle_timeout()));
        touched.map_or(self.updated(), |touched| touched.max(self.updated()))
    }
}

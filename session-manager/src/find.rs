//! Paging through the sessions of a store.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use session_core::{Cursor, Driver, Key, Prefix, Revision, Timestamp};

use crate::enter::{At, StoredSession, yield_after};
use crate::entry::{LABEL, VALUE, entries};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::handle::Handle;
use crate::outcome::EndReason;
use crate::sessions::Sessions;
use crate::settle::Removal;
use crate::table::Table;
use crate::values::decoded;

impl<D: Driver> Sessions<D> {
    /// A page of the live sessions, in the driver's order. It touches, creates and extends no session. Tombstones and
    /// other records are left out, and with [`user_epochs`](crate::SessionsBuilder::user_epochs) the sessions that an
    /// epoch has ended, for one more retrieve per user. Damaged records are left out with an event, and the page names them.
    ///
    /// To count sessions, count what the pages contain. [`DriverExt::count`](session_core::DriverExt::count) counts
    /// records, so it includes the tombstones of the last 60 s. If a process died between the two writes of a rotation,
    /// the record under the new id is shown until its idle timeout, although no client has that id.
    ///
    /// A page may be shorter or longer than `limit`, even empty; only `next: None` is the end. Begin with
    /// [`Cursor::start`].
    ///
    /// # Errors
    /// `Store`: with `InvalidCursor` for a cursor of another store, with `Unsupported` if the driver cannot list.
    pub async fn find(&self, from: Cursor, limit: usize) -> Result<FoundPage<D>, Error> {
        let manager = &self.manager;
        let page = manager.driver.traverse(&Prefix::SESSION, from, limit).await?;
        let mut sessions = Vec::with_capacity(page.entries.len());
        let mut damaged = Vec::new();
        let mut epochs = HashMap::new();
        for (done, entry) in page.entries.into_iter().enumerate() {
            match manager.session_at(&entry.key).await? {
                At::Session(stored) => {
                    if manager.has_known_epoch(&stored.table.header, &mut epochs).await? {
                        sessions.push(Found::new(self.clone(), entry.key, stored));
                    }
                }
                At::Damaged(_) => damaged.push(Handle(entry.key)),
                At::Nothing | At::Moved(_) => {}
            }
            yield_after(done).await;
        }
        Ok(FoundPage { sessions, damaged, next: page.next })
    }

    /// The live session with this handle, for an administrator's page or an operator's tool. It is found under the handle from
    /// before a timed renewal too. It touches, creates and extends no session. `None` if the session has ended, or was
    /// rotated.
    ///
    /// # Errors
    /// `Store`; `Corrupt` if the record is damaged.
    pub async fn find_one(&self, handle: &Handle) -> Result<Option<Found<D>>, Error> {
        let manager = &self.manager;
        match manager.newest(&handle.0).await? {
            (key, At::Session(stored)) => {
                let lives = manager.has_known_epoch(&stored.table.header, &mut HashMap::new()).await?;
                Ok(lives.then(|| Found::new(self.clone(), key, stored)))
            }
            (_, At::Damaged(_)) => Err(Error::new(ErrorKind::Corrupt).with_detail("the record of a session")),
            (_, At::Nothing | At::Moved(_)) => Ok(None),
        }
    }
}

/// A page of sessions.
#[non_exhaustive]
pub struct FoundPage<D> {
    /// The sessions.
    pub sessions: Vec<Found<D>>,
    /// The names of the damaged records. [`Sessions::end`] removes such a record.
    pub damaged: Vec<Handle>,
    /// The start of the next page, or `None` at the end.
    pub next: Option<Cursor>,
}

impl<D> std::fmt::Debug for FoundPage<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FoundPage")
            .field("sessions", &self.sessions)
            .field("damaged", &self.damaged.len())
            .field("next", &self.next)
            .finish()
    }
}

/// A session found by [`Sessions::find`]: a copy to read, and a handle to end it. It does not contain the id.
pub struct Found<D> {
    sessions: Sessions<D>,
    key: Key,
    revision: Revision,
    expires: Option<Timestamp>,
    table: Table,
}

impl<D: Driver> Found<D> {
    pub(crate) fn new(sessions: Sessions<D>, key: Key, stored: StoredSession) -> Self {
        let StoredSession { revision, expires, table } = stored;
        Self { sessions, key, revision, expires, table }
    }

    pub(crate) fn sessions(&self) -> &Sessions<D> {
        &self.sessions
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        self.table.header.idle
    }

    /// When it was created.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.table.header.created
    }

    /// When it was last changed.
    #[must_use]
    pub fn updated(&self) -> Timestamp {
        self.table.header.updated
    }

    /// When it ends unless it is used again.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.expires
    }

    /// When it ends even if it is used.
    #[must_use]
    pub fn absolute_deadline(&self) -> Option<Timestamp> {
        self.table.header.absolute
    }

    /// Its user.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.table.header.user()
    }

    /// The length of its data in the store, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.table.data().len()
    }

    /// Its label: see [`Session::set_label`](crate::Session::set_label).
    #[must_use]
    pub fn label(&self) -> Option<String> {
        let label = entries(self.table.body()).find(|entry| entry.class() == LABEL)?;
        Some(String::from_utf8_lossy(label.value()).into_owned())
    }

    /// The keys that have values, in byte order.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let now = self.sessions.now();
        let values = entries(self.table.body()).filter(|entry| entry.class() == VALUE);
        let live = values.filter(|entry| entry.is_live(|| now));
        live.map(|entry| String::from_utf8_lossy(entry.key()).into_owned()).collect()
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// `Decode`, `Codec`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let now = self.sessions.now();
        let entry = entries(self.table.body()).find(|entry| entry.is(VALUE, key.as_bytes()));
        entry.filter(|entry| entry.is_live(|| now)).map(|entry| decoded(key, entry.whole)).transpose()
    }

    /// Ends the session, even if it has changed since it was found. Returns whether this call ended it.
    ///
    /// # Errors
    /// `Store`, `Uncertain`, `Contention`: it may still exist.
    pub async fn end(&self, reason: impl Into<Cow<'static, str>>) -> Result<bool, Error> {
        let manager = &self.sessions.manager;
        let mut key = self.key.clone();
        let removed = manager.end_record(&mut key, self.revision).await? == Removal::Removed;
        if removed {
            manager.emit(Some(&key), &Event::Ended(EndReason::Destroyed(reason.into())));
            manager.leave_header(&self.table.header, &key).await;
        }
        Ok(removed)
    }
}

impl<D> std::fmt::Debug for Found<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("expires", &self.expires).finish_non_exhaustive()
    }
}

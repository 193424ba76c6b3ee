//! Paging through the sessions of a store.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use session_core::{Cursor, Driver, Key, Prefix, Revision, StoreErrorKind, Timestamp};

use crate::codec::decode;
use crate::destroy::Removal;
use crate::error::Error;
use crate::event::Event;
use crate::outcome::EndReason;
use crate::sessions::Sessions;
use crate::table::{Content, Table, VALUE};

impl<D: Driver> Sessions<D> {
    /// A page of the live sessions, in an order of the driver's choice. It touches, creates and extends none; tombstones
    /// and other records are left out, damaged ones too, with an event.
    ///
    /// A page may be shorter or longer than `limit`, even empty; only `next: None` ends. Begin with
    /// [`Cursor::start`].
    ///
    /// # Errors
    /// `Store`, with `InvalidCursor` for a cursor that is not this store's and `Unsupported` where it cannot list.
    pub async fn find(&self, from: Cursor, limit: usize) -> Result<FoundPage<D>, Error> {
        let inner = &self.inner;
        let page = inner.driver.traverse(&Prefix::SESSION, from, limit).await?;
        let mut sessions = Vec::with_capacity(page.entries.len());
        for entry in page.entries {
            let record = match inner.driver.retrieve(&entry.key).await {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                Err(error) if error.kind() == StoreErrorKind::Corrupt => {
                    inner.emit(Some(&entry.key), &Event::Corrupt);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match Table::parse(record.data) {
                Ok(Content::Session(table)) => sessions.push(Found {
                    sessions: self.clone(),
                    key: entry.key,
                    revision: record.revision,
                    expires: record.expires,
                    table,
                }),
                Ok(Content::Tombstone) => {}
                Err(_) => inner.emit(Some(&entry.key), &Event::Corrupt),
            }
        }
        Ok(FoundPage { sessions, next: page.next })
    }
}

/// A page of sessions.
#[non_exhaustive]
pub struct FoundPage<D> {
    /// The sessions.
    pub sessions: Vec<Found<D>>,
    /// Where to go on, or `None` at the end.
    pub next: Option<Cursor>,
}

impl<D> std::fmt::Debug for FoundPage<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FoundPage").field("sessions", &self.sessions).field("next", &self.next).finish()
    }
}

/// A session that [`Sessions::find`] met: a copy to read, and a handle to end it. It has no id to show.
pub struct Found<D> {
    sessions: Sessions<D>,
    key: Key,
    revision: Revision,
    expires: Option<Timestamp>,
    table: Table,
}

impl<D: Driver> Found<D> {
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

    /// When it ends however much it is used.
    #[must_use]
    pub fn absolute_deadline(&self) -> Option<Timestamp> {
        self.table.header.absolute
    }

    /// The user whom it belongs to.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.table.header.user()
    }

    /// The length of its data in the store, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.table.data.len()
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// `Decode`, `Codec`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let now = self.sessions.now();
        let mut entries = self.table.entries();
        let entry = entries.find(|entry| entry.order() == (VALUE, key.as_bytes()) && entry.is_live(|| now));
        entry.map(|entry| decode(entry.codec, key, entry.value)).transpose()
    }

    /// Ends the session, whatever was written to it since it was found, and says whether this call ended it.
    ///
    /// # Errors
    /// `Store`, `Uncertain`, `Contention`: it may still be there.
    pub async fn end(&self, reason: impl Into<Cow<'static, str>>) -> Result<bool, Error> {
        let inner = &self.sessions.inner;
        let removed = inner.end_record(&self.key, self.revision).await? == Removal::Removed;
        if removed {
            inner.emit(Some(&self.key), &Event::Ended(EndReason::Destroyed(reason.into())));
        }
        Ok(removed)
    }
}

impl<D> std::fmt::Debug for Found<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found").field("expires", &self.expires).finish_non_exhaustive()
    }
}

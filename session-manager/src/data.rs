//! Data of a user, which outlives sessions.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use session_core::{Change, Condition, Driver, Key, Record, Revision, StoreErrorKind, Timestamp};
use sha2::{Digest, Sha256};

use crate::codec::decode;
use crate::entry::{MERGED, NewEntry, VALUE, entries};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::index::{data_key_of, hex};
use crate::manager::Manager;
use crate::op::parsed;
use crate::session::Session;
use crate::sessions::Sessions;
use crate::settle::{Before, New, Patience};
use crate::table::{Draft, Table};
use crate::values::{decoded, encode_checked};
use crate::view::View;

/// How long a merge is remembered if its session has no absolute deadline.
const MERGED_TIME: Duration = Duration::from_secs(30 * 86_400);

/// A value that is merged once.
struct Origin {
    hash: [u8; 32],
    until: Option<Timestamp>,
}

impl<D: Driver> Sessions<D> {
    /// The value of `key` in the data of a user.
    ///
    /// # Errors
    /// `Decode`, `Codec`, `Corrupt`, `Store`.
    pub async fn user_data<T: DeserializeOwned>(&self, user: &str, key: &str) -> Result<Option<T>, Error> {
        let table = self.manager.data_of(&data_key_of(user)).await?.1;
        let found = entries(table.body()).find(|entry| entry.is(VALUE, key.as_bytes()));
        found.map(|entry| decoded(key, entry.whole)).transpose()
    }

    /// Sets `key` in the data of a user to the result of `change` on its value, and returns that. It is stored at once,
    /// with a compare-and-swap: after a conflict the closure runs again, so the additions of two requests add up.
    ///
    /// # Errors
    /// `Decode`, `Encode`, `Name`, `Corrupt`, `Store`, `Contention`; `Uncertain` if the answer was lost: the change may
    /// have been stored.
    pub async fn update_user_data<T, F>(&self, user: &str, key: &str, change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>) -> T,
    {
        let changed = self.manager.change_data(user, key, None, |own| Ok(change(own))).await?;
        changed.ok_or_else(|| Error::new(ErrorKind::Contention))
    }

    /// Merges the value of `key` of a session into the data of its user, and removes it from the session: a guest's
    /// cart at a login. Call it after [`Session::login`]. Returns the merged value; `None` if neither has one.
    ///
    /// The merge is stored at once. The same value of the same stored session is merged once, so a double click and a
    /// retry do not count it twice. The removal is part of the request's log.
    ///
    /// # Errors
    /// As [`update_user_data`](Self::update_user_data); `Config` for a session without a user; `Committed`, `NotLoaded`,
    /// `Busy`.
    pub async fn merge_user_data<T, F>(
        &self,
        session: &Session,
        key: &str,
        merge: F,
    ) -> Result<Option<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>, T) -> T,
    {
        let user = session.user()?.ok_or_else(|| {
            Error::new(ErrorKind::Config).with_detail("the session has no user to merge into")
        })?;
        let Some(guest) = session.search(|work| work.find(VALUE, key, || self.now()))? else {
            let own = self.user_data(&user, key).await?;
            // A login whose session is gone may be replayed on data that this request does not see.
            session.remove(key)?;
            return Ok(own);
        };
        let origin = session.read(|work| {
            let hash = Sha256::new().chain_update(work.loaded().map_or(&b""[..], |old| old.key.as_bytes()));
            let until = work.table().header.absolute;
            work.loaded().map(|_| (hash.chain_update(b"\0").chain_update(&guest).finalize(), until))
        })?;
        let origin = origin.map(|(hash, until)| Origin { hash: hash.into(), until });
        let parts = parsed(&guest);
        let merged = self
            .manager
            .change_data(&user, key, origin, |own| {
                decode::<T>(parts.codec(), key, parts.value()).map(|guest| merge(own, guest))
            })
            .await?;
        session.remove(key)?;
        Ok(merged)
    }

    /// Removes the data of a user. Returns whether there was any.
    ///
    /// # Errors
    /// `Store`.
    pub async fn remove_user_data(&self, user: &str) -> Result<bool, Error> {
        // Not conditional, so that damaged data is removed too.
        Ok(self.manager.driver.remove(&data_key_of(user), Condition::Any).await?.is_applied())
    }
}

impl<D: Driver> Manager<D> {
    async fn data_of(&self, key: &Key) -> Result<(Option<Record>, Table), Error> {
        let damaged = || {
            self.emit(None, &Event::Corrupt);
            Error::new(ErrorKind::Corrupt).with_detail("the data of a user")
        };
        let record = match self.driver.retrieve(key).await {
            Ok(Some(record)) => record,
            Ok(None) => return Ok((None, Table::unstored(self.config.new_header()))),
            Err(error) if error.kind() == StoreErrorKind::Corrupt => return Err(damaged().with_source(error)),
            Err(error) => return Err(error.into()),
        };
        let table = Table::parse_user(&record.data).map_err(|_| damaged())?;
        Ok((Some(record), table))
    }

    /// Changes one value of a user's data, once for each origin. Returns the value afterwards.
    async fn change_data<T: Serialize + DeserializeOwned>(
        &self,
        user: &str,
        key: &str,
        origin: Option<Origin>,
        change: impl Fn(Option<T>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let record_key = data_key_of(user);
        let mut patience = Patience::new();
        loop {
            let now = self.clock.now();
            let (before, table) = self.data_of(&record_key).await?;
            let own = entries(table.body()).find(|entry| entry.is(VALUE, key.as_bytes()));
            let own = own.map(|entry| decoded(key, entry.whole)).transpose()?;
            let mut view = View::new(&table);
            if let Some(Origin { hash, until }) = &origin {
                let name = hex(hash);
                if entries(table.body()).any(|entry| entry.is(MERGED, name.as_bytes())) {
                    return Ok(own);
                }
                let deadline = until.unwrap_or_else(|| now.saturating_add(MERGED_TIME));
                let parts =
                    NewEntry { class: MERGED, codec: 0, deadline: Some(deadline), id: None, key: &name };
                if let Some(entry) = parts.encode(|_| Ok::<_, Error>(()))? {
                    view.put(&entry);
                }
            }
            let value = change(own)?;
            view.put(&encode_checked(key, &value, self.config.codec)?);
            let mut header = table.header.clone();
            if before.is_none() {
                header.created = now;
            }
            let data =
                Draft::filtered(header, view.body(), |entry| entry.is_live(|| now)).stamped(now).as_user();
            let record = Record { data, expires: None, revision: Revision::random()? };
            let applied = match &before {
                Some(before) => {
                    let answer =
                        self.replace(&record_key, || record.clone(), Before::Loaded(before), false).await?;
                    matches!(answer, Change::Applied)
                }
                None => match self.store_new(&record_key, record).await? {
                    New::Stored => true,
                    New::Taken => false,
                    New::Lost(error) => return Err(Error::uncertain(error)),
                },
            };
            if applied {
                return Ok(Some(value));
            }
            patience.spend().await?;
        }
    }
}

//! A session's values and settings, and what each change means on replay.

use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::codec::{Codec, decode};
use crate::config::MIN_TIME;
use crate::entry::{NewEntry, VALUE};
use crate::error::{Error, ErrorKind};
use crate::op::{Op, parsed};
use crate::session::Session;
use crate::work::Work;

/// How many times `update` and `take` start again because a clone of the handle changed the value.
const TRIES: u32 = 100;

impl Session {
    /// The value of `key`, or `None` if there is none or its deadline has passed. Decodes this value only.
    ///
    /// # Errors
    /// `Decode` if it is not a `T`, `Codec` if this build lacks its codec: all values stay as they are. `NotLoaded`,
    /// `Busy`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.entry(key)?.map(|entry| decoded(key, &entry)).transpose()
    }

    pub(crate) fn entry(&self, key: &str) -> Result<Option<Bytes>, Error> {
        self.search(|work| self.value_in(work, key))
    }

    /// Whether `key` has a value.
    ///
    /// # Errors
    /// `NotLoaded`, `Busy`.
    pub fn contains(&self, key: &str) -> Result<bool, Error> {
        self.search(|work| self.value_in(work, key).is_some())
    }

    /// The keys that have values, in byte order.
    ///
    /// # Errors
    /// `NotLoaded`, `Busy`.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        self.read(|work| {
            let live = work.live(VALUE, || self.now());
            live.map(|entry| String::from_utf8_lossy(entry.key()).into_owned()).collect()
        })
    }

    /// Sets `key` and removes the deadline of its old value. On replay: blind, the last writer wins.
    ///
    /// # Errors
    /// `Encode` for a value that would not be read back, such as `Some(None)`: see [`Codec`]. The old value stays then.
    /// `Name` for a key over 65,535 bytes, `TooLarge`; `Committed`, `NotLoaded`, `Busy`.
    pub fn insert<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Error> {
        self.insert_as(key, value, self.config().codec)
    }

    /// [`insert`](Self::insert) with another codec.
    ///
    /// # Errors
    /// The same.
    pub fn insert_as<T: Serialize + ?Sized>(&self, key: &str, value: &T, codec: Codec) -> Result<(), Error> {
        let entry = encode_entry(value_parts(key, codec), |out| codec.encode(key, value, out))?;
        self.record_entry(entry, Op::Insert)
    }

    /// [`insert`](Self::insert) for values that `insert` refuses although they may be read back: they are encoded,
    /// decoded again, and refused only if that fails. `None` is the configured codec.
    ///
    /// Such values are 128-bit integers in a struct, and with [`Codec::Bincode`] every type from outside of the standard
    /// library. Other values are not decoded.
    ///
    /// # Errors
    /// The same.
    pub fn insert_checked<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        value: &T,
        codec: Option<Codec>,
    ) -> Result<(), Error> {
        let entry = encode_checked(key, value, codec.unwrap_or(self.config().codec))?;
        self.record_entry(entry, Op::Insert)
    }

    /// Records an operation that puts this entry.
    pub(crate) fn record_entry(&self, entry: Vec<u8>, op: fn(Vec<u8>) -> Op) -> Result<(), Error> {
        let limits = self.config().limits;
        self.write(|work| work.admit(&entry, limits).map(|()| work.record(op(entry))))?
    }

    /// Removes `key` and returns whether it had a value. On replay: blind.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn remove(&self, key: &str) -> Result<bool, Error> {
        self.write(|work| {
            let existed = self.value_in(work, key).is_some();
            work.record(Op::Remove(key.into()));
            existed
        })
    }

    /// Sets `key` to the result of `change` on its value, and returns that. On replay the closure runs again on the
    /// value of that time, so the additions of two requests add up.
    ///
    /// The closure may run many times and must only compute. The returned value is provisional: it is what this request
    /// stores unless another request commits first. Do not show it to a visitor as a fact, such as a token for a form
    /// or a place in a queue: call [`update_now`](Self::update_now) for that.
    ///
    /// # Errors
    /// `Decode` if the value is not a `T`; `Encode`, `Name`, `TooLarge`, `Committed`, `NotLoaded`, `Busy`; `Contention` if the
    /// closure itself sets this key through a clone of the handle, to another value each time. On replay the commit
    /// returns the same errors.
    pub fn update<T, F>(&self, key: &str, change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>) -> T + Send + 'static,
    {
        let name: Box<str> = key.into();
        self.update_by(key, move |current| {
            let current = current.map(|(codec, bytes)| decode::<T>(codec, &name, bytes)).transpose()?;
            Ok(change(current))
        })
    }

    /// `change` gets the codec and the bytes of the stored value.
    pub(crate) fn update_by<T, F>(&self, key: &str, change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<(u8, &[u8])>) -> Result<T, Error> + Send + 'static,
    {
        let codec = self.config().codec;
        let name: Box<str> = key.into();
        let run = move |current: Option<(u8, &[u8])>| {
            let value = change(current)?;
            Ok::<_, Error>((encode_checked(&name, &value, codec)?, value))
        };
        let mut current = self.write(|work| self.value_in(work, key))?;
        let mut slot = Some(run);
        for _ in 0..TRIES {
            let Some(run) = &slot else { break };
            // Without the lock, because the closure may use a clone of this handle.
            let parts = current.as_deref().map(parsed);
            let (entry, value) = run(parts.map(|entry| (entry.codec(), entry.value())))?;
            let limits = self.config().limits;
            let now = self.write(|work| {
                let now = self.value_in(work, key);
                if now == current
                    && let Some(run) = slot.take()
                {
                    work.admit(&entry, limits)?;
                    let rerun = Box::new(move |current: Option<(u8, &[u8])>| Ok(run(current)?.0));
                    work.record_update(key, rerun, &entry);
                }
                Ok::<_, Error>(now)
            })??;
            if slot.is_none() {
                return Ok(value);
            }
            current = now;
        }
        Err(Error::new(ErrorKind::Contention).with_detail("the value changed during each run of the update"))
    }

    /// [`update`](Self::update) and [`commit`](Self::commit): returns the value as it is stored. Everything that this
    /// request has recorded is committed with it, and is final even if the handler fails later.
    ///
    /// A session that the client keeps is stored by the response only, and the last response wins: the value is final
    /// for this request alone.
    ///
    /// ```
    /// # async fn handler(session: session_manager::Session, new: String) -> Result<String, session_manager::Error> {
    /// // Of two first pages that a visitor opens at once, each shows the token that is stored.
    /// let token = session.update_now("token", move |old| old.unwrap_or_else(|| new.clone())).await?;
    /// # Ok(token)
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`update`](Self::update) and [`commit`](Self::commit); `Ended` if the session has ended or has a new id, and
    /// nothing was stored.
    pub async fn update_now<T, F>(&self, key: &str, change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>) -> T + Send + 'static,
    {
        // Not kept over the wait: a value need not be `Send`.
        self.update(key, change).map(drop)?;
        self.commit().await?;
        self.get(key)?.ok_or_else(|| Error::new(ErrorKind::Ended))
    }

    /// Removes `key` and returns its value: for values that may be spent once, such as tokens. If another request took
    /// or changed it first, the commit fails with `Contention` and the response is refused.
    ///
    /// # Errors
    /// `NoStore` for a session that the client keeps; `Decode`, and then the value stays; `Committed`, `NotLoaded`,
    /// `Busy`.
    pub fn take<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.needs_store()?;
        for _ in 0..TRIES {
            let Some(entry) = self.write(|work| self.value_in(work, key))? else { return Ok(None) };
            let value = decoded(key, &entry)?;
            let taken = self.write(|work| {
                let same = self.value_in(work, key).as_ref() == Some(&entry);
                if same {
                    work.record(Op::Take(entry));
                }
                same
            })?;
            if taken {
                return Ok(Some(value));
            }
        }
        Err(Error::new(ErrorKind::Contention).with_detail("the value changed while it was decoded"))
    }

    /// Removes all values and nothing else: user, times, bindings, label and flash stay, so the visitor stays logged in.
    /// On replay it removes the values of that time, including those of other requests.
    ///
    /// ```
    /// # fn handler(session: session_manager::Session) -> Result<(), session_manager::Error> {
    /// session.login("ada")?;
    /// session.clear_values()?;
    /// assert_eq!(session.user()?.as_deref(), Some("ada"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// For a logout, call [`destroy`](Self::destroy), or [`unbind_user`](Self::unbind_user) to keep the values.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn clear_values(&self) -> Result<(), Error> {
        self.write(|work| work.record(Op::Clear))
    }

    /// The former name of [`clear_values`](Self::clear_values).
    ///
    /// # Errors
    /// The same.
    #[deprecated(note = "it keeps the user: call `clear_values`, or `destroy` for a logout")]
    pub fn clear(&self) -> Result<(), Error> {
        self.clear_values()
    }

    /// Lets the value of `key` expire after this time, in whole milliseconds from now. Extending the session does not
    /// extend it. Returns whether there is a value. On replay it applies only if that value is still there.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn expire_key(&self, key: &str, after: Duration) -> Result<bool, Error> {
        let deadline = self.now().saturating_add(after);
        self.write(|work| match self.value_in(work, key) {
            Some(given) => {
                work.record(Op::Expire { given, deadline });
                true
            }
            None => false,
        })
    }

    /// How long this session lives without being used; at least one second. On replay the last one wins.
    ///
    /// # Errors
    /// `Config` for less than a second; `Committed`, `NotLoaded`, `Busy`.
    pub fn set_idle_timeout(&self, idle: Duration) -> Result<(), Error> {
        at_least_a_second(Some(idle))?;
        self.write(|work| work.record(Op::Idle(idle)))
    }

    /// How long this session lives from its creation or last rotation; `None` for no limit. On replay the last one
    /// wins.
    ///
    /// # Errors
    /// As [`set_idle_timeout`](Self::set_idle_timeout); `Config` for `None` in a session that the client keeps, without
    /// [`user_epochs`](crate::SessionsBuilder::user_epochs).
    pub fn set_absolute_lifetime(&self, lifetime: Option<Duration>) -> Result<(), Error> {
        at_least_a_second(lifetime)?;
        self.config().check_lifetime(lifetime)?;
        self.write(|work| work.record(Op::Lifetime(lifetime)))
    }

    fn value_in(&self, work: &mut Work, key: &str) -> Option<Bytes> {
        work.find(VALUE, key, || self.now())
    }
}

/// Decodes an entry of the session. Never called with the lock, because a value's own code may use the session.
pub(crate) fn decoded<T: DeserializeOwned>(key: &str, entry: &[u8]) -> Result<T, Error> {
    let entry = parsed(entry);
    decode(entry.codec(), key, entry.value())
}

/// Encodes a value, and decodes it again if its encoding leaves a doubt.
pub(crate) fn encode_checked<T: Serialize + DeserializeOwned>(
    key: &str,
    value: &T,
    codec: Codec,
) -> Result<Vec<u8>, Error> {
    encode_entry(value_parts(key, codec), |out| codec.encode_checked(key, value, out))
}

/// Encodes a value as [`encode_checked`] does, for a comparison only.
pub(crate) fn encode_unchecked<T: Serialize>(key: &str, value: &T, codec: Codec) -> Result<Vec<u8>, Error> {
    encode_entry(value_parts(key, codec), |out| codec.encode_unchecked(key, value, out))
}

pub(crate) fn encode_entry(
    parts: NewEntry<'_>,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
) -> Result<Vec<u8>, Error> {
    parts.encode(fill)?.ok_or_else(|| {
        let detail =
            format!("a key has up to 65,535 bytes and a value up to 4 GiB; this key has {}", parts.key.len());
        Error::new(ErrorKind::Name).with_detail(detail)
    })
}

fn value_parts(key: &str, codec: Codec) -> NewEntry<'_> {
    NewEntry { class: VALUE, codec: codec.id(), deadline: None, id: None, key }
}

pub(crate) fn at_least_a_second(time: Option<Duration>) -> Result<(), Error> {
    if time.is_some_and(|time| time < MIN_TIME) {
        return Err(Error::new(ErrorKind::Config).with_detail("a timeout is at least one second"));
    }
    Ok(())
}

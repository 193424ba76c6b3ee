//! Values for the next request.

use serde::{Serialize, de::DeserializeOwned};
use session_core::random;

use crate::entry::{FLASH, NewEntry};
use crate::error::Error;
use crate::op::Op;
use crate::session::Session;
use crate::values::{decoded, encode_entry};
use crate::work::Work;

/// Values for the next request that reads flash: set in one request, readable in the next, and removed after it.
///
/// [`get`](Self::get) and [`keys`](Self::keys) read flash. The commit of a request that reads removes the values that
/// were readable at its start, unless it set them again or kept them. Without a commit nothing is lost. Requests that do
/// not read flash remove none of it: two forms in a row that only set a value leave both for the next page. Every value
/// has its own id: two parallel readers may both see a value, and neither removes a newer one.
#[derive(Clone, Copy, Debug)]
pub struct Flash<'a> {
    session: &'a Session,
}

impl Session {
    /// Values for the next request.
    #[must_use]
    pub fn flash(&self) -> Flash<'_> {
        Flash { session: self }
    }
}

impl Flash<'_> {
    /// The value of `key`.
    ///
    /// # Errors
    /// `Decode`, `Codec`, `NotLoaded`, `Busy`; on a sealed handle `Committed`, because the read would not count.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let entry = self.reading(|work| work.find(FLASH, key, || self.session.now()))?;
        entry.map(|entry| decoded(key, &entry)).transpose()
    }

    /// The keys that have values, in byte order.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        self.reading(|work| {
            let live = work.live(FLASH, || self.session.now());
            live.map(|entry| String::from_utf8_lossy(entry.key()).into_owned()).collect()
        })
    }

    /// Sets `key` for the next request that reads flash. This request can read it too.
    ///
    /// # Errors
    /// `Encode`, `Name`, `TooLarge`, `Entropy`, `Committed`, `NotLoaded`, `Busy`.
    pub fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Error> {
        let codec = self.session.config().codec;
        let id = Some(u64::from_le_bytes(random::bytes()?));
        let parts = NewEntry { class: FLASH, codec: codec.id(), deadline: None, id, key };
        let entry = encode_entry(parts, |out| codec.encode(key, value, out))?;
        self.session.record_entry(entry, Op::FlashSet)
    }

    /// Keeps the value of `key` for one more request that reads flash. Returns whether there is a value.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn keep(&self, key: &str) -> Result<bool, Error> {
        self.session.write(|work| {
            let ids = self.ids(work, |candidate| candidate == key.as_bytes());
            let kept = !ids.is_empty();
            work.keep_flash(ids);
            kept
        })
    }

    /// Keeps all values for one more request that reads flash.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn keep_all(&self) -> Result<(), Error> {
        self.session.write(|work| work.keep_flash(self.ids(work, |_| true)))
    }

    /// Removes the current values from this request and later ones. A request that keeps flash values, such as `HEAD`,
    /// removes none.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn clear(&self) -> Result<(), Error> {
        self.session.write(|work| {
            let mut ids = self.ids(work, |_| true);
            ids.sort_unstable();
            if !ids.is_empty() && !self.session.request().keep_flash {
                work.record(Op::FlashDrop(ids));
            }
        })
    }

    fn ids(&self, work: &Work, wanted: impl Fn(&[u8]) -> bool) -> Vec<u64> {
        let live = work.live(FLASH, || self.session.now());
        live.filter(|entry| wanted(entry.key())).map(|entry| entry.id()).collect()
    }

    fn reading<R>(&self, call: impl FnOnce(&mut Work) -> R) -> Result<R, Error> {
        self.session.write(|work| {
            if !self.session.request().keep_flash {
                work.use_flash();
            }
            call(work)
        })
    }
}

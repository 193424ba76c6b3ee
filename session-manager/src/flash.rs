//! Values for the next request.

use serde::{Serialize, de::DeserializeOwned};

use crate::error::Error;
use crate::op::Op;
use crate::random;
use crate::session::{Session, too_long};
use crate::table::{FLASH, NewEntry};
use crate::work::Work;

/// Values for the next request that uses flash: set in one request, readable in that next one, and gone after it.
///
/// Reading, setting, keeping or clearing any value uses flash. What was readable when such a request began, and was
/// not set again or kept in it, goes at its commit; if it does not commit, nothing is lost. Requests that do not use
/// flash leave it alone. Every value has an id of its own: of two parallel readers both may see a value, and neither
/// erases a newer one.
#[derive(Clone, Copy, Debug)]
pub struct Flash<'a> {
    session: &'a Session,
}

impl<'a> Flash<'a> {
    pub(crate) fn new(session: &'a Session) -> Self {
        Self { session }
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// `Decode`, `Codec`, `NotLoaded`, `Busy`; on a sealed handle `Committed`, for this read would not be counted.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        self.using(|work| self.session.get_in(work, FLASH, key))
    }

    /// The keys that have values, in the order of their bytes.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        self.using(|work| {
            let mut keys = Vec::new();
            self.each(work, |_, key| keys.push(String::from_utf8_lossy(key).into_owned()));
            Ok(keys)
        })
    }

    /// Sets `key` for the next request that uses flash. It is readable in this one too.
    ///
    /// # Errors
    /// `Encode`, `Name`, `Committed`, `NotLoaded`, `Busy`.
    pub fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<(), Error> {
        let codec = self.session.config().codec;
        let id = Some(u64::from_le_bytes(random::bytes()?));
        let parts = NewEntry { class: FLASH, codec: codec.id(), deadline: None, id, key };
        let entry = parts.encode(|out| codec.encode(key, value, out))?.ok_or_else(|| too_long(key))?;
        self.using(|work| work.record(Op::FlashSet(entry), self.session.config(), self.session.now()))
    }

    /// Keeps the value of `key` for one more request, and says whether there is one.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn keep(&self, key: &str) -> Result<bool, Error> {
        self.keep_those(|candidate| candidate == key.as_bytes()).map(|kept| kept > 0)
    }

    /// Keeps all values for one more request.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn keep_all(&self) -> Result<(), Error> {
        self.keep_those(|_| true).map(drop)
    }

    /// Removes the values that are there: now, and for later requests.
    ///
    /// # Errors
    /// `Committed`, `NotLoaded`, `Busy`.
    pub fn clear(&self) -> Result<(), Error> {
        self.using(|work| {
            let mut ids = Vec::new();
            self.each(work, |id, _| ids.push(id));
            if ids.is_empty() {
                return Ok(());
            }
            work.record(Op::FlashDrop(ids), self.session.config(), self.session.now())
        })
    }

    fn keep_those(&self, wanted: impl Fn(&[u8]) -> bool) -> Result<usize, Error> {
        self.using(|work| {
            let mut ids = Vec::new();
            self.each(work, |id, key| {
                if wanted(key) {
                    ids.push(id);
                }
            });
            let count = ids.len();
            work.flash.kept.extend(ids);
            Ok(count)
        })
    }

    fn each(&self, work: &Work, mut visit: impl FnMut(u64, &[u8])) {
        work.scan(|entry| {
            if entry.class == FLASH && entry.is_live(|| self.session.now()) {
                visit(entry.id, entry.key);
            }
            None::<()>
        });
    }

    fn using<R>(&self, call: impl FnOnce(&mut Work) -> Result<R, Error>) -> Result<R, Error> {
        self.session.write(|work| {
            work.flash.used = true;
            call(work)
        })
    }
}

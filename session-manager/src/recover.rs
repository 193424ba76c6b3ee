//! Values whose type has changed since they were stored.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Serialize, de::DeserializeOwned};

use crate::codec::decode;
use crate::error::Error;
use crate::event::Event;
use crate::op::parsed;
use crate::session::Session;

/// A stored value that does not decode as the requested type. A migration decodes it as an earlier one.
#[derive(Clone, Copy)]
pub struct Undecoded<'a> {
    key: &'a str,
    codec: u8,
    bytes: &'a [u8],
}

impl Undecoded<'_> {
    /// Decodes the value as another type.
    ///
    /// # Errors
    /// `Decode`, `Codec`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        decode(self.codec, self.key, self.bytes)
    }
}

/// Without the value.
impl fmt::Debug for Undecoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undecoded").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Session {
    /// [`get`](Self::get), and `recover` for a stored value that does not decode: it returns a value of an earlier type
    /// as a `T`, a default, or `None` for the error. The stored value stays as it is until `key` is written. Each value
    /// from `recover` is an [`Event::Recovered`].
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # fn cart(session: &session_manager::Session) -> Result<(), session_manager::Error> {
    /// #[derive(Serialize, Deserialize)]
    /// struct Cart {
    ///     items: Vec<(String, u32)>,
    /// }
    ///
    /// // An earlier release stored a list of names.
    /// let cart = session.get_or_recover("cart", |stored| {
    ///     let names: Vec<String> = stored.decode().ok()?;
    ///     Some(Cart { items: names.into_iter().map(|name| (name, 1)).collect() })
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_or_recover<T: DeserializeOwned>(
        &self,
        key: &str,
        recover: impl FnOnce(Undecoded<'_>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(entry) = self.entry(key)? else { return Ok(None) };
        let entry = parsed(&entry);
        let (value, recovered) = read(key, (entry.codec(), entry.value()), recover)?;
        if recovered {
            self.report(key)?;
        }
        Ok(Some(value))
    }

    /// [`update`](Self::update), and `recover` as in [`get_or_recover`](Self::get_or_recover). On replay both closures
    /// run again.
    ///
    /// # Errors
    /// As [`update`](Self::update).
    pub fn update_or_recover<T, R, F>(&self, key: &str, recover: R, change: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        R: Fn(Undecoded<'_>) -> Option<T> + Send + 'static,
        F: Fn(Option<T>) -> T + Send + 'static,
    {
        let recovered = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&recovered);
        let name: Box<str> = key.into();
        let value = self.update_by(key, move |stored| {
            let value = stored.map(|stored| read(&name, stored, &recover)).transpose()?;
            seen.store(value.as_ref().is_some_and(|(_, recovered)| *recovered), Ordering::Relaxed);
            Ok(change(value.map(|(value, _)| value)))
        })?;
        if recovered.load(Ordering::Relaxed) {
            self.report(key)?;
        }
        Ok(value)
    }

    fn report(&self, key: &str) -> Result<(), Error> {
        let record = self.read(|work| work.loaded().map(|loaded| loaded.key.clone()))?;
        self.backend().emit(record.as_ref(), &Event::Recovered { key: key.into() });
        Ok(())
    }
}

/// The value, and whether `recover` made it.
fn read<T: DeserializeOwned>(
    key: &str,
    (codec, bytes): (u8, &[u8]),
    recover: impl FnOnce(Undecoded<'_>) -> Option<T>,
) -> Result<(T, bool), Error> {
    decode(codec, key, bytes)
        .map(|value| (value, false))
        .or_else(|error| recover(Undecoded { key, codec, bytes }).map(|value| (value, true)).ok_or(error))
}

//! One struct in the session.

use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;
use session_manager::Error;

use crate::session::Session;

/// A value that has its own place in the session.
pub trait SessionValue: Serialize + DeserializeOwned + Default + Send + Sync + 'static {
    /// The session key under which it is kept.
    const KEY: &'static str;
}

/// One value of the request's session: an axum extractor. What is not in the session yet is `T::default()`.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use session_tower::{Error, SessionValue, Typed};
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Cart {
///     items: Vec<String>,
/// }
///
/// impl SessionValue for Cart {
///     const KEY: &'static str = "cart";
/// }
///
/// async fn add_book(mut cart: Typed<Cart>) -> Result<String, Error> {
///     let cart = cart.update(|cart| cart.items.push("book".into()))?;
///     Ok(format!("{} items", cart.items.len()))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Typed<T> {
    value: T,
    session: Session,
}

impl<T: SessionValue> Typed<T> {
    /// The value as it is in `session`.
    ///
    /// # Errors
    /// `Decode` or `Codec` where what is stored under the key is no `T`. It stays there.
    pub fn read(session: Session) -> Result<Self, Error> {
        let value = session.get(T::KEY)?.unwrap_or_default();
        Ok(Self { value, session })
    }

    /// Changes the value in the session, and gives what it is now. Changes that other requests of this session make
    /// at the same time are kept: `change` may run many times, on newer values too, and must have no effect but on
    /// its argument. Until the commit the result is provisional.
    ///
    /// # Errors
    /// `Encode`, `Decode`, `Codec`, and `Committed` after the response has gone out.
    pub fn update(&mut self, change: impl Fn(&mut T) + Send + 'static) -> Result<&T, Error> {
        self.value = self.session.update(T::KEY, move |value: Option<T>| {
            let mut value = value.unwrap_or_default();
            change(&mut value);
            value
        })?;
        Ok(&self.value)
    }

    /// Writes this value into the session, as a whole. What other requests of this session changed in it meanwhile
    /// is overwritten: for values that one form replaces. Where two requests may change parts of one value, use
    /// [`update`](Self::update).
    ///
    /// # Errors
    /// `Encode`, and `Committed` after the response has gone out.
    pub fn save(&self) -> Result<(), Error> {
        self.session.insert(T::KEY, &self.value)
    }

    /// Removes the value from the session.
    ///
    /// # Errors
    /// `Committed` after the response has gone out.
    pub fn remove(self) -> Result<(), Error> {
        self.session.remove(T::KEY).map(drop)
    }

    /// The session that the value is in.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The value alone.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Typed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Changes this copy. Only [`save`](Typed::save) puts it into the session.
impl<T> DerefMut for Typed<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

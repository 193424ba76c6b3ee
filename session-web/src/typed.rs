//! One struct in the session.

use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;
use session_manager::{Error, Session, Undecoded};

/// A value with its own key in the session.
pub trait SessionValue: Serialize + DeserializeOwned + Default + Send + Sync + 'static {
    /// Its session key.
    const KEY: &'static str;

    /// A value in place of a stored one that does not decode as this type, because the type has changed. `None`, the
    /// default, keeps the error and the stored value. `Some(Self::default())` starts again. A migration decodes the
    /// earlier type: `stored.decode::<OldCart>().ok().map(Self::from)`. Each value from here is an
    /// [`Event::Recovered`](session_manager::Event::Recovered), and is stored by [`update`](Typed::update) or
    /// [`save`](Typed::save).
    fn recover(stored: Undecoded<'_>) -> Option<Self> {
        let _ = stored;
        None
    }
}

/// One value of the request's session: an axum extractor. A missing value is `T::default()`.
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
    /// Reads the value from `session`.
    ///
    /// # Errors
    /// `Decode` or `Codec` if the stored value is not a `T` and [`recover`](SessionValue::recover) returns `None`. It
    /// stays stored.
    pub fn read(session: Session) -> Result<Self, Error> {
        let value = session.get_or_recover(T::KEY, T::recover)?.unwrap_or_default();
        Ok(Self { value, session })
    }

    /// Changes the value in the session and returns the result. Concurrent changes by other requests of this session
    /// are kept: `change` may run many times, also on newer values. It must change only its argument, and it should
    /// not hold a session. The result is provisional until the commit.
    ///
    /// # Errors
    /// `Encode`, `Decode`, `Codec`; `Committed` after the response.
    pub fn update(&mut self, change: impl Fn(&mut T) + Send + 'static) -> Result<&T, Error> {
        self.value = self.session.update_or_recover(T::KEY, T::recover, move |value: Option<T>| {
            let mut value = value.unwrap_or_default();
            change(&mut value);
            value
        })?;
        Ok(&self.value)
    }

    /// Writes this value into the session as a whole, and overwrites concurrent changes by other requests. Use it for
    /// values that one form replaces, and [`update`](Self::update) for values of which requests change parts.
    ///
    /// # Errors
    /// `Encode`; `Committed` after the response.
    pub fn save(&self) -> Result<(), Error> {
        self.session.insert_checked(T::KEY, &self.value, None)
    }

    /// Removes the value from the session.
    ///
    /// # Errors
    /// `Committed` after the response.
    pub fn remove(self) -> Result<(), Error> {
        self.session.remove(T::KEY).map(drop)
    }

    /// The session of the value.
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

/// Changes this copy. Only [`save`](Typed::save) writes it into the session.
impl<T> DerefMut for Typed<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

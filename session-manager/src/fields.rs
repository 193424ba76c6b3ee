//! A struct as the view of several values of a session.

use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind};
use crate::event::TARGET;
use crate::op::Op;
use crate::recover::Undecoded;
use crate::session::Session;
use crate::values::{encode_checked, encode_unchecked};

/// A struct whose fields are values of a session, each under a key of its own. No derive macro is needed.
///
/// [`Session::view`] reads it. `Default` has the values of a session without them.
///
/// ```
/// use session_manager::{Error, Fields, Session, SessionView};
///
/// struct Settings {
///     theme: String,
///     columns: u32,
/// }
///
/// impl Default for Settings {
///     fn default() -> Self {
///         Self { theme: "light".to_owned(), columns: 3 }
///     }
/// }
///
/// impl SessionView for Settings {
///     fn fields(&mut self, fields: &mut Fields<'_>) -> Result<(), Error> {
///         fields.value("theme", &mut self.theme)?;
///         // An earlier release stored the number as text.
///         fields.migrated("columns", &mut self.columns, |stored| stored.decode::<String>().ok()?.parse().ok())
///     }
/// }
///
/// fn widen(session: &Session) -> Result<u32, Error> {
///     let mut settings = session.view::<Settings>()?;
///     settings.columns += 1;
///     settings.save()?;
///     Ok(settings.columns)
/// }
/// ```
pub trait SessionView: Default {
    /// Names each field, its key, and how a value of an earlier release becomes one of its type. The same call reads and
    /// writes, so it must name the same fields each time.
    ///
    /// # Errors
    /// Those of [`Fields`].
    fn fields(&mut self, fields: &mut Fields<'_>) -> Result<(), Error>;
}

/// The visitor of [`SessionView::fields`].
#[derive(Debug)]
pub struct Fields<'a> {
    session: &'a Session,
    task: Task<'a>,
}

#[derive(Debug)]
enum Task<'a> {
    Read(&'a mut Known),
    Save(&'a mut Known),
}

/// What a view knows of the session.
#[derive(Clone, Default)]
struct Known {
    /// The entry of each field as it was read or saved last, in the order of the fields. `None` if it has to be written.
    entries: Vec<Option<Vec<u8>>>,
    /// The field that the next call of the visitor names.
    at: usize,
    undecoded: Vec<String>,
}

impl Fields<'_> {
    /// A field that is stored as its type. A stored value that does not decode leaves the field's default and stays stored:
    /// [`View::undecoded`] names it.
    ///
    /// # Errors
    /// `NotLoaded`, `Busy`; when it saves, those of [`Session::insert_checked`].
    pub fn value<T: Serialize + DeserializeOwned>(&mut self, key: &str, field: &mut T) -> Result<(), Error> {
        self.migrated(key, field, |_| None)
    }

    /// [`value`](Self::value), and `recover` for a stored value that does not decode: see
    /// [`Session::get_or_recover`]. The migrated value is stored by the next [`View::save`].
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn migrated<T: Serialize + DeserializeOwned>(
        &mut self,
        key: &str,
        field: &mut T,
        recover: impl FnOnce(Undecoded<'_>) -> Option<T>,
    ) -> Result<(), Error> {
        let codec = self.session.config().codec;
        match &mut self.task {
            Task::Read(known) => {
                let mut migrated = false;
                let found = self.session.get_or_recover(key, |stored| {
                    migrated = true;
                    recover(stored)
                });
                match found {
                    Ok(Some(value)) => *field = value,
                    Ok(None) => {}
                    Err(error) if matches!(error.kind(), ErrorKind::Decode | ErrorKind::Codec) => {
                        known.undecoded.push(key.to_owned());
                        migrated = false;
                    }
                    Err(error) => return Err(error),
                }
                let entry = encode_unchecked(key, field, codec).inspect_err(|error| {
                    // An error only if it is saved.
                    tracing::debug!(target: TARGET, key, %error, "field of a view cannot be encoded");
                });
                known.entries.push(entry.ok().filter(|_| !migrated));
            }
            Task::Save(known) => {
                let entry = encode_checked(key, field, codec)?;
                let before = known.entries.get_mut(known.at);
                known.at += 1;
                let Some(before) = before else { return Err(unsteady()) };
                if before.as_ref() != Some(&entry) {
                    self.session.record_entry(entry.clone(), Op::Insert)?;
                    *before = Some(entry);
                    known.undecoded.retain(|undecoded| undecoded != key);
                }
            }
        }
        Ok(())
    }
}

fn unsteady() -> Error {
    Error::new(ErrorKind::Config).with_detail("a SessionView names other fields than before")
}

/// A struct that was read from a session: [`Session::view`].
#[derive(Clone)]
pub struct View<T> {
    value: T,
    session: Session,
    known: Known,
}

impl Session {
    /// Reads a struct of values. A field without a stored value has its default, and so has a field whose value does not
    /// decode: one bad value loses neither the others nor itself.
    ///
    /// # Errors
    /// `NotLoaded`, `Busy`.
    pub fn view<T: SessionView>(&self) -> Result<View<T>, Error> {
        let (mut value, mut known) = (T::default(), Known::default());
        value.fields(&mut Fields { session: self, task: Task::Read(&mut known) })?;
        Ok(View { value, session: self.clone(), known })
    }
}

impl<T: SessionView> View<T> {
    /// Writes the fields that differ from their state at the read or the last `save`, and those that were migrated. Fields
    /// that this request has not changed keep what other requests write meanwhile. A changed field overwrites it: use
    /// [`Session::update`] for sums and lists.
    ///
    /// # Errors
    /// `Encode`, `Name`, `TooLarge`, `Committed`, `NotLoaded`, `Busy`; `Config` if the struct names fewer or more fields
    /// than at the read. Fields before the failing one are recorded.
    pub fn save(&mut self) -> Result<(), Error> {
        self.known.at = 0;
        self.value.fields(&mut Fields { session: &self.session, task: Task::Save(&mut self.known) })?;
        if self.known.at == self.known.entries.len() { Ok(()) } else { Err(unsteady()) }
    }

    /// The keys of fields whose stored value does not decode. It stays stored until its field is changed and saved.
    #[must_use]
    pub fn undecoded(&self) -> &[String] {
        &self.known.undecoded
    }

    /// The session of the struct.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The struct alone.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for View<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Changes this copy. Only [`save`](View::save) writes it into the session.
impl<T> DerefMut for View<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Without the values.
impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("fields", &self.entries.len()).finish_non_exhaustive()
    }
}

/// Without the values.
impl<T> std::fmt::Debug for View<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("known", &self.known).finish_non_exhaustive()
    }
}

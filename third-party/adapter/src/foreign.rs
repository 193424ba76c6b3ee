//! The calls of a store of another project.

use std::fmt;
use std::future::Future;

use session_core::{Key, Record};

/// The four calls that the traits of other projects have in common.
///
/// An implementation translates a key to an id and a record to a session, and makes one call of the store. It adds
/// nothing: no lock, no cache, no check of a deadline.
pub trait Foreign: Clone + Send + Sync + 'static {
    /// Creates a session under this key, in the store's own way of avoiding ids that are in use.
    fn create(&self, key: &Key, record: &Record) -> impl Future<Output = Result<Created, Refused>> + Send;

    /// Loads the session under this key. A session that the store returns counts as live.
    fn load(&self, key: &Key) -> impl Future<Output = Result<Option<Record>, Refused>> + Send;

    /// Saves an existing session.
    fn save(&self, key: &Key, record: &Record) -> impl Future<Output = Result<Saved, Refused>> + Send;

    /// Deletes the session under this key.
    fn delete(&self, key: &Key) -> impl Future<Output = Result<(), Refused>> + Send;
}

/// The answer of [`Foreign::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The session is stored under the key.
    Here,
    /// The key was in use, and the store said so or chose another id.
    Taken,
}

/// The answer of [`Foreign::save`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// The store reports success.
    Done,
    /// The store refused the save because it has no such session.
    Gone,
}

/// An error of the store, as text. It never leaves the process, so it may name anything.
#[derive(Debug)]
pub struct Refused(pub String);

impl Refused {
    /// The error's text.
    pub fn new(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

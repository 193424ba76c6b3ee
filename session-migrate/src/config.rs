//! The options of `copy` and `verify`.

use session_core::{Prefix, setters};

use crate::position::Position;

/// The prefixes of the records that `session-manager` stores: `session`, `index`, `user` and `handover`.
///
/// An application that stores records of its own adds their prefixes. A driver cannot list its prefixes.
#[must_use]
pub fn prefixes() -> Vec<Prefix> {
    let others =
        ["index", "user", "handover"].map(|text| Prefix::new(text).expect("a lower-case word is a prefix"));
    [&[Prefix::SESSION], &others[..]].concat()
}

/// Whether a copy removes what it has copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Originals {
    /// Each record leaves the old store, after the new store has returned it equal. This is the safe choice for a
    /// migration: when the copy is complete, the old store is empty, and nothing in it can come back.
    Remove,
    /// The old store keeps the records, except those that applications change through
    /// [`Migrating`](crate::Migrating) meanwhile. For a test run, a backup, or a comparison with
    /// [`verify`](crate::verify()).
    ///
    /// Never repeat such a copy once applications use the new store alone: it would bring back the sessions that have
    /// ended there since.
    Keep,
}

/// The options of [`copy`](crate::copy()).
#[derive(Clone, Debug)]
pub struct CopyOptions {
    pub(crate) prefixes: Vec<Prefix>,
    pub(crate) page: usize,
    pub(crate) concurrency: usize,
    pub(crate) from: Option<Position>,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self { prefixes: prefixes(), page: PAGE, concurrency: CONCURRENCY, from: None }
    }
}

impl CopyOptions {
    setters! {
        /// The prefixes to copy, in this order. By default [`prefixes`].
        prefixes: impl Into<Vec<Prefix>> => prefixes.into(),
        /// How many keys a page has, by default 256. Progress is reported, and the new store flushed, once per page.
        page: usize,
        /// How many records are copied at once, by default 16. Zero counts as one.
        concurrency: usize,
        /// Where an earlier copy of the same prefixes stopped. Without it the copy begins at the beginning, which is also
        /// safe and reads more.
        from: Position => Some(from),
    }
}

/// The options of [`verify`](crate::verify()).
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    pub(crate) prefixes: Vec<Prefix>,
    pub(crate) page: usize,
    pub(crate) concurrency: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { prefixes: prefixes(), page: PAGE, concurrency: CONCURRENCY }
    }
}

impl VerifyOptions {
    setters! {
        /// The prefixes to compare, in this order. By default [`prefixes`].
        prefixes: impl Into<Vec<Prefix>> => prefixes.into(),
        /// How many keys a page has, by default 256. Progress is reported once per page.
        page: usize,
        /// How many records are compared at once, by default 16. Zero counts as one.
        concurrency: usize,
    }
}

const PAGE: usize = 256;
const CONCURRENCY: usize = 16;

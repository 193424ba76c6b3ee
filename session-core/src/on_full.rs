//! The option of drivers that can evict.

/// The answer to a new record when the store is full and nothing in it has expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum OnFull {
    /// The driver refuses the record with the error kind `Full`. The old record stays.
    #[default]
    Reject,
    /// The driver removes live sessions to make room: only keys of prefix `session`, and never the key that is being
    /// stored. Each driver documents which sessions it removes first. Without a session to remove, it refuses the record.
    Evict,
}

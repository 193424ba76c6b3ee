//! The older application whose sessions `import` reads.

mod kept;
mod options;
mod sources;

pub(crate) use kept::{Kept, at, text};
pub(crate) use options::OldSystem;
pub(crate) use sources::Source;

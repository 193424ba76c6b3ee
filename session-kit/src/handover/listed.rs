//! Listing all sessions of a source.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use session_core::Operation;
use session_handover::Value;
use session_manager::{HandoverSource, OldId};

use super::locked::blocking;

/// A source whose sessions can be listed, for an [`Import`](super::Import).
pub trait ListedSource: HandoverSource<Old = Value> {
    /// Sessions after `from`, the [`Listed::next`] of the page before. An id may be listed twice, or have no session any more.
    ///
    /// # Errors
    /// Failures of the old system's store.
    fn list(&self, from: Option<&str>) -> impl Future<Output = session_core::Result<Listed>> + Send;

    /// [`read`](HandoverSource::read), and the end of the session in seconds since 1970, where the store has one.
    ///
    /// # Errors
    /// As [`read`](HandoverSource::read).
    fn read_until(
        &self,
        id: &OldId,
    ) -> impl Future<Output = session_core::Result<Option<(Value, Option<f64>)>>> + Send;
}

/// A page of a listing.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Listed {
    /// The ids of sessions.
    pub ids: Vec<OldId>,
    /// Where the next page begins. `None` after the last one.
    pub next: Option<String>,
}

#[cfg(any(feature = "handover-sqlite", feature = "handover-postgres"))]
impl Listed {
    /// A page of at most [`PAGE`] names in their order.
    pub(super) fn of(names: Vec<String>) -> Self {
        let next = if names.len() < PAGE as usize { None } else { names.last().cloned() };
        Self { ids: names.iter().map(OldId::new).collect(), next }
    }
}

/// How many ids a page of the sources here has, more or less.
#[cfg(any(feature = "handover-sqlite", feature = "handover-postgres", feature = "handover-redis"))]
pub(super) const PAGE: u32 = 500;

/// The sessions of all files in a directory, `levels` directories down, that have a name between a prefix and a suffix.
pub(super) async fn files(
    directory: &Path,
    levels: usize,
    prefix: String,
    suffix: String,
) -> session_core::Result<Listed> {
    let directory = directory.to_owned();
    let found = blocking(Operation::Traverse, move || {
        let mut names = Vec::new();
        walk(&directory, levels, &mut |path: PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            let name = name.and_then(|name| name.strip_prefix(&prefix)?.strip_suffix(&suffix));
            names.extend(name.map(OldId::new));
        })?;
        Ok(names)
    });
    Ok(Listed { ids: found.await?, next: None })
}

fn walk(directory: &Path, levels: usize, found: &mut impl FnMut(PathBuf)) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if levels > 0 && kind.is_dir() {
            walk(&entry.path(), levels - 1, found)?;
        } else if levels == 0 && kind.is_file() {
            found(entry.path());
        }
    }
    Ok(())
}

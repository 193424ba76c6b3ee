//! A path of its own for each test.

use std::io::Result;
use std::path::{Path, PathBuf};

/// A path in a temporary directory of its own, or a path that belongs to another process. A harness can use it as its
/// storage.
///
/// Dropping it removes the directory, if it made one.
#[derive(Debug)]
pub struct FreshPath {
    path: PathBuf,
    directory: Option<tempfile::TempDir>,
}

impl FreshPath {
    /// Makes a temporary directory, and a path called `name` in it. Nothing is created at the path itself.
    ///
    /// # Errors
    /// If the directory cannot be created.
    pub fn new(name: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        Ok(Self { path: directory.path().join(name), directory: Some(directory) })
    }

    /// A path that another process or another guard owns. Dropping it removes nothing.
    #[must_use]
    pub fn of_another(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), directory: None }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another path in the same directory.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }

    /// Whether this value owns the directory.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.directory.is_some()
    }
}

impl AsRef<Path> for FreshPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

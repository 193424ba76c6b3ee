//! A path of its own for each test.

use std::fs::{self, Permissions};
use std::io::Result;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::SmallDisk;

/// A path in a temporary directory or on a small disk of its own, or a path that belongs to another process. A harness
/// can use it as its storage.
///
/// Dropping it removes the directory or the disk, if it made one.
#[derive(Debug)]
pub struct FreshPath {
    path: PathBuf,
    home: Home,
}

#[derive(Debug)]
enum Home {
    Directory(#[expect(dead_code, reason = "removed when it is dropped")] tempfile::TempDir),
    Disk(SmallDisk),
    Another,
}

impl FreshPath {
    /// Makes a temporary directory, and a path called `name` in it. Nothing is created at the path itself.
    ///
    /// # Errors
    /// If the directory cannot be created.
    pub fn new(name: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        Ok(Self { path: directory.path().join(name), home: Home::Directory(directory) })
    }

    /// A path called `name` on a [`SmallDisk`] of `bytes`.
    ///
    /// # Errors
    /// If this process may not mount one.
    pub fn on_small_disk(name: &str, bytes: u64) -> Result<Self> {
        let disk = SmallDisk::mount(bytes)?;
        Ok(Self { path: disk.path().join(name), home: Home::Disk(disk) })
    }

    /// A path that another process or another guard owns. Dropping it removes nothing.
    #[must_use]
    pub fn of_another(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), home: Home::Another }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the path.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Another path in the same directory.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }

    /// The path as text, for [`Harness::address`](crate::Harness::address).
    #[must_use]
    pub fn address(&self) -> Option<String> {
        self.path.to_str().map(str::to_owned)
    }

    /// Whether this value owns the directory.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        !matches!(self.home, Home::Another)
    }

    /// Moves what is at the path away. With `replace` an empty file or directory takes its place. For
    /// [`Harness::take_away`](crate::Harness::take_away).
    ///
    /// # Errors
    /// The file system's.
    pub fn take_away(&self, replace: bool) -> Result<()> {
        let directory = self.path.is_dir();
        fs::rename(&self.path, self.away())?;
        match (replace, directory) {
            (false, _) => Ok(()),
            (true, true) => fs::create_dir(&self.path),
            (true, false) => fs::write(&self.path, ""),
        }
    }

    /// Moves it back. An empty file or directory in its place goes.
    ///
    /// # Errors
    /// The file system's; also if the directory in its place is not empty.
    pub fn put_back(&self) -> Result<()> {
        fs::rename(self.away(), &self.path)
    }

    fn away(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".away");
        path.into()
    }

    /// Changes the room of the small disk to `bytes`, for [`Harness::free_space`](crate::Harness::free_space). Returns
    /// whether the path is on one.
    ///
    /// # Errors
    /// If the disk cannot be remounted.
    pub fn resize_disk(&self, bytes: u64) -> Result<bool> {
        match &self.home {
            Home::Disk(disk) => disk.resize(bytes).map(|()| true),
            Home::Directory(_) | Home::Another => Ok(false),
        }
    }
}

impl AsRef<Path> for FreshPath {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// Sets the modes of a directory, of all directories below it and of all files. For
/// [`Harness::revoke_access`](crate::Harness::revoke_access).
///
/// # Errors
/// The file system's.
pub fn set_modes(directory: &Path, directories: u32, files: u32) -> Result<()> {
    // Opened first and closed last, because it leads to its entries.
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            set_modes(&entry.path(), directories, files)?;
        } else {
            fs::set_permissions(entry.path(), Permissions::from_mode(files))?;
        }
    }
    fs::set_permissions(directory, Permissions::from_mode(directories))
}

//! A disk that is soon full.

use std::io::{Error, Result};
use std::path::Path;
use std::process::Command;

/// A file system in memory with room for a few megabytes, for
/// [`Harness::create_bounded`](crate::Harness::create_bounded). Dropping it unmounts it and loses its files.
#[derive(Debug)]
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one with room for `bytes`.
    ///
    /// # Errors
    /// If this process may not mount. Then a harness uses a bound of its engine instead.
    pub fn mount(bytes: u64) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let options = format!("size={bytes},mode=700");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(directory.path()))?;
        Ok(Self(directory))
    }

    /// Changes its room to `bytes`.
    ///
    /// # Errors
    /// If it cannot be remounted.
    pub fn resize(&self, bytes: u64) -> Result<()> {
        run(Command::new("mount").args(["-o", &format!("remount,size={bytes}")]).arg(self.0.path()))
    }

    /// Its root directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a handle that is still being dropped may have files open. If it fails, the directory stays.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
